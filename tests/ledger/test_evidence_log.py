"""The log: what it takes in and in which order, while others post, while others seal, when someone lies."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from ledger.core.commands import Leg
from ledger.core.errors import EvidenceBroken
from ledger.core.facts import canonical_fact
from ledger.core.ids import AccountId, ProgrammeId, TransferId, to_uuid
from ledger.core.merkle import EMPTY_ROOT, leaf_hash, root
from ledger.evidence.log import TreeHead, append_leaves, keep_checkpoint
from ledger.store.evidence import (
    _UNSEALED_BEFORE,
    UNSEALED_PAGE,
    Checkpoint,
    ExportState,
    insert_export,
    latest_checkpoint,
    leaf_hashes,
    read_checkpoint,
    read_export,
    save_export_failed,
    save_export_ready,
    sealed_facts,
    unsealed_page,
)
from ledger.store.packing import uuids
from ledger.store.schema import checkpoints
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx, make_programme
from tests.ledger.chronicle import analyse
from tests.ledger.sealed import order_in_log, rewrite, seal, small_book, unsigned
from tests.ledger.world import WAIT_S, Asker, asker, done, open_account, wait_until_blocked


@pytest.fixture
def asks(open_tx: OpenTx, programme_id: ProgrammeId) -> Asker:
    with open_tx() as tx:
        return asker(tx, programme_id)


OPENED = 6


@pytest.fixture
def unbounded(open_tx: OpenTx, programme_id: ProgrammeId) -> list[AccountId]:
    """Accounts that may go below zero, so that any movement between them succeeds; their openings are sealed."""
    with open_tx() as tx:
        opened = [open_account(tx, programme_id, floor_minor=None) for _ in range(OPENED)]
    seal(open_tx, programme_id, size=OPENED)
    return opened


def _take_xid(tx: Tx) -> None:
    tx.run(sa.text("SELECT pg_current_xact_id()"))


def _posted_in_log(tx: Tx, programme_id: ProgrammeId, size: int) -> list[TransferId]:
    return order_in_log(tx, programme_id, size)[OPENED:]


def _seal_once(open_tx: OpenTx, programme_id: ProgrammeId) -> TreeHead:
    """One sealing, with the checkpoint that ends it."""
    with open_tx() as tx:
        head = append_leaves(tx, programme_id)
        keep_checkpoint(tx, programme_id, head, unsigned(head))
        return head


def test_a_log_without_facts_has_the_empty_root(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    head = _seal_once(open_tx, programme_id)

    assert head == TreeHead(0, EMPTY_ROOT, b"")


def test_every_transfer_is_a_leaf_of_its_canonical_bytes(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)

    head = seal(open_tx, programme_id, size=size)

    with open_tx() as tx:
        facts = list(sealed_facts(tx, programme_id, end=size))
        kept = list(leaf_hashes(tx, programme_id, end=size))
    assert [item.position for item in facts] == list(range(size))
    assert [leaf_hash(canonical_fact(item.transfer, item.entries)) for item in facts] == kept
    assert (head.size, head.root) == (size, root(kept))


def test_sealing_again_with_nothing_new_gives_the_same_head(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    first = seal(open_tx, programme_id, size=size)

    assert _seal_once(open_tx, programme_id) == first


def test_a_sealing_that_is_undone_leaves_nothing(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)

    def sealed_and_lost() -> None:
        with open_tx() as tx:
            append_leaves(tx, programme_id)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        sealed_and_lost()

    with open_tx() as tx:
        assert order_in_log(tx, programme_id, size) == []
    seal(open_tx, programme_id, size=size)


def test_a_programme_has_a_log_of_its_own(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        other = make_programme(tx, "pay-uk")
        ours, theirs = asker(tx, programme_id), asker(tx, other)
        for asks in (ours, theirs):
            pair = [open_account(tx, asks.programme_id, floor_minor=None) for _ in range(2)]
            done(tx, asks.post("one", Leg(*pair, 100)))

    seal(open_tx, programme_id, size=3)

    with open_tx() as tx:
        assert order_in_log(tx, programme_id, 3)[2:] == [ours.xfr("one")]
        assert order_in_log(tx, other, 3) == []


def test_a_transfer_that_began_earlier_and_commits_later_is_not_skipped(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as slow:
        done(slow, asks.post("slow", Leg(unbounded[0], unbounded[1], 5)))
        with open_tx() as quick:
            done(quick, asks.post("quick", Leg(unbounded[2], unbounded[3], 5)))
        while_it_runs = _seal_once(open_tx, programme_id)

    seal(open_tx, programme_id, size=OPENED + 2)

    assert while_it_runs.size == OPENED
    with open_tx() as tx:
        assert _posted_in_log(tx, programme_id, OPENED + 2) == [asks.xfr("slow"), asks.xfr("quick")]


def test_a_transfer_waits_for_the_one_that_its_account_saw_first(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with ExitStack() as early_ends, ExitStack() as bystander_ends:
        early = early_ends.enter_context(open_tx())
        _take_xid(early)
        bystander = bystander_ends.enter_context(open_tx())
        _take_xid(bystander)
        with open_tx() as late:
            done(late, asks.post("first on the account", Leg(unbounded[0], unbounded[1], 5)))
        done(early, asks.post("second on the account", Leg(unbounded[1], unbounded[2], 5)))
        done(early, asks.post("third, elsewhere", Leg(unbounded[2], unbounded[3], 5)))
        done(early, asks.post("of other accounts", Leg(unbounded[4], unbounded[5], 5)))
        early_ends.close()
        while_it_runs = _seal_once(open_tx, programme_id)
        bystander_ends.close()

    seal(open_tx, programme_id, size=OPENED + 4)

    assert while_it_runs.size == OPENED, "what one transaction wrote is sealed together"
    with open_tx() as tx:
        order = _posted_in_log(tx, programme_id, OPENED + 4)
    names = ("first on the account", "second on the account", "third, elsewhere")
    assert [item for item in order if item != asks.xfr("of other accounts")] == [
        asks.xfr(name) for name in names
    ]


def test_transactions_come_in_the_order_of_their_numbers(database: Database, open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    changes = [
        f"UPDATE transfers SET xid = '{xid}' WHERE reference = '{reference}'"
        for reference, xid in (("dinar", 100), ("funded", 99), ("coins", 9), ("points", 10))
    ]
    rewrite(database, *changes)

    with open_tx() as tx:
        page = unsealed_page(tx, programme_id, None)
        behind = unsealed_page(tx, programme_id, page[2].seen)
    numbers = [int(item.seen.xid) for item in page]
    assert len(numbers) == size
    assert numbers == sorted(numbers)
    assert numbers[:4] == [9, 10, 99, 100]
    assert behind == page[3:]


def test_what_came_just_before_is_looked_up_however_large_the_book(
    database: Database, open_tx: OpenTx, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as tx:
        done(tx, *(asks.post(f"before {n}", Leg(unbounded[n % 2], unbounded[2], 1)) for n in range(8_000)))
    analyse(database, "transfers", "further_legs", "accounts")
    names = ("last", "last but one", "hold")
    with open_tx() as tx:
        done(
            tx,
            asks.post(names[0], Leg(unbounded[0], unbounded[2], 1), Leg(unbounded[1], unbounded[2], 1)),
            asks.post(names[1], Leg(unbounded[1], unbounded[2], 1)),
            asks.hold(names[2], unbounded[3], amount_minor=1),
        )

    with open_tx() as tx:
        ids = uuids([asks.xfr(name) for name in names])
        ((said,),) = tx.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_UNSEALED_BEFORE}", ids, ids, ids)
        ((whole,),) = tx.fetch("SELECT relpages FROM pg_class WHERE relname = 'transfers'")

    plan = said[0]["Plan"]
    assert whole > 200
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100


def test_more_than_a_page_may_wait_for_a_transfer_on_a_later_page(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    many = UNSEALED_PAGE + 100
    with open_tx() as early:
        _take_xid(early)
        with open_tx() as late:
            done(late, asks.post("first", Leg(unbounded[0], unbounded[1], 5)))
        done(early, *(asks.post(f"after {n}", Leg(unbounded[1], unbounded[2], 5)) for n in range(many)))

    head = seal(open_tx, programme_id, size=OPENED + many + 1)

    with open_tx() as tx:
        order = _posted_in_log(tx, programme_id, head.size)
        assert head.root == root(leaf_hashes(tx, programme_id, end=head.size))
    assert order == [asks.xfr("first"), *(asks.xfr(f"after {n}") for n in range(many))]


def test_every_beginning_of_the_log_can_be_replayed_whoever_posted_meanwhile(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    writers, rounds = 4, 15

    def write(writer: int) -> None:
        for n in range(rounds):
            debit, credit = unbounded[(writer + n) % 5], unbounded[(writer + 3 * n + 1) % 5]
            with open_tx() as tx:
                _take_xid(tx)
                done(
                    tx, asks.post(f"{writer} {n}", Leg(debit, credit if credit != debit else unbounded[5], 1))
                )

    with ThreadPoolExecutor(writers) as pool:
        writing = [pool.submit(write, writer) for writer in range(writers)]
        heads = [_seal_once(open_tx, programme_id)]
        while not all(item.done() for item in writing):
            heads.append(_seal_once(open_tx, programme_id))
        assert [item.result() for item in writing] == [None] * writers
    size = OPENED + writers * rounds
    heads.append(seal(open_tx, programme_id, size=size))

    with open_tx() as tx:
        facts = list(sealed_facts(tx, programme_id, end=size))
        leaves = list(leaf_hashes(tx, programme_id, end=size))
        transactions = _transactions(tx, programme_id)
    versions: dict[str, list[int]] = defaultdict(list)
    for item in facts:
        for entry in item.entries:
            versions[entry.account_id].append(entry.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert all(head.root == root(leaves[: head.size]) for head in heads)
    for head in heads:
        sealed, later = transactions[: head.size], transactions[head.size :]
        assert not later or max(sealed) < min(later), "a sealing takes whole transactions, oldest first"


def _transactions(tx: Tx, programme_id: ProgrammeId) -> list[int]:
    """The ids of the transactions that wrote the transfers in the log, in its order."""
    query = sa.text(
        "SELECT CAST(CAST(xid AS text) AS bigint) AS xid FROM log_leaves JOIN transfers ON id = transfer_id"
        " WHERE transfers.programme_id = :programme ORDER BY position"
    )
    return [row["xid"] for row in tx.rows(query, {"programme": to_uuid("prg", programme_id)})]


def test_a_second_sealer_waits_for_the_first_and_goes_on_from_there(
    database: Database, open_tx: OpenTx
) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    with ThreadPoolExecutor(1) as pool:
        with open_tx() as tx:
            first = append_leaves(tx, programme_id)
            sealing = pool.submit(_seal_once, open_tx, programme_id)
            wait_until_blocked(database.app_engine)
        second = sealing.result()

    assert first.size <= second.size <= size
    seal(open_tx, programme_id, size=size)


def test_nobody_who_posts_waits_for_a_sealer(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as tx:
        done(tx, asks.post("before", Leg(unbounded[0], unbounded[1], 5)))

    with open_tx() as sealer:
        append_leaves(sealer, programme_id)
        with open_tx() as tx:
            tx.run(sa.text("SET LOCAL lock_timeout = '2s'"))
            done(tx, asks.post("meanwhile", Leg(unbounded[0], unbounded[1], 5)))

    seal(open_tx, programme_id, size=OPENED + 2)


def test_a_head_is_signed_before_the_log_goes_on(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as tx:
        done(tx, asks.post("before", Leg(unbounded[0], unbounded[1], 5)))
    unsigned_head = _append_until(open_tx, programme_id, OPENED + 1)
    with open_tx() as tx:
        done(tx, asks.post("meanwhile", Leg(unbounded[0], unbounded[1], 5)))

    with open_tx() as tx:
        again = append_leaves(tx, programme_id)

    assert again == unsigned_head
    assert again.more
    with open_tx() as tx:
        keep_checkpoint(tx, programme_id, again, unsigned(again))
    assert seal(open_tx, programme_id, size=OPENED + 2).more is False


def _append_until(open_tx: OpenTx, programme_id: ProgrammeId, size: int) -> TreeHead:
    """Appends leaves until the log has this size, and keeps no checkpoint of it."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with open_tx() as tx:
            head = append_leaves(tx, programme_id)
        if head.size == size:
            return head
    raise AssertionError(f"the log has {head.size} leaves, not {size}")


