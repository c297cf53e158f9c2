"""The signing log: every decision, in order, chained by hash, on the disk before its answer goes out.

Of a user's refusals beyond a budget there is a sum, and before it that there will be one (`enclave.refusal_tally`).
A file of lines, one record a line, canonical JSON. Each record holds the hash of the one before it and its
own, so that a line edited, dropped, inserted or moved breaks the chain at that line. Records are appended,
never rewritten. The one exception is a torn last line: the machine stopped while it was written, so its
answer never went out; on the next start it is cut off, however long it is, and the cut is itself recorded. The whole
log is read once, at the start: whoever has to know what stands in it is told meanwhile.
Holds ids, digests and codes; no names, no account numbers, no tokens, no secrets. If it cannot be written,
nothing is signed.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType, TracebackType
from typing import BinaryIO, Self, TypeAlias, TypeGuard

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue

HASH_BEFORE_THE_FIRST = "0" * 64
LINE_BYTES_MAX = 16 * 1024

LogFacts: TypeAlias = Mapping[str, str | int | None]
_FACT_TYPES = frozenset({str, int, bool, NoneType})
_RECORD_FIELDS = frozenset({"at", "facts", "hash", "kind", "prev", "purpose", "seq"})


class LogUnavailable(Exception):
    """The log cannot be opened or written: nothing may be signed."""


class LogBroken(Exception):
    """The chain does not hold, or tells what cannot be: somebody, or a disk, changed what was written."""

    def __init__(self, place: "Place", reason: str) -> None:
        self.place = place
        self.line = place.head.count + 1
        self.reason = reason
        super().__init__(f"the log is broken at line {self.line} (from byte {place.offset} on): {reason}")


class LogTorn(LogBroken):
    """The last line has no end: the writer was stopped in the middle of it."""

    def __init__(self, place: "Place") -> None:
        super().__init__(place, "the line is torn: it has no end")


class EntryKind(StrEnum):
    """What a record tells."""

    STARTED = "started"
    TAIL_CUT = "tail_cut"
    GRANTED = "granted"
    REFUSED = "refused"
    REFUSED_MORE = "refused_more"
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

    def text(self, name: str) -> str:
        """A fact that is text.

        Raises:
            ValueError: it is none, or is missing.
        """
        match self.facts.get(name):
            case str(value):
                return value
            case _:
                raise ValueError(f"{name} is no text")

    def number(self, name: str) -> int:
        """A fact that is a number; none that the log tells is below zero.

        Raises:
            ValueError: it is none, or is missing.
        """
        match self.facts.get(name):
            case int(value) if not isinstance(value, bool) and value >= 0:
                return value
            case _:
                raise ValueError(f"{name} is no number")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """An entry in its place in the chain."""

    seq: int
    at: str
    entry: LogEntry
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a chain ends: how many records there are, and the hash of the last."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file the next record begins, and the head of the chain before it. Units: bytes."""

    head: LogHead
    offset: int


BEGINNING = Place(LogHead(count=0, hash=HASH_BEFORE_THE_FIRST), offset=0)

Reader: TypeAlias = Callable[[LogRecord, Place], None]
"""Is told of a record and where it begins, in order, while the log is read. What it cannot take in breaks the log."""


def audit(path: Path, reader: Reader | None = None) -> LogHead:
    """Read a whole log and answer where it ends.

    Raises:
        LogUnavailable: the file cannot be read.
        LogBroken: a line does not continue the chain; LogTorn if the last one has no end.
    """
    try:
        with path.open("rb") as file:
            return _read_on(file, BEGINNING, reader).head
    except OSError as error:
        raise LogUnavailable(f"cannot read the log: {error.strerror}") from error


def read_log(path: Path, *, since: Place = BEGINNING) -> Iterator[LogRecord]:
    """Every record of a log that may be in another process's hands, verified on the way.

    Raises:
        LogUnavailable, LogBroken: as `audit`.
    """
    try:
        with path.open("rb") as file:
            for record, _, _ in _read_chain(file, since):
                yield record
    except OSError as error:
        raise LogUnavailable(f"cannot read the log: {error.strerror}") from error


