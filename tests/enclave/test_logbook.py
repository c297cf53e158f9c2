"""The log is read once at the start, and all that is asked of it is the same as if each had read it alone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave.log import EntryKind, LogEntry, LogHead, LogRecord, SigningLog, read_log
from enclave.logbook import Logbook
from enclave.mirror import Mirror
from enclave.refusals import RefusalCode
from enclave.seal_count import SEALED_UNDER
from enclave.signer import Letter, Peer
from tests.enclave.rings import software_keyring
from tests.enclave.signers import signer_on
from tests.enclave.test_mirror import ListedHeads

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEYRING = software_keyring()
OTHER_HASH = "0f" * 32


def sealed(number: int) -> LogEntry:
    facts = {SEALED_UNDER: "card_vault/v1", "programme_id": "prg_universal", "card_id": f"card_{number:032x}"}
    return LogEntry(kind=EntryKind.GRANTED, purpose="card_seal", facts=facts)


def mirrored(count: int, *, kind: EntryKind = EntryKind.MIRRORED) -> LogEntry:
    return LogEntry(kind=kind, purpose="mirror", facts={"count": count, "hash": OTHER_HASH})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.log"


def bytes_read() -> int:
    """What this process has read so far, from files and all else."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def test_a_start_reads_the_log_once(path: Path) -> None:
    heads = ListedHeads()
    with SigningLog.open(path, now=NOW) as log:
        log.append([sealed(number) for number in range(5_000)], at=NOW)
        heads.keep(log.head)
        log.append([mirrored(log.head.count)], at=NOW)
    size, before = path.stat().st_size, bytes_read()

    with Logbook.open(path, now=NOW) as logbook:
        mirror = Mirror(logbook, heads)
        signer = signer_on(logbook, keyring=KEYRING, clock=lambda: NOW, mirror=mirror)
        signer.record_start()
        (answer,) = signer.answer([Letter(Peer(pid=1, uid=0), b'{"purpose":"ping"}')])
        assert mirror.refuse(now=NOW) is None
        signer.close()

    assert answer == b'{"ok":true}'
    assert logbook.seals.of("card_vault/v1") == 5_000
    assert size <= bytes_read() - before < 1.2 * size


def test_what_was_cut_off_is_remembered_with_its_time(path: Path) -> None:
    later = datetime(2026, 11, 23, tzinfo=UTC)
    with SigningLog.open(path, now=NOW) as log:
        log.append([sealed(1)], at=NOW)
    with path.open("ab") as file:
        file.write(b"torn")

    with Logbook.open(path, now=later) as logbook:
        assert logbook.memory.latest == later
        assert logbook.log.head.count == 2


def put_back(records: list[LogRecord], kept: LogHead | None) -> RefusalCode | None:
    """The rule, plainly, by the whole log."""
    told = [record.entry.facts["count"] for record in records if record.entry.purpose == "mirror"]
    if (kept.count if kept else 0) < int((told[-1] if told else 0) or 0):
        return RefusalCode.DATABASE_PUT_BACK
    has = kept is None or any((record.seq, record.hash) == (kept.count, kept.hash) for record in records)
    return None if has else RefusalCode.LOG_PUT_BACK


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    before=st.lists(st.one_of(st.none(), st.integers(-3, 12)), max_size=12),
    after=st.integers(0, 3),
    kept=st.one_of(st.none(), st.integers(1, 20)),
    is_ours=st.booleans(),
)
def test_heads_are_compared_as_if_the_whole_log_were_read(
    path: Path, before: list[int | None], after: int, kept: int | None, is_ours: bool
) -> None:
    path.unlink(missing_ok=True)
    # None: a seal; below nothing: the head that was the last; else: some head that somebody accepted.
    with SigningLog.open(path, now=NOW) as log:
        for place, count in enumerate(before):
            if count is None:
                log.write([sealed(place)], at=NOW)
            elif count < 0:
                log.write([mirrored(log.head.count)], at=NOW)
            else:
                log.write([mirrored(count, kind=EntryKind.ACCEPTED)], at=NOW)

    with Logbook.open(path, now=NOW) as logbook:
        # The database may answer only when there are records more.
        logbook.log.write([sealed(number) for number in range(after)], at=NOW)
        records = list(read_log(path))
        hashes = {record.seq: record.hash for record in records}
        head = (
            None if kept is None else LogHead(kept, hashes.get(kept, OTHER_HASH) if is_ours else OTHER_HASH)
        )
        found = logbook.heads.contradiction(head, lambda place: logbook.log.records(since=place))

    assert found == put_back(records, head)
