"""The log's head in the database: what is kept, and who sees that a log or a database was put back."""

import base64
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enclave.log import EntryKind, LogEntry, LogHead, LogRecord
from enclave.logbook import Logbook
from enclave.mirror import EVERY, HeadsUnavailable, Mirror
from enclave.signer import Letter, Peer
from tests.enclave.logs import ListedLogs, leaves_of, root_of
from tests.enclave.rings import software_keyring
from tests.enclave.signers import signer_on

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYRING = software_keyring()


@dataclass
class ListedHeads:
    """Heads in a list: the second implementation of the port."""

    kept: list[LogHead] = field(default_factory=list)
    answers: bool = True

    def latest(self) -> LogHead | None:
        if not self.answers:
            raise HeadsUnavailable("down")
        return self.kept[-1] if self.kept else None

    def keep(self, head: LogHead) -> None:
        if not self.answers:
            raise HeadsUnavailable("down")
        self.kept.append(head)


@dataclass
class Desk:
    """An enclave that is started, asked, and stopped again."""

    path: Path
    heads: ListedHeads = field(default_factory=ListedHeads)
    now: datetime = NOON

    def ask(
        self,
        sizes: tuple[int, ...],
        *,
        accepted: int | None = None,
        orderly: bool = True,
        wait: timedelta = EVERY,
    ) -> list[str]:
        """The answers to a checkpoint of each size, one after another, `wait` apart; signed, or why not."""
        answers = []
        with Logbook.open(self.path, now=self.now) as logbook:
            mirror = Mirror(logbook, self.heads, accepted=accepted)
            signer = signer_on(
                logbook,
                keyring=KEYRING,
                leaves=ListedLogs({"o": leaves_of(9)}),
                clock=lambda: self.now,
                mirror=mirror,
            )
            signer.record_start()
            for size in sizes:
                (answer,) = signer.answer([Letter(peer=Peer(pid=1, uid=0), data=_checkpoint(size))])
                answers.append("signed" if b'"ok":true' in answer else _code(answer))
                signer.keep_mirror()
                self.now += wait
                signer.keep_mirror()
            if orderly:
                signer.close()
        return answers

    def records(self) -> list[LogRecord]:
        with Logbook.open(self.path, now=self.now) as logbook:
            return list(logbook.log.records())


def _checkpoint(size: int) -> bytes:
    root = base64.b64encode(root_of(size)).decode()
    return f'{{"origin":"o","purpose":"checkpoint","root":"{root}","size":{size}}}'.encode()


def _code(answer: bytes) -> str:
    return answer.split(b'"refusal":"')[1].split(b'"')[0].decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "signing.log")


@pytest.fixture
def put_back(desk: Desk, tmp_path: Path) -> Callable[[], None]:
    """Two days' work, and a way to put back the log of the first."""
    desk.ask((1, 2))
    shutil.copy(desk.path, tmp_path / "first day")
    desk.ask((3, 4))
    return lambda: shutil.copy(tmp_path / "first day", desk.path) and None


def test_heads_are_of_the_log_and_rise(desk: Desk) -> None:
    assert desk.ask((1, 2, 3)) == ["signed"] * 3

    by_count = {record.seq: record.hash for record in desk.records()}
    assert len(desk.heads.kept) == 3
    assert [by_count[head.count] for head in desk.heads.kept] == [head.hash for head in desk.heads.kept]
    assert sorted({head.count for head in desk.heads.kept}) == [head.count for head in desk.heads.kept]


def test_requests_close_together_share_a_head_and_the_last_is_kept_at_the_end(desk: Desk) -> None:
    desk.ask((1, 2, 3), wait=timedelta(milliseconds=1))

    (head,) = desk.heads.kept
    granted = [record.seq for record in desk.records() if record.entry.kind is EntryKind.GRANTED]
    assert head.count == max(granted)


def test_an_idle_enclave_keeps_nothing_new(desk: Desk) -> None:
    desk.ask((1,))
    kept = list(desk.heads.kept)

    with Logbook.open(desk.path, now=desk.now) as logbook:
        mirror = Mirror(logbook, desk.heads)
        assert mirror.refuse(now=desk.now) is None
        for hour in range(3):
            mirror.keep(now=desk.now + timedelta(hours=hour))
        assert len(desk.heads.kept) == len(kept) + 1


def test_a_restart_agrees_with_what_was_kept(desk: Desk) -> None:
    assert desk.ask((1, 2)) == ["signed"] * 2
    assert desk.ask((3,)) == ["signed"]


def test_a_crash_before_the_last_head_was_kept_is_no_contradiction(desk: Desk) -> None:
    desk.ask((1, 2))
    desk.ask((3, 4), orderly=False, wait=timedelta(milliseconds=1))

    assert desk.ask((5,)) == ["signed"]


