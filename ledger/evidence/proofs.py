"""Proofs out of the database: that a transfer stands under a checkpoint, and that one checkpoint grew into another.

The subtrees that a proof needs are taken from the peaks of checkpoints wherever one of them is there, and only what
is left is computed from leaves, so a proof over a long log reads little of it. Nothing of that is believed: every
proof is checked against the roots before it is given away. Signs nothing.
Source: RFC 9162 sections 2.1.3 and 2.1.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.core.errors import EvidenceBroken, InvalidValue, NotFound
from ledger.core.facts import canonical_fact
from ledger.core.ids import ProgrammeId, TransferId
from ledger.core.merkle import (
    HASH_BYTES,
    Range,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    middle_of,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from ledger.store.evidence import (
    Checkpoint,
    latest_checkpoint,
    leaf_hashes,
    read_checkpoint,
    read_position,
    sealed_facts,
)
from ledger.store.tx import Tx

LEAVES_AT_ONCE = 2048  # below this a look-up for a peak costs more than the leaves


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A transfer's place in the log. SHA-256 of a zero byte and the `fact` is its leaf."""

    transfer_id: TransferId
    position: int
    fact: bytes
    leaf_hash: bytes
    checkpoint: Checkpoint
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Consistency:
    """Two checkpoints of one log, and what shows that the newer begins with the older."""

    older: Checkpoint
    newer: Checkpoint
    proof: tuple[bytes, ...]


def checkpoint_of(tx: Tx, programme_id: ProgrammeId, size: int | None) -> Checkpoint:
    """The checkpoint of one size, or the latest. Raises: NotFound when there is none."""
    found = latest_checkpoint(tx, programme_id) if size is None else read_checkpoint(tx, programme_id, size)
    if found is None:
        raise NotFound("checkpoint", "yet" if size is None else f"of {size} transfers")
    return found


def prove_inclusion(
    tx: Tx, programme_id: ProgrammeId, transfer_id: TransferId, *, size: int | None
) -> Inclusion:
    """Shows that a transfer stands in the log under a checkpoint of this size, or under the latest.

    Raises:
        NotFound: there is no such checkpoint, or the transfer does not stand under it.
        EvidenceBroken: what stands in the database is not what was sealed.
    """
    checkpoint = checkpoint_of(tx, programme_id, size)
    position = read_position(tx, programme_id, transfer_id)
    if position is None or position >= checkpoint.size:
        raise NotFound("transfer", f"{transfer_id} under the checkpoint of {checkpoint.size} transfers")
    fact = _fact_at(tx, programme_id, position)
    ranges = inclusion_ranges(position, checkpoint.size)
    found = Inclusion(
        transfer_id=transfer_id,
        position=position,
        fact=fact,
        leaf_hash=leaf_hash(fact),
        checkpoint=checkpoint,
        proof=_roots(tx, programme_id, ranges),
    )
    if not verify_inclusion(
        leaf=found.leaf_hash,
        index=position,
        size=checkpoint.size,
        proof=found.proof,
        expected_root=checkpoint.root,
    ):
        raise EvidenceBroken(f"{transfer_id} cannot be proved under the checkpoint of {checkpoint.size}")
    return found


def prove_consistency(tx: Tx, programme_id: ProgrammeId, *, older: int, newer: int | None) -> Consistency:
    """Shows that the log of the newer checkpoint (or the latest) begins with that of the older.

    Raises:
        InvalidValue: the older is the larger.
        NotFound: there is no checkpoint of one of the sizes.
        EvidenceBroken: what stands in the database is not what was sealed.
    """
    before, after = checkpoint_of(tx, programme_id, older), checkpoint_of(tx, programme_id, newer)
    if before.size > after.size:
        raise InvalidValue("A log grows: the older checkpoint is not the larger one.", field="from")
    ranges = consistency_ranges(old_size=before.size, size=after.size)
    found = Consistency(before, after, _roots(tx, programme_id, ranges))
    if not verify_consistency(
        old_size=before.size,
        old_root=before.root,
        new_size=after.size,
        new_root=after.root,
        proof=found.proof,
    ):
        raise EvidenceBroken(f"the log of {after.size} does not begin with the log of {before.size}")
    return found


def _fact_at(tx: Tx, programme_id: ProgrammeId, position: int) -> bytes:
    """The canonical bytes of the fact at one position, as it stands today."""
    for sealed in sealed_facts(tx, programme_id, start=position, end=position + 1):
        try:
            return canonical_fact(sealed.transfer, sealed.entries)
        except TypeError as error:
            raise EvidenceBroken(f"{sealed.transfer.id} is not what was sealed of it") from error
    raise EvidenceBroken(f"the transfer at position {position} of {programme_id} is not there")


def _roots(tx: Tx, programme_id: ProgrammeId, ranges: Sequence[Range]) -> tuple[bytes, ...]:
    return tuple(_root_of(tx, programme_id, start, end) for start, end in ranges)


def _root_of(tx: Tx, programme_id: ProgrammeId, start: int, end: int) -> bytes:
    """The root over the leaves of a subtree; goes no deeper than the tree is high."""
    if end - start <= LEAVES_AT_ONCE:
        return root(leaf_hashes(tx, programme_id, start=start, end=end))
    peak = _peak_over(tx, programme_id, start, end)
    if peak is not None:
        return peak
    middle = middle_of(start, end)
    left, right = _root_of(tx, programme_id, start, middle), _root_of(tx, programme_id, middle, end)
    return node_hash(left, right)


def _peak_over(tx: Tx, programme_id: ProgrammeId, start: int, end: int) -> bytes | None:
    """The root of a full subtree, if it is a peak of some checkpoint.

    It is one from the moment it is full until the subtree to its right is full as well. A right-hand subtree never
    is: the moment it is full, it becomes one with its left neighbour.
    """
    width = end - start
    if width & (width - 1) or start & width:
        return None
    checkpoint = latest_checkpoint(tx, programme_id, below=end + width)
    if checkpoint is None or checkpoint.size < end:
        return None
    # The peaks before this one are those of the bits of the size above the width.
    before = (checkpoint.size >> width.bit_length()).bit_count()
    return checkpoint.peaks[before * HASH_BYTES : (before + 1) * HASH_BYTES]
