"""The log: committed transfers become leaves of a Merkle tree, in an order that every reader can replay.

An account's movements stand in the log in the order of its versions, so every beginning of the log is a state
that the book could have been in, with balances that can be replayed. The log closes over whole transactions, oldest
first: whatever a transaction below the newest sealed one has written is sealed too, so that nobody has to look for
it again. Within one sealing, where accounts do not say, the order is that of the transactions.

Every head is signed before the log goes on, so each sealing has its checkpoint, and the next goes on from that one's
peaks: what was sealed is not read again. Signs nothing: the caller has a head signed between the two transactions.
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

PAGES = 25  # for one checkpoint; what is left waits for the next
PAGES_MAX = 2_500  # while a transfer waits for another one further on


@dataclass(frozen=True, slots=True)
class TreeHead:
    """How many leaves the log has, the root of the tree over them, and the tree's peaks, from which it goes on.

    `more`: once this head is signed, there is more to seal than what has been committed meanwhile.
    """

    size: int
    root: bytes
    peaks: bytes
    more: bool = field(default=False, compare=False)


def append_leaves(tx: Tx, programme_id: ProgrammeId) -> TreeHead:
    """Seals what has been committed since the last checkpoint; with nothing new, the head is the same again.

    A head that has no checkpoint yet is given back as it is, to be signed before anything is added to it. Transfers
    that a transaction still in progress could come before wait for the next sealing, and so does whatever followed
    them.

    Raises: EvidenceBroken when the log no longer has the root of its last checkpoint.
    """
    lock_log(tx, programme_id)
    checkpoint, size = latest_checkpoint(tx, programme_id), log_size(tx, programme_id)
    tree = _resume(programme_id, checkpoint)
    if tree.size > size:
        raise EvidenceBroken(f"the log of {programme_id} has lost leaves: {tree.size} were sealed")
    if tree.size < size:
        _grow(programme_id, tree, leaf_hashes(tx, programme_id, start=tree.size, end=size), size)
        return _head(tree, more=True)
    more = False
    for leaves, further in _new_leaves(tx, programme_id):
        insert_leaves(tx, programme_id, tree.size, leaves)
        for _, leaf in leaves:
            tree.append(leaf)
        more = further
    return _head(tree, more=more)


def keep_checkpoint(tx: Tx, programme_id: ProgrammeId, head: TreeHead, note: str) -> None:
    """Keeps the signed note of a head, once: of two notes over the same head the first stays.

    Raises: EvidenceBroken when another root is kept for this size: one of the two is of a rewritten log.
    """
    insert_checkpoint(tx, programme_id, Checkpoint(head.size, head.root, head.peaks, note))
    kept = read_checkpoint(tx, programme_id, head.size)
    if kept is None or kept.root != head.root:
        raise EvidenceBroken(f"checkpoint {head.size} of {programme_id} is kept with another root")


def _resume(programme_id: ProgrammeId, checkpoint: Checkpoint | None) -> GrowingTree:
    if checkpoint is None:
        return GrowingTree()
    try:
        tree = GrowingTree.resumed(checkpoint.size, checkpoint.peaks)
    except ValueError as error:
        raise EvidenceBroken(f"checkpoint {checkpoint.size} of {programme_id}: {error}") from error
    if tree.root() != checkpoint.root:
        raise EvidenceBroken(f"checkpoint {checkpoint.size} of {programme_id} has not the root of its peaks")
    return tree


def _grow(programme_id: ProgrammeId, tree: GrowingTree, leaves: Iterable[bytes], size: int) -> None:
    for leaf in leaves:
        tree.append(leaf)
    if tree.size != size:
        raise EvidenceBroken(f"the log of {programme_id} has lost leaves between {tree.size} and {size}")


def _head(tree: GrowingTree, *, more: bool) -> TreeHead:
    return TreeHead(tree.size, tree.root(), tree.peaks, more)


Leaves = list[tuple[TransferId, bytes]]


def _new_leaves(tx: Tx, programme_id: ProgrammeId) -> Iterator[tuple[Leaves, bool]]:
    """Page by page the leaves that can be appended, and whether there are more pages than one sealing takes.

    Each page is inserted before the next is read.
    """
    order = _Order()
    seen, any_through = None, False
    for number in range(1, PAGES_MAX + 1):
        page = unsealed_page(tx, programme_id, seen)
        last = len(page) < UNSEALED_PAGE
        leaves = order.admit(page, last=last)
        any_through = any_through or bool(leaves)
        yield leaves, any_through and not last
        if last or (number >= PAGES and any_through):
            return
        seen = page[-1].seen


@dataclass(slots=True)
class _Waiting:
    leaf: bytes
    after: set[TransferId]


@dataclass(slots=True)
class _Order:
    """Lets transfers through in the order they come, but none before those that its accounts saw first.

    And none while another that came earlier still waits, or more of its own transaction may come: so what is through is
    always whole, up to some transaction.
    """

    _xid: str | None = None

    _waiting: dict[TransferId, _Waiting] = field(default_factory=dict)
    _followers: dict[TransferId, list[TransferId]] = field(default_factory=lambda: defaultdict(list))
    _ready: Leaves = field(default_factory=list)
    _passed: set[TransferId] = field(default_factory=set)

    def admit(self, page: Iterable[Unsealed], *, last: bool) -> Leaves:
        """Takes the next transfers in, and gives those that are through. `last`: nothing comes after this page."""
        through: Leaves = []
        for item in page:
            if item.seen.xid != self._xid:
                self._xid = item.seen.xid
                through += self._whole()
            transfer_id = item.seen.transfer_id
            leaf = leaf_hash(canonical_fact(item.transfer, item.entries))
            self._wait(transfer_id, _Waiting(leaf, set(item.after - self._passed)))
            self._pass(transfer_id)
        return through + self._whole() if last else through

    def _whole(self) -> Leaves:
        """What has passed, unless one that came earlier still waits."""
        if self._waiting:
            return []
        whole, self._ready = self._ready, []
        return whole

    def _wait(self, transfer_id: TransferId, waiting: _Waiting) -> None:
        self._waiting[transfer_id] = waiting
        for earlier in waiting.after:
            self._followers[earlier].append(transfer_id)

    def _pass(self, first: TransferId) -> None:
        """Lets one pass if it waits for nobody, and then whoever waited for it alone."""
        passing = deque([first] if not self._waiting[first].after else [])
        while passing:
            transfer_id = passing.popleft()
            self._passed.add(transfer_id)
            self._ready.append((transfer_id, self._waiting.pop(transfer_id).leaf))
            for follower in self._followers.pop(transfer_id, ()):
                after = self._waiting[follower].after
                after.discard(transfer_id)
                if not after:
                    passing.append(follower)