class SigningLog:
    """The log, open for appending by one process alone."""

    def __init__(self, file_descriptor: int, path: Path) -> None:
        """Use `open`: it locks, verifies and mends before anything is appended."""
        self._file_descriptor = file_descriptor
        self._path = path
        self._head, self._size = BEGINNING.head, BEGINNING.offset
        self._durable = (self._head, self._size)

    @classmethod
    def open(cls, path: Path, *, now: datetime, reader: Reader | None = None) -> Self:
        """Open the log, making it if there is none, and verify the whole chain; `reader` is told of every record.

        Raises:
            LogUnavailable: not a regular file, not writable, or in another process's hands.
            LogBroken: the chain does not hold. A torn last line is cut off and recorded instead.
        """
        try:
            log = cls(_open_alone(path), path)
        except OSError as error:
            raise LogUnavailable(f"cannot open the log: {error.strerror}") from error
        try:
            log._verify(now, reader)
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

    def records(self, *, since: Place = BEGINNING) -> Iterator[LogRecord]:
        """Every record from a place on, verified on the way.

        Raises:
            LogUnavailable, LogBroken: as `audit`.
        """
        return read_log(self._path, since=since)

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

    def _verify(self, now: datetime, reader: Reader | None) -> None:
        with self._path.open("rb") as file:
            try:
                self._go_on_from(_read_on(file, BEGINNING, reader))
            except LogTorn as torn:
                self._go_on_from(torn.place)
                self._cut_tail(now)
                self._go_on_from(_read_on(file, torn.place, reader))

    def _go_on_from(self, place: Place) -> None:
        self._head, self._size = place.head, place.offset

    def _cut_tail(self, now: datetime) -> None:
        facts = self._tail_facts()
        os.ftruncate(self._file_descriptor, self._size)
        self.append([LogEntry(kind=EntryKind.TAIL_CUT, purpose="log", facts=facts)], at=now)

    def _tail_facts(self) -> LogFacts:
        """What is said of a tail that is cut off. It is as long as the disk left it, so it is taken in by pieces."""
        digest, offset = hashlib.sha256(), self._size
        while piece := os.pread(self._file_descriptor, LINE_BYTES_MAX, offset):
            digest.update(piece)
            offset += len(piece)
        return {"bytes": offset - self._size, "sha256": digest.hexdigest()}

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
        hashed = _hashed(head.count + 1, written_at, entry, head.hash)
        head = LogHead(head.count + 1, hashlib.sha256(hashed).hexdigest())
        line = _line(hashed, head.hash)
        if len(line) >= LINE_BYTES_MAX:
            # Nobody could read it again, nor anything behind it.
            raise LogUnavailable("a record is longer than any record may be")
        lines.append(line)
    return lines, head


def _hashed(seq: int, at: str, entry: LogEntry, prev: str) -> bytes:
    """What the hash of a record covers: its canonical bytes without the hash."""
    members: dict[str, JsonValue] = {
        "seq": seq,
        "at": at,
        "kind": str(entry.kind),
        "purpose": entry.purpose,
        "facts": entry.facts,
        "prev": prev,
    }
    return canonical.encode(members)


def _line(hashed: bytes, hash_: str) -> bytes:
    """The record as it stands in the file: the same, with the hash in its place among the sorted members."""
    # In a text the quotes are escaped, and behind this member there are no objects: the last one found is it.
    place = hashed.rindex(b',"kind":')
    return b'%b,"hash":"%b"%b\n' % (hashed[:place], hash_.encode(), hashed[place:])


def _read_on(file: BinaryIO, since: Place, reader: Reader | None) -> Place:
    """Reads a chain to its end, and answers where that is."""
    place = since
    for record, begins, place in _read_chain(file, since):  # noqa: B007  # the last one is the answer
        if reader is not None:
            _tell(reader, record, begins)
    return place


def _tell(reader: Reader, record: LogRecord, begins: Place) -> None:
    try:
        reader(record, begins)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Whoever can write the log can chain anything: what stands there is quoted nowhere.
        raise LogBroken(begins, "the record does not tell what one of its kind does") from error


def _read_chain(file: BinaryIO, since: Place) -> Iterator[tuple[LogRecord, Place, Place]]:
    """Every record, the place where it begins, and the place behind it."""
    place = since
    file.seek(place.offset)
    while line := file.readline(LINE_BYTES_MAX):
        number = place.head.count + 1
        if not line.endswith(b"\n"):
            raise _endless(file, line, place)
        record = _read_record(place, line)
        if record.seq != number or record.prev != place.head.hash:
            raise LogBroken(place, "the record does not follow the one before it")
        begins, place = place, Place(LogHead(number, record.hash), place.offset + len(line))
        yield record, begins, place


def _endless(file: BinaryIO, line: bytes, place: Place) -> LogBroken:
    """A line that goes on to the end of the file is torn, however long: a disk that stopped may leave whole blocks."""
    while line:
        if line.endswith(b"\n"):
            return LogBroken(place, "the line is longer than any record")
        line = file.readline(LINE_BYTES_MAX)
    return LogTorn(place)


def _read_record(place: Place, line: bytes) -> LogRecord:
    try:
        record = _record_of(canonical.parse_object(line))
    except (JsonUnreadable, KeyError, ValueError) as error:
        raise LogBroken(place, "the line is not a record") from error
    hashed = _hashed(record.seq, record.at, record.entry, record.prev)
    if hashlib.sha256(hashed).hexdigest() != record.hash:
        raise LogBroken(place, "the record does not have the hash that it was written with")
    if _line(hashed, record.hash) != line:
        raise LogBroken(place, "the record is spelt in another way than it was written")
    return record


def _record_of(members: Mapping[str, JsonValue]) -> LogRecord:
    seq, facts = members["seq"], members["facts"]
    if members.keys() != _RECORD_FIELDS or type(seq) is not int or not _are_facts(facts):
        raise ValueError("not the members of a record")
    entry = LogEntry(
        kind=EntryKind(_text(members["kind"])),
        purpose=_text(members["purpose"]),
        facts=facts,
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


def _are_facts(value: JsonValue) -> TypeGuard[LogFacts]:
    return isinstance(value, dict) and _FACT_TYPES.issuperset(map(type, value.values()))