def test_a_crash_between_the_database_and_the_log_is_no_contradiction(desk: Desk) -> None:
    desk.ask((1, 2))
    with Logbook.open(desk.path, now=desk.now) as logbook:
        desk.heads.keep(logbook.log.head)

    assert desk.ask((3,)) == ["signed"]


def test_a_log_that_was_put_back_signs_nothing_and_says_so(desk: Desk, put_back: Callable[[], None]) -> None:
    put_back()

    assert desk.ask((5, 6)) == ["log_put_back"] * 2
    told = [record.entry.facts for record in desk.records() if record.entry.kind is EntryKind.PUT_BACK]
    assert [facts["code"] for facts in told] == ["log_put_back"]
    assert told[0]["count"] == desk.heads.kept[-1].count


def test_a_log_put_back_stays_found_out_however_long_it_grows(
    desk: Desk, put_back: Callable[[], None]
) -> None:
    put_back()
    for _ in range(20):
        desk.ask((5,))

    assert len(desk.records()) > desk.heads.kept[-1].count
    assert desk.ask((5,)) == ["log_put_back"]


def test_an_empty_log_in_place_of_the_old_one_signs_nothing(desk: Desk) -> None:
    desk.ask((1, 2))
    desk.path.unlink()

    assert desk.ask((3,)) == ["log_put_back"]


def test_a_database_that_was_put_back_is_found_out(desk: Desk, put_back: Callable[[], None]) -> None:
    del desk.heads.kept[-1]

    assert desk.ask((5,)) == ["database_put_back"]


def test_a_database_that_lost_every_head_is_found_out(desk: Desk) -> None:
    desk.ask((1,))
    desk.heads.kept.clear()

    assert desk.ask((2,)) == ["database_put_back"]


def test_nothing_is_signed_before_the_two_were_compared(desk: Desk) -> None:
    desk.heads.answers = False
    assert desk.ask((1,)) == ["mirror_unavailable"]
    desk.heads.answers = True

    assert desk.ask((1,)) == ["signed"]


def test_a_head_that_could_not_be_kept_is_kept_later(desk: Desk) -> None:
    desk.ask((1,))
    kept = len(desk.heads.kept)

    with Logbook.open(desk.path, now=desk.now) as logbook:
        mirror = Mirror(logbook, desk.heads)
        assert mirror.refuse(now=desk.now) is None
        desk.heads.answers = False
        mirror.keep(now=desk.now)
        assert mirror.keep(now=desk.now + EVERY) == EVERY
        desk.heads.answers = True
        mirror.keep(now=desk.now + 2 * EVERY)
    assert len(desk.heads.kept) == kept + 1


@pytest.mark.parametrize("lost", ["log", "database"])
def test_who_says_which_head_he_means_goes_on_and_it_is_logged(
    desk: Desk, put_back: Callable[[], None], lost: str
) -> None:
    if lost == "log":
        put_back()
    else:
        del desk.heads.kept[-1]
    count = desk.heads.kept[-1].count

    assert desk.ask((5,), accepted=count + 1) == [f"{lost}_put_back"]
    assert desk.ask((5,), accepted=count) == ["signed"]
    assert desk.ask((6,)) == ["signed"]
    accepted = [record.entry.facts for record in desk.records() if record.entry.kind is EntryKind.ACCEPTED]
    assert [facts["count"] for facts in accepted] == [count]


@dataclass
class SwallowedHeads:
    """A database that takes every question and answers none."""

    asked: int = 0

    def latest(self) -> LogHead | None:
        self.asked += 1
        raise HeadsUnavailable("no answer in time")

    def keep(self, head: LogHead) -> None:
        raise HeadsUnavailable("no answer in time")


def test_a_database_that_does_not_answer_is_not_waited_for_in_every_round(desk: Desk) -> None:
    heads = SwallowedHeads()

    with Logbook.open(desk.path, now=NOON) as logbook:
        mirror = Mirror(logbook, heads)
        answers = [mirror.refuse(now=NOON + hour * timedelta(hours=1)) for hour in range(5)]

    assert set(answers) == {"mirror_unavailable"}
    assert heads.asked == 1


@dataclass
class SlowHeads(ListedHeads):
    """A database that takes its time to say nothing."""

    def keep(self, head: LogHead) -> None:
        if not self.answers:
            threading.Event().wait(0.15)
        super().keep(head)


def test_a_database_that_is_slow_to_fail_is_asked_less_often(desk: Desk) -> None:
    heads = SlowHeads()

    with Logbook.open(desk.path, now=NOON) as logbook:
        logbook.log.append([LogEntry(kind=EntryKind.STARTED, purpose="enclave", facts={})], at=NOON)
        mirror = Mirror(logbook, heads)
        assert mirror.refuse(now=NOON) is None
        assert mirror.keep(now=NOON) == EVERY
        heads.answers = False
        pause = mirror.keep(now=NOON + EVERY)

    assert pause is not None
    assert pause >= timedelta(seconds=1.5)
