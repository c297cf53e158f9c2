"""The log: committed transfers become leaves of a Merkle tree, in an order that every reader can replay.

An account's movements stand in the log in the order of its versions, so every beginning of the log is a state
that the book could have been in, with balances that can be replayed. Where accounts do not say, the order is
that of the transactions. Signs nothing: the caller has a head signed between the two transactions.
Follows: RFC 9162 section 2.1 (tree), C2SP tlog-checkpoint (what is signed over a head).
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ledger.core.errors import EvidenceBroken
from ledger.core.facts import canonical_fact
from ledger.core.ids import ProgrammeId, TransferId
from ledger.core.merkle import GrowingTree, leaf_hash
from ledger.store.evidence import (
    UNSEALED_PAGE,
    Checkpoint,
    Unsealed,
    insert_checkpoint,
    insert_leaves,
    latest_checkpoint,
    leaf_hashes,
    lock_log,
    log_size,
    read_checkpoint,
    unsealed_page,
)
from ledger.store.tx import Tx

PAGES_MAX = 10_000  # in one transaction; what is left waits for the next


@dataclass(frozen=True, slots=True)
class TreeHead:
    """How many leaves the log has, and the root of the tree over them."""

    size: int
    root: bytes


def append_leaves(tx: Tx, programme_id: ProgrammeId) -> TreeHead:
    """Seals what has been committed since the last time; with nothing new, the head is the same again.

    Transfers that a transaction still in progress could come before wait for the next sealing, and so does
    whatever followed them on an account.

    Raises: EvidenceBroken when the log no longer has the root of its last checkpoint.
    """
    lock_log(tx, programme_id)
    size = log_size(tx, programme_id)
    for leaves in _new_leaves(tx, programme_id):
        insert_leaves(tx, programme_id, size, leaves)
        size += len(leaves)
    return _head(tx, programme_id, size)


def keep_checkpoint(tx: Tx, programme_id: ProgrammeId, head: TreeHead, note: str) -> None:
    """Keeps the signed note of a head, once: of two notes over the same head the first stays.

    Raises: EvidenceBroken when another root is kept for this size: one of the two is of a rewritten log.
    """
    insert_checkpoint(tx, programme_id, Checkpoint(head.size, head.root, note))
    kept = read_checkpoint(tx, programme_id, head.size)
    if kept is None or kept.root != head.root:
        raise EvidenceBroken(f"checkpoint {head.size} of {programme_id} is kept with another root")


Leaves = list[tuple[TransferId, bytes]]


def _new_leaves(tx: Tx, programme_id: ProgrammeId) -> Iterator[Leaves]:
    """Page by page the leaves that can be appended; each page is inserted before the next is read."""
    order = _Order()
    seen = None
    for _ in range(PAGES_MAX):
        page = unsealed_page(tx, programme_id, seen)
        yield list(order.admit(page))
        if len(page) < UNSEALED_PAGE:
            return
        seen = page[-1].seen


@dataclass(slots=True)
class _Waiting:
    leaf: bytes
    after: set[TransferId]


@dataclass(slots=True)
class _Order:
    """Lets transfers through in the order they come, but none before those that its accounts saw first."""

    _waiting: dict[TransferId, _Waiting] = field(default_factory=dict)
    _followers: dict[TransferId, list[TransferId]] = field(default_factory=lambda: defaultdict(list))

    def admit(self, page: Iterable[Unsealed]) -> Iterator[tuple[TransferId, bytes]]:
        passed: set[TransferId] = set()
        for item in page:
            transfer_id = item.seen.transfer_id
            leaf = leaf_hash(canonical_fact(item.transfer, item.entries))
            self._wait(transfer_id, _Waiting(leaf, set(item.after - passed)))
            for through in self._pass(transfer_id):
                passed.add(through[0])
                yield through

    def _wait(self, transfer_id: TransferId, waiting: _Waiting) -> None:
        self._waiting[transfer_id] = waiting
        for earlier in waiting.after:
            self._followers[earlier].append(transfer_id)

    def _pass(self, first: TransferId) -> Iterator[tuple[TransferId, bytes]]:
        """Lets one through if it waits for nobody, and then whoever waited for it alone."""
        ready = deque([first] if not self._waiting[first].after else [])
        while ready:
            transfer_id = ready.popleft()
            yield transfer_id, self._waiting.pop(transfer_id).leaf
            for follower in self._followers.pop(transfer_id, ()):
                after = self._waiting[follower].after
                after.discard(transfer_id)
                if not after:
                    ready.append(follower)


def _head(tx: Tx, programme_id: ProgrammeId, size: int) -> TreeHead:
    checkpoint = latest_checkpoint(tx, programme_id)
    tree = GrowingTree()
    _check_beginning(programme_id, checkpoint, tree)
    for leaf in leaf_hashes(tx, programme_id, size):
        tree.append(leaf)
        _check_beginning(programme_id, checkpoint, tree)
    if tree.size != size or (checkpoint is not None and checkpoint.size > size):
        raise EvidenceBroken(f"the log of {programme_id} has lost leaves")
    return TreeHead(size, tree.root())


def _check_beginning(programme_id: ProgrammeId, checkpoint: Checkpoint | None, tree: GrowingTree) -> None:
    if checkpoint is not None and tree.size == checkpoint.size and tree.root() != checkpoint.root:
        raise EvidenceBroken(
            f"the log of {programme_id} has not the root of its checkpoint {checkpoint.size}"
        )
