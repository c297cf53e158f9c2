"""The signing log: every decision, in order, chained by hash, on the disk before its answer goes out.

A file of lines, one record a line, canonical JSON. Each record holds the hash of the one before it and its
own, so that a line edited, dropped, inserted or moved breaks the chain at that line. Records are appended,
never rewritten. The one exception is a torn last line: the machine stopped while it was written, so its
answer never went out; on the next start it is cut off and the cut is itself recorded.
Holds ids, digests and codes; no names, no account numbers, no tokens, no secrets. If it cannot be written,
nothing is signed.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue

HASH_BEFORE_THE_FIRST = "0" * 64
LINE_BYTES_MAX = 16 * 1024

LogFacts: TypeAlias = Mapping[str, str | int | None]
_RECORD_FIELDS = frozenset({"at", "facts", "hash", "kind", "prev", "purpose", "seq"})


class LogUnavailable(Exception):
    """The log cannot be opened or written: nothing may be signed."""


class LogBroken(Exception):
    """The chain does not hold: somebody, or a disk, changed what was written."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class LogTorn(LogBroken):
    """The last line has no end: the writer was stopped in the middle of it."""

    def __init__(self, line: int, *, offset: int) -> None:
        super().__init__(line, "the line is torn: it has no end")
        self.offset = offset


class EntryKind(StrEnum):
    """What a record tells."""

    STARTED = "started"
    TAIL_CUT = "tail_cut"
    GRANTED = "granted"
    REFUSED = "refused"
    FAILED = "failed"
    MIRRORED = "mirrored"
    PUT_BACK = "put_back"
    ACCEPTED = "accepted"
    KEYS_LOADED = "keys_loaded"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What is to be recorded; the log adds number, time and hashes."""

    kind: EntryKind
    purpose: str
    facts: LogFacts


@dataclass(frozen=True, slots=True)
class LogRecord:
    """An entry in its place in the chain."""

    seq: int
    at: str
    entry: LogEntry
    prev: str
    hash: str

    def line(self) -> bytes:
        """The record as it stands in the file."""
        return canonical.encode({**_hashed_members(self), "hash": self.hash}) + b"\n"


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a chain ends: how many records there are, and the hash of the last."""

    count: int
    hash: str


def audit(path: Path) -> LogHead:
    """Read a whole log and answer where it ends.

    Raises:
        LogUnavailable: the file cannot be read.
        LogBroken: a line does not continue the chain; LogTorn if the last one has no end.
    """
    head = LogHead(count=0, hash=HASH_BEFORE_THE_FIRST)
    for record in read_log(path):
        head = LogHead(count=record.seq, hash=record.hash)
    return head


def read_log(path: Path) -> Iterator[LogRecord]:
    """Every record of a log that may be in another process's hands, verified on the way.

    Raises:
        LogUnavailable, LogBroken: as `audit`.
    """
    try:
        with path.open("rb") as file:
            yield from _read_chain(file)
    except OSError as error:
        raise LogUnavailable(f"cannot read the log: {error.strerror}") from error


