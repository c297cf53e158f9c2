"""Callers who send rubbish: each is refused as ever, and the log does not grow as fast as they send."""

import os
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enclave.__main__ import main
from enclave.log import EntryKind, LogEntry, read_log
from enclave.logbook import Logbook
from enclave.protocol import MESSAGE_BYTES_MAX
from enclave.refusal_tally import COUNTED_FOR, SINGLY_MAX
from enclave.signer import Letter, Peer, Signer
from tests.enclave.process import eventually
from tests.enclave.rings import software_keyring
from tests.enclave.signers import signer_on
from tests.enclave.soft_enclave import soft_enclave

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYRING = software_keyring()
ROUND = 50
JUNK = b"rubbish"
EXPORT = b'{"manifest":"eyJmb3JtYXQiOiJ0YWxseXN0aWNrLWV4cG9ydCIsImZpbGVzIjpbXX0=","purpose":"export"}'


@dataclass
class Desk:
    """A signer that is asked, and what its log says."""

    path: Path
    signer: Signer
    codes: Counter[bytes] = field(default_factory=Counter)

    def ask(self, data: bytes, count: int = 1, *, uid: int = 1000) -> None:
        for begun in range(0, count, ROUND):
            letters = [Letter(Peer(pid=1, uid=uid), data)] * min(ROUND, count - begun)
            answers = self.signer.answer(letters)
            self.codes.update(_code(answer) for answer in answers)

    def told(self) -> list[LogEntry]:
        return [record.entry for record in read_log(self.path)]

    def kinds(self) -> Counter[EntryKind]:
        return Counter(entry.kind for entry in self.told())

    def sums(self) -> list[dict[str, object]]:
        return [dict(entry.facts) for entry in self.told() if entry.kind is EntryKind.REFUSED_MORE]


def _code(answer: bytes) -> bytes:
    return b"signed" if b'"ok":true' in answer else answer.split(b'"refusal":"')[1].split(b'"')[0]


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.log"


@contextmanager
def desk(path: Path, clock: Clock) -> Iterator[Desk]:
    with Logbook.open(path, now=clock()) as logbook:
        signer = signer_on(logbook, keyring=KEYRING, clock=clock)
        signer.record_start()
        yield Desk(path, signer)


def test_junk_is_refused_every_time_and_recorded_up_to_a_bound(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, 20_000)

        assert ours.codes == {b"message_not_canonical": 20_000}
        assert ours.kinds()[EntryKind.REFUSED] == SINGLY_MAX
        assert ours.sums() == [{"peer_uid": 1000, "state": "begins"}]


def test_the_counts_are_told_when_the_minute_is_over(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        assert ours.signer.tell_sums() is None
        ours.ask(JUNK, SINGLY_MAX + 200)
        ours.ask(b'{"purpose":"sign"}', 100)
        assert ours.signer.tell_sums() == COUNTED_FOR.total_seconds()
        clock.now += COUNTED_FOR
        assert ours.signer.tell_sums() is None

        assert ours.sums()[-1] == {
            "peer_uid": 1000,
            "state": "ends",
            "message_not_canonical": 200,
            "message_fields_refused": 100,
        }


def test_what_is_granted_meanwhile_stands_singly_and_others_are_not_counted(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, 2 * SINGLY_MAX)
        ours.ask(EXPORT, 120)
        ours.ask(JUNK, 10, uid=1001)

        assert ours.codes[b"signed"] == ours.kinds()[EntryKind.GRANTED] == 120
        assert ours.kinds()[EntryKind.REFUSED] == SINGLY_MAX + 10


def test_an_orderly_end_tells_what_was_counted(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, SINGLY_MAX + 5)
        ours.signer.close()

        assert ours.sums()[-1]["message_not_canonical"] == 5


def test_nobody_is_answered_before_it_is_on_the_disk_that_counting_began(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, SINGLY_MAX)
        with no_room_in(path):
            ours.ask(JUNK, 2)
        assert ours.codes == {b"message_not_canonical": SINGLY_MAX, b"log_unavailable": 2}

        ours.ask(JUNK, 3)
        ours.signer.close()

    assert ours.codes[b"message_not_canonical"] == SINGLY_MAX + 3
    assert [facts.get("message_not_canonical") for facts in ours.sums()] == [None, 3]


def test_counts_that_cannot_be_told_are_told_later(path: Path, clock: Clock) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, SINGLY_MAX + 4)
        clock.now += COUNTED_FOR
        with no_room_in(path):
            assert ours.signer.tell_sums() == 1
        ours.ask(JUNK, 3)
        ours.signer.tell_sums()

    assert [facts.get("message_not_canonical") for facts in ours.sums()] == [None, 7]


@contextmanager
def no_room_in(path: Path) -> Iterator[None]:
    """The file can grow by ten bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_audit_shows_sums_and_minutes_without_an_end(
    path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk(path, clock) as ours:
        ours.ask(JUNK, SINGLY_MAX + 40)
        ours.signer.close()
    with desk(path, clock) as ours:
        # As if it were killed: nobody closes it.
        ours.ask(JUNK, SINGLY_MAX + 30)

    assert main(["audit", "--log", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "refusals that were counted, user 1000: message_not_canonical 40, 1 without an end"
    ]


@dataclass
class LateClock:
    """The real time, and so much later."""

    later: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.later


def test_an_idle_server_tells_the_counts_by_itself(path: Path, tmp_path: Path) -> None:
    clock = LateClock()
    with (
        soft_enclave(tmp_path, KEYRING, clock=clock),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller,
    ):
        caller.settimeout(10)
        caller.connect(str(tmp_path / "enclave.sock"))
        for _ in range(SINGLY_MAX + 20):
            assert b"message_not_canonical" in asked(caller, JUNK)
        clock.later = COUNTED_FOR - timedelta(seconds=0.5)
        assert asked(caller, b'{"purpose":"ping"}') == b'{"ok":true}'

        def last() -> LogEntry:
            return list(read_log(path))[-1].entry

        assert eventually(lambda: last().facts.get("message_not_canonical") is not None)
        assert last().facts["peer_uid"] == os.geteuid()


def asked(caller: socket.socket, data: bytes) -> bytes:
    caller.send(data)
    return caller.recv(MESSAGE_BYTES_MAX)
