"""Proofs out of the database: the same as those over all leaves, checked, and none of what was rewritten."""

import hashlib
from dataclasses import dataclass

import pytest

from ledger.core.errors import EvidenceBroken, InvalidValue, NotFound
from ledger.core.facts import canonical_fact
from ledger.core.ids import ProgrammeId, TransferId
from ledger.core.merkle import (
    GrowingTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from ledger.evidence.log import TreeHead, keep_checkpoint
from ledger.evidence.proofs import LEAVES_AT_ONCE, prove_consistency, prove_inclusion
from ledger.store.evidence import insert_leaves, leaf_hashes, sealed_facts
from ledger.store.tx import Tx
from tests.conftest import Database, OpenTx, make_programme
from tests.ledger.sealed import order_in_log, rewrite, seal, small_book, unsigned

pytestmark = pytest.mark.slow

SIZES = (0, 700, LEAVES_AT_ONCE, 3_000, 5_000, 6_143, 8_192, 9_999, 10_000)


@dataclass(frozen=True)
class Log:
    """A log that begins with a small book, and goes on with leaves of nothing in particular."""

    programme_id: ProgrammeId
    transfers: list[TransferId]
    leaves: list[bytes]


@pytest.fixture
def log(open_tx: OpenTx) -> Log:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
        keep_checkpoint(tx, programme_id, TreeHead(0, GrowingTree().root(), b""), "nothing yet")
    seal(open_tx, programme_id, size=size)
    with open_tx() as tx:
        more = [
            (TransferId(tx.new_id("xfr")), hashlib.sha256(str(position).encode()).digest())
            for position in range(size, SIZES[-1])
        ]
        insert_leaves(tx, programme_id, size, more)
        leaves = list(leaf_hashes(tx, programme_id, end=SIZES[-1]))
        _keep_checkpoints(tx, programme_id, leaves)
        return Log(programme_id, order_in_log(tx, programme_id, size), leaves)


def _keep_checkpoints(tx: Tx, programme_id: ProgrammeId, leaves: list[bytes]) -> None:
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf)
        if tree.size in SIZES:
            head = TreeHead(tree.size, tree.root(), tree.peaks)
            keep_checkpoint(tx, programme_id, head, unsigned(head))


@pytest.mark.parametrize("place", [0, 1, 30, -1])
@pytest.mark.parametrize("size", [700, 5_000, 10_000, None])
def test_a_transfer_is_proved_under_every_checkpoint_behind_it(
    open_tx: OpenTx, log: Log, place: int, size: int | None
) -> None:
    transfer_id = log.transfers[place]

    with open_tx() as tx:
        found = prove_inclusion(tx, log.programme_id, transfer_id, size=size)
        (sealed,) = sealed_facts(tx, log.programme_id, start=found.position, end=found.position + 1)

    assert found.transfer_id == sealed.transfer.id == transfer_id
    assert found.fact == canonical_fact(sealed.transfer, sealed.entries)
    assert found.leaf_hash == leaf_hash(found.fact) == log.leaves[found.position]
    assert found.checkpoint.size == (size or SIZES[-1])
    assert found.proof == inclusion_proof(log.leaves[: found.checkpoint.size], found.position)
    assert verify_inclusion(
        leaf=found.leaf_hash,
        index=found.position,
        size=found.checkpoint.size,
        proof=found.proof,
        expected_root=found.checkpoint.root,
    )


@pytest.mark.parametrize("newer", SIZES)
def test_every_checkpoint_is_proved_to_begin_with_every_older_one(
    open_tx: OpenTx, log: Log, newer: int
) -> None:
    for older in (size for size in SIZES if size <= newer):
        with open_tx() as tx:
            found = prove_consistency(tx, log.programme_id, older=older, newer=newer)

        assert found.proof == consistency_proof(log.leaves[:newer], older)
        assert verify_consistency(
            old_size=older,
            old_root=found.older.root,
            new_size=newer,
            new_root=found.newer.root,
            proof=found.proof,
        )


def test_without_a_newer_size_the_latest_checkpoint_is_meant(open_tx: OpenTx, log: Log) -> None:
    with open_tx() as tx:
        assert prove_consistency(tx, log.programme_id, older=700, newer=None).newer.size == SIZES[-1]


def test_leaves_that_stand_under_a_peak_are_not_read(database: Database, open_tx: OpenTx, log: Log) -> None:
    # The subtree over the first 4,096 leaves is a peak of the checkpoint of 5,000.
    rewrite(database, "UPDATE log_leaves SET leaf_hash = sha256('x') WHERE position = 3100")

    with open_tx() as tx:
        found = prove_consistency(tx, log.programme_id, older=6_143, newer=10_000)

    assert found.proof == consistency_proof(log.leaves, 6_143)


def test_a_proof_that_needs_what_was_rewritten_is_not_given(
    database: Database, open_tx: OpenTx, log: Log
) -> None:
    rewrite(database, "UPDATE log_leaves SET leaf_hash = sha256('x') WHERE position = 9998")

    with open_tx() as tx, pytest.raises(EvidenceBroken, match="does not begin with"):
        prove_consistency(tx, log.programme_id, older=8_192, newer=10_000)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transfers SET reference = 'innocent' WHERE reference = 'mistaken'",
        """UPDATE transfers SET asked = '{"x": 1.5}' WHERE reference = 'mistaken'""",
        "UPDATE transfers SET amount_minor = 8 WHERE reference = 'mistaken'",
        "DELETE FROM transfers WHERE reference = 'mistaken'",
    ],
)
def test_a_transfer_that_was_rewritten_is_not_proved(
    database: Database, open_tx: OpenTx, log: Log, change: str
) -> None:
    with open_tx() as tx:
        facts = sealed_facts(tx, log.programme_id, end=len(log.transfers))
        mistaken = next(
            TransferId(item.transfer.id) for item in facts if item.transfer.reference == "mistaken"
        )
    rewrite(database, change)

    with open_tx() as tx, pytest.raises(EvidenceBroken):
        prove_inclusion(tx, log.programme_id, mistaken, size=None)


def test_what_is_not_there_is_not_proved(open_tx: OpenTx, log: Log) -> None:
    with open_tx() as tx:
        other = make_programme(tx, "pay-uk")

        with pytest.raises(NotFound, match="checkpoint of 701"):
            prove_inclusion(tx, log.programme_id, log.transfers[0], size=701)
        with pytest.raises(NotFound, match="under the checkpoint of 0"):
            prove_inclusion(tx, log.programme_id, log.transfers[0], size=0)
        with pytest.raises(NotFound, match="transfer"):
            prove_inclusion(tx, log.programme_id, TransferId(tx.new_id("xfr")), size=None)
        with pytest.raises(NotFound, match="checkpoint yet"):
            prove_inclusion(tx, other, log.transfers[0], size=None)
        with pytest.raises(NotFound, match="checkpoint of 1 "):
            prove_consistency(tx, log.programme_id, older=1, newer=700)
        with pytest.raises(InvalidValue, match="not the larger"):
            prove_consistency(tx, log.programme_id, older=5_000, newer=700)