class SigningLog:
    """The log, open for appending by one process alone."""

    def __init__(self, file_descriptor: int, path: Path) -> None:
        """Use `open`: it locks, verifies and mends before anything is appended."""
        self._file_descriptor = file_descriptor
        self._path = path
        self._head = LogHead(count=0, hash=HASH_BEFORE_THE_FIRST)
        self._size = 0
        self._durable = (self._head, self._size)

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> Self:
        """Open the log, making it if there is none, and verify the whole chain.

        Raises:
            LogUnavailable: not a regular file, not writable, or in another process's hands.
            LogBroken: the chain does not hold. A torn last line is cut off and recorded instead.
        """
        try:
            log = cls(_open_alone(path), path)
        except OSError as error:
            raise LogUnavailable(f"cannot open the log: {error.strerror}") from error
        try:
            log._verify(now)
        except BaseException:
            log.close()
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of the lock on it."""
        os.close(self._file_descriptor)

    @property
    def head(self) -> LogHead:
        """Where the chain ends now."""
        return self._head

    def records(self) -> Iterator[LogRecord]:
        """Every record from the first, verified on the way.

        Raises:
            LogBroken: the chain does not hold.
        """
        with self._path.open("rb") as file:
            yield from _read_chain(file)

    def append(self, entries: Sequence[LogEntry], *, at: datetime) -> None:
        """Append entries, all or none, and return when they are on the disk.

        Raises:
            LogUnavailable: they are not on the disk, and none of them is in the log.
        """
        self.write(entries, at=at)
        self.sync()

    def write(self, entries: Sequence[LogEntry], *, at: datetime) -> None:
        """Put entries behind the others, all or none. Nothing that hangs on them may go out before `sync`.

        Raises:
            LogUnavailable: none of them is in the log.
        """
        self._durable = (self._head, self._size)
        lines, head = _chained(entries, self._head, at)
        if not lines:
            return
        try:
            self._check_untouched()
            self._write(b"".join(lines))
        except OSError as error:
            self._undo()
            raise LogUnavailable(f"cannot write the log: {error.strerror}") from error
        self._head = head

    def sync(self) -> None:
        """Return when what was written is on the disk; may be called from another thread than `write`.

        Raises:
            LogUnavailable: it is not, and none of what the last `write` put there is in the log.
        """
        if self._durable == (self._head, self._size):
            return
        try:
            os.fdatasync(self._file_descriptor)
        except OSError as error:
            self._undo()
            raise LogUnavailable(f"cannot write the log: {error.strerror}") from error

    def _verify(self, now: datetime) -> None:
        try:
            self._find_head()
        except LogTorn as torn:
            self._cut_tail(torn, now)

    def _find_head(self) -> None:
        for record in self.records():
            self._head = LogHead(count=record.seq, hash=record.hash)
        self._size = os.fstat(self._file_descriptor).st_size

    def _cut_tail(self, torn: LogTorn, now: datetime) -> None:
        tail = os.pread(self._file_descriptor, LINE_BYTES_MAX, torn.offset)
        os.ftruncate(self._file_descriptor, torn.offset)
        self._size = torn.offset
        facts: LogFacts = {"bytes": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}
        self.append([LogEntry(kind=EntryKind.TAIL_CUT, purpose="log", facts=facts)], at=now)

    def _check_untouched(self) -> None:
        status = os.fstat(self._file_descriptor)
        if status.st_size != self._size or status.st_nlink == 0:
            raise LogUnavailable("somebody else changed or removed the log")

    def _write(self, data: bytes) -> None:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(self._file_descriptor, remaining) :]
        self._size += len(data)

    def _undo(self) -> None:
        """Cut off what a failed write left; if even that fails, `_check_untouched` refuses from now on."""
        self._head, self._size = self._durable
        try:
            os.ftruncate(self._file_descriptor, self._size)
        except OSError:
            self._size = -1


def _open_alone(path: Path) -> int:
    file_descriptor = os.open(
        path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        _check_regular(file_descriptor)
        fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _make_name_durable(path.parent)
    except BlockingIOError as error:
        os.close(file_descriptor)
        raise LogUnavailable("another enclave holds the log") from error
    except BaseException:
        os.close(file_descriptor)
        raise
    return file_descriptor


def _check_regular(file_descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(file_descriptor).st_mode):
        raise LogUnavailable("the log is not a regular file")


def _make_name_durable(directory: Path) -> None:
    directory_descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory_descriptor)
    finally:
        os.close(directory_descriptor)


def _chained(entries: Sequence[LogEntry], head: LogHead, at: datetime) -> tuple[list[bytes], LogHead]:
    """The lines that continue a chain, and where it ends with them."""
    written_at, lines = at.astimezone(UTC).isoformat(timespec="microseconds"), []
    for entry in entries:
        bare = LogRecord(seq=head.count + 1, at=written_at, entry=entry, prev=head.hash, hash="")
        members = _hashed_members(bare)
        head = LogHead(bare.seq, hashlib.sha256(canonical.encode(members)).hexdigest())
        line = canonical.encode({**members, "hash": head.hash}) + b"\n"
        if len(line) >= LINE_BYTES_MAX:
            # Nobody could read it again, nor anything behind it.
            raise LogUnavailable("a record is longer than any record may be")
        lines.append(line)
    return lines, head


def _hashed_members(record: LogRecord) -> dict[str, JsonValue]:
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": str(record.entry.kind),
        "purpose": record.entry.purpose,
        "facts": record.entry.facts,
        "prev": record.prev,
    }


def _hash_of(record: LogRecord) -> str:
    return hashlib.sha256(canonical.encode(_hashed_members(record))).hexdigest()


def _read_chain(file: BinaryIO) -> Iterator[LogRecord]:
    head, offset = LogHead(count=0, hash=HASH_BEFORE_THE_FIRST), 0
    while line := file.readline(LINE_BYTES_MAX):
        number = head.count + 1
        if not line.endswith(b"\n"):
            raise _endless(number, line, offset)
        record = _read_record(number, line)
        if record.seq != number or record.prev != head.hash:
            raise LogBroken(number, "the record does not follow the one before it")
        yield record
        head, offset = LogHead(count=number, hash=record.hash), offset + len(line)


def _endless(number: int, line: bytes, offset: int) -> LogBroken:
    if len(line) == LINE_BYTES_MAX:
        return LogBroken(number, "the line is longer than any record")
    return LogTorn(number, offset=offset)


def _read_record(number: int, line: bytes) -> LogRecord:
    try:
        members = canonical.parse_object(line)
        record = _record_of(members)
    except (JsonUnreadable, KeyError, ValueError) as error:
        raise LogBroken(number, "the line is not a record") from error
    if record.line() != line:
        raise LogBroken(number, "the record is spelt in another way than it was written")
    if _hash_of(record) != record.hash:
        raise LogBroken(number, "the record does not have the hash that it was written with")
    return record


def _record_of(members: Mapping[str, JsonValue]) -> LogRecord:
    seq, facts = members["seq"], members["facts"]
    if set(members) != _RECORD_FIELDS or not isinstance(seq, int) or not isinstance(facts, Mapping):
        raise ValueError("not the members of a record")
    entry = LogEntry(
        kind=EntryKind(_text(members["kind"])),
        purpose=_text(members["purpose"]),
        facts={name: _fact(value) for name, value in facts.items()},
    )
    return LogRecord(
        seq=seq,
        at=_text(members["at"]),
        entry=entry,
        prev=_text(members["prev"]),
        hash=_text(members["hash"]),
    )


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004  # the caller turns ValueError into LogBroken
    return value


def _fact(value: JsonValue) -> str | int | None:
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError("not a fact")