def test_sealing_goes_on_from_the_last_checkpoint_and_reads_no_older_leaf(
    database: Database, open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as tx:
        true_leaves = list(leaf_hashes(tx, programme_id, end=OPENED))
    rewrite(database, "UPDATE log_leaves SET leaf_hash = sha256('never read again') WHERE position = 2")
    with open_tx() as tx:
        done(tx, asks.post("later", Leg(unbounded[0], unbounded[1], 5)))

    head = seal(open_tx, programme_id, size=OPENED + 1)

    with open_tx() as tx:
        (new,) = leaf_hashes(tx, programme_id, start=OPENED, end=OPENED + 1)
    assert head.root == root([*true_leaves, new])


def test_a_checkpoint_says_how_far_the_log_reached(
    open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    later = MONDAY_MORNING + timedelta(hours=5)
    with open_tx(now=later) as tx:
        done(tx, asks.post("later", Leg(unbounded[0], unbounded[1], 5)))
    with open_tx(now=MONDAY_MORNING + timedelta(hours=1)) as tx:
        done(tx, asks.post("on other accounts, by a clock behind", Leg(unbounded[2], unbounded[3], 5)))

    seal(open_tx, programme_id, size=OPENED + 2)

    with open_tx() as tx:
        query = sa.select(checkpoints.c.sealed_at).order_by(checkpoints.c.size.desc()).limit(1)
        row = tx.row(query)
    assert row is not None
    assert row["sealed_at"] == later


def test_a_checkpoint_is_kept_once(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    head = TreeHead(0, EMPTY_ROOT, b"")
    with open_tx() as tx:
        keep_checkpoint(tx, programme_id, head, "first note")
        keep_checkpoint(tx, programme_id, head, "second note")

    with open_tx() as tx:
        kept = Checkpoint(0, EMPTY_ROOT, b"", "first note")
        assert latest_checkpoint(tx, programme_id) == read_checkpoint(tx, programme_id, 0) == kept
        assert read_checkpoint(tx, programme_id, 1) is None


def test_two_roots_for_one_size_are_a_broken_log(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        keep_checkpoint(tx, programme_id, TreeHead(1, leaf_hash(b"one"), leaf_hash(b"one")), "note")

    other = TreeHead(1, leaf_hash(b"other"), leaf_hash(b"other"))
    with pytest.raises(EvidenceBroken, match="another root"), open_tx() as tx:
        keep_checkpoint(tx, programme_id, other, "note")


def test_a_checkpoint_whose_peaks_were_rewritten_is_sealed_no_further(
    database: Database, open_tx: OpenTx
) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    seal(open_tx, programme_id, size=size)

    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute("ALTER TABLE checkpoints DROP CONSTRAINT checkpoints_have_peaks_of_their_size")
    rewrite(database, f"UPDATE checkpoints SET peaks = peaks || sha256('x') WHERE size = {size}")
    with pytest.raises(EvidenceBroken, match="peaks"):
        _seal_once(open_tx, programme_id)

    rewrite(
        database,
        f"UPDATE checkpoints SET peaks = sha256('x') || substr(peaks, 33, length(peaks) - 64) WHERE size = {size}",
    )
    with pytest.raises(EvidenceBroken, match="not the root of its peaks"):
        _seal_once(open_tx, programme_id)


def test_a_log_that_has_lost_its_end_is_sealed_no_further(database: Database, open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    seal(open_tx, programme_id, size=size)
    last = f"SELECT transfer_id FROM log_leaves WHERE position = {size - 1}"

    rewrite(
        database,
        f"UPDATE transfers SET reference = 'x' WHERE id = ({last})",
        f"DELETE FROM log_leaves WHERE position = {size - 1}",
    )

    with pytest.raises(EvidenceBroken, match="has lost leaves"):
        _seal_once(open_tx, programme_id)


def test_leaves_that_are_gone_before_their_head_was_signed_are_missed(
    database: Database, open_tx: OpenTx, programme_id: ProgrammeId, asks: Asker, unbounded: list[AccountId]
) -> None:
    with open_tx() as tx:
        done(tx, *(asks.post(str(n), Leg(unbounded[0], unbounded[1], 5)) for n in range(3)))
    _append_until(open_tx, programme_id, OPENED + 3)

    rewrite(database, f"DELETE FROM log_leaves WHERE position = {OPENED + 1}")

    with pytest.raises(EvidenceBroken, match="has lost leaves"):
        _seal_once(open_tx, programme_id)


def test_an_export_is_asked_for_and_then_ready_or_failed_once(
    open_tx: OpenTx, programme_id: ProgrammeId
) -> None:
    with open_tx() as tx:
        good, bad = insert_export(tx, programme_id), insert_export(tx, programme_id)
        other = make_programme(tx, "pay-uk")
        assert good.state is ExportState.REQUESTED

        assert save_export_ready(tx, good.id, directory="exports/one")
        assert save_export_failed(tx, bad.id, detail="the enclave is away")
        assert not save_export_failed(tx, good.id, detail="too late")
        assert not save_export_ready(tx, bad.id, directory="exports/two")

    with open_tx() as tx:
        found = [read_export(tx, programme_id, export.id) for export in (good, bad)]
        assert read_export(tx, other, good.id) is None
    assert [(item.state, item.directory, item.detail) for item in found if item] == [
        (ExportState.READY, "exports/one", None),
        (ExportState.FAILED, None, "the enclave is away"),
    ]
