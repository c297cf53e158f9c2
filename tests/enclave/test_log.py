"""The chain: what was written stays written, and every change to it shows at its line."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave.log import (
    LINE_BYTES_MAX,
    EntryKind,
    LogBroken,
    LogEntry,
    LogFacts,
    LogHead,
    LogRecord,
    LogTorn,
    LogUnavailable,
    Place,
    SigningLog,
    audit,
)
from enclave.logbook import Logbook
from enclave.memory import Memory, SignedPayout

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def entry(number: int, *, kind: EntryKind = EntryKind.GRANTED) -> LogEntry:
    facts: LogFacts = {
        "payout_id": f"pay_{number:032x}",
        "digest": f"{number:064x}",
        "programme_id": "prg_universal",
        "amount_minor": number,
        "currency": "EUR",
    }
    return LogEntry(kind=kind, purpose="payout", facts=facts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.log"


@pytest.fixture
def three_records(path: Path) -> Path:
    with SigningLog.open(path, now=NOW) as log:
        log.append([entry(1), entry(2)], at=NOW)
        log.append([entry(3)], at=NOW)
    return path


def test_an_empty_log_has_no_records(path: Path) -> None:
    with SigningLog.open(path, now=NOW) as log:
        assert log.head.count == 0

    assert audit(path).count == 0


def test_the_chain_goes_on_after_a_restart(three_records: Path) -> None:
    before = audit(three_records)

    with SigningLog.open(three_records, now=NOW) as log:
        assert log.head == before
        log.append([entry(4)], at=NOW)

    assert audit(three_records).count == 4


def test_the_log_is_for_its_owner_alone(path: Path) -> None:
    with SigningLog.open(path, now=NOW):
        assert path.stat().st_mode & 0o777 == 0o600


def test_an_edited_line_is_named(three_records: Path) -> None:
    text = three_records.read_bytes()
    three_records.write_bytes(text.replace(b'"amount_minor":2', b'"amount_minor":9'))

    with pytest.raises(LogBroken, match="line 2") as broken:
        audit(three_records)
    assert broken.value.line == 2
    with pytest.raises(LogBroken):
        SigningLog.open(three_records, now=NOW)


def test_a_line_with_a_recomputed_hash_breaks_the_next_one(three_records: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged.log"
    with SigningLog.open(forged, now=NOW) as log:
        log.append([entry(1), entry(9)], at=NOW)
    lines = three_records.read_bytes().splitlines(keepends=True)
    lines[1] = forged.read_bytes().splitlines(keepends=True)[1]
    three_records.write_bytes(b"".join(lines))

    with pytest.raises(LogBroken, match="line 3"):
        audit(three_records)


@pytest.mark.parametrize(("order", "line"), [((0, 2), 2), ((1, 2), 1), ((1, 0, 2), 1), ((0, 1, 1, 2), 3)])
def test_a_line_dropped_moved_or_repeated_is_named(
    three_records: Path, order: tuple[int, ...], line: int
) -> None:
    lines = three_records.read_bytes().splitlines(keepends=True)
    three_records.write_bytes(b"".join(lines[place] for place in order))

    with pytest.raises(LogBroken) as broken:
        audit(three_records)
    assert broken.value.line == line


ODD_HASH = b'{"at":"","facts":{},"hash":"\\ud800","kind":"granted","prev":"","purpose":"","seq":4}\n'


@pytest.mark.parametrize(
    "junk",
    [
        *(b"\n", b"{}\n", b"not json\n", b"[1]\n", b"\x00\n", ODD_HASH),
        *(b"x" * 20_000 + b"\n", b"\x00" * 50_000 + b"\n{"),
    ],
)
def test_a_line_that_is_no_record_is_named(three_records: Path, junk: bytes) -> None:
    with three_records.open("ab") as file:
        file.write(junk)

    with pytest.raises(LogBroken, match="line 4"):
        audit(three_records)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_no_byte_of_the_log_can_change_unnoticed(three_records: Path, place: float, value: int) -> None:
    good = three_records.read_bytes()
    changed = bytearray(good)
    changed[int(place * len(good))] = value
    copy = three_records.with_suffix(".copy")
    copy.write_bytes(changed)

    if changed == good:
        assert audit(copy).count == 3
    else:
        with pytest.raises(LogBroken):
            audit(copy)


def test_a_torn_last_line_is_named_by_the_audit(three_records: Path) -> None:
    with three_records.open("ab") as file:
        file.write(b'{"at":"2026-')

    with pytest.raises(LogTorn, match="line 4"):
        audit(three_records)


@pytest.mark.parametrize("kept", [1, 50, -1])
def test_a_torn_last_line_is_cut_off_and_the_cut_recorded(three_records: Path, kept: int) -> None:
    lines = three_records.read_bytes().splitlines(keepends=True)
    three_records.write_bytes(b"".join(lines[:2]) + lines[2][:kept])

    with SigningLog.open(three_records, now=NOW) as log:
        kinds = [record.entry.kind for record in log.records()]
        log.append([entry(4)], at=NOW)

    assert kinds == [EntryKind.GRANTED, EntryKind.GRANTED, EntryKind.TAIL_CUT]
    assert audit(three_records).count == 4


@pytest.mark.parametrize(
    "length", [1, LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 5 * LINE_BYTES_MAX]
)
@pytest.mark.parametrize("begun", [b"", b'{"at":"2026-'])
def test_a_torn_tail_is_cut_off_however_long_it_is(three_records: Path, begun: bytes, length: int) -> None:
    tail = begun + b"\x00" * length
    with three_records.open("ab") as file:
        file.write(tail)

    with SigningLog.open(three_records, now=NOW) as log:
        *_, cut = log.records()
        log.append([entry(4)], at=NOW)

    assert cut.entry.kind is EntryKind.TAIL_CUT
    assert cut.entry.facts == {"bytes": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}
    assert audit(three_records).count == 5


def test_who_reads_along_is_told_of_every_record_and_of_a_cut(three_records: Path) -> None:
    with three_records.open("ab") as file:
        file.write(b"torn")
    told: list[tuple[LogRecord, Place]] = []

    with SigningLog.open(three_records, now=NOW, reader=lambda *read: told.append(read)) as log:
        assert [record for record, _ in told] == list(log.records())

        for number, (_, place) in enumerate(told):
            assert list(log.records(since=place)) == [record for record, _ in told[number:]]


def test_a_log_that_is_read_from_elsewhere_does_not_hold(three_records: Path) -> None:
    with SigningLog.open(three_records, now=NOW) as log:
        other = LogHead(count=1, hash="0f" * 32)
        offset = len(three_records.read_bytes().splitlines(keepends=True)[0])

        with pytest.raises(LogBroken, match="line 2"):
            list(log.records(since=Place(other, offset)))


def test_two_enclaves_cannot_hold_one_log(path: Path) -> None:
    with SigningLog.open(path, now=NOW), pytest.raises(LogUnavailable, match="another enclave"):
        SigningLog.open(path, now=NOW)


def test_a_log_that_somebody_else_wrote_to_is_not_written_any_more(path: Path) -> None:
    with SigningLog.open(path, now=NOW) as log:
        log.append([entry(1)], at=NOW)
        with path.open("ab") as file:
            file.write(b"x")

        with pytest.raises(LogUnavailable):
            log.append([entry(2)], at=NOW)


def test_a_log_that_was_removed_is_not_written_any_more(path: Path) -> None:
    with SigningLog.open(path, now=NOW) as log:
        path.unlink()

        with pytest.raises(LogUnavailable):
            log.append([entry(1)], at=NOW)


def test_what_is_not_a_regular_file_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for place in (tmp_path / "pipe", tmp_path, tmp_path / "absent" / "signing.log", Path("/dev/full")):
        with pytest.raises(LogUnavailable):
            SigningLog.open(place, now=NOW)


def test_a_log_behind_a_symbolic_link_is_not_opened(tmp_path: Path, three_records: Path) -> None:
    link = tmp_path / "link.log"
    link.symlink_to(three_records)

    with pytest.raises(LogUnavailable):
        SigningLog.open(link, now=NOW)


def test_memory_is_what_the_log_granted_and_no_more(path: Path) -> None:
    root = "ab" * 32
    checkpoint = LogEntry(
        kind=EntryKind.GRANTED, purpose="checkpoint", facts={"origin": "o", "size": 5, "root": root}
    )
    with SigningLog.open(path, now=NOW) as log:
        log.append([entry(1), entry(2, kind=EntryKind.REFUSED), checkpoint], at=NOW)
    with Logbook.open(path, now=NOW) as logbook:
        memory = logbook.memory

    last = memory.last_checkpoint("o")
    assert memory.signed_payout(f"pay_{1:032x}") == SignedPayout(f"{1:064x}", "body_rsa_sha256", None)
    assert memory.signed_payout(f"pay_{2:032x}") is None
    assert last is not None
    assert (last.size, last.root.hex()) == (5, root)


def test_a_branch_of_memory_leaves_no_trace_until_it_joins() -> None:
    memory = Memory()
    branch = memory.branch()

    branch.remember(entry(1), at=NOW)

    assert branch.signed_payout(f"pay_{1:032x}") is not None
    assert memory.signed_payout(f"pay_{1:032x}") is None
    memory.join([entry(1)], at=NOW)
    assert memory.signed_payout(f"pay_{1:032x}") is not None


def test_a_record_that_nobody_could_read_again_is_not_written(path: Path) -> None:
    long = LogEntry(kind=EntryKind.REFUSED, purpose="payout", facts={"currency": "E" * LINE_BYTES_MAX})

    with SigningLog.open(path, now=NOW) as log:
        with pytest.raises(LogUnavailable, match="longer"):
            log.append([entry(1), long], at=NOW)
        log.append([entry(1)], at=NOW)

    assert audit(path).count == 1
