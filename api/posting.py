"""The book's lane in this process: many callers, few commits, and no HTTP, keys or records between them and the book.

Callers hand over groups of commands. What has gathered, up to a full batch, is posted in one transaction, and every
caller gets the results of its own groups once the commit is durable. The ids of the commands make it safe to run a
transaction again: what was committed before is answered as existing.

What posts is given by whoever makes the lane (`ledger.book` is seen by flows only). May not look into the commands.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from api.gathering import Gathering
from api.transactions import Transactions
from ledger.core.batch import Group, Results
from ledger.core.commands import BATCH_MAX, Result
from ledger.core.errors import InvalidValue
from ledger.store.tx import Tx

LANES = 2
QUEUED_MAX = 4 * BATCH_MAX

Groups = Sequence[Group]
PostGroups = Callable[[Tx, Groups], Sequence[tuple[Result, ...]]]


class PostingLane:
    """Gathers the commands of concurrent callers into one transaction each time.

    `lanes` threads serve the one queue: one gathers and decides while another waits for its commit to be on the disk.
    """

    def __init__(
        self,
        transactions: Transactions,
        post: PostGroups,
        *,
        lanes: int = LANES,
        gathered_max: int = BATCH_MAX,
        queued_max: int = QUEUED_MAX,
    ) -> None:
        self._post = post
        self._gathering: Gathering[Groups, Results] = Gathering(
            transactions,
            self._post_all,
            told=_as_it_is,
            name="posting",
            gathered_max=gathered_max,
            queued_max=queued_max,
            threads=lanes,
        )

    def start(self) -> None:
        """Starts taking groups."""
        self._gathering.start()

    def stop(self) -> None:
        """Takes nothing more, finishes what waits, then stops."""
        self._gathering.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def submit(self, groups: Groups) -> Future[Results]:
        """Puts groups on the lane; their results are there after the commit.

        Raises: InvalidValue when there are more than 8,192 commands; LaneFull. The future raises Unreachable or
        Contended when the database would not, and what the post function raised for these very groups.
        """
        return self._gathering.submit(groups, _weight(groups))

    async def post(self, groups: Groups) -> Results:
        """The results of these groups, after the commit. Raises: as `submit`, and its future."""
        return await self._gathering.ask(groups, _weight(groups))

    def _post_all(self, tx: Tx, asked: Sequence[Groups]) -> list[Results]:
        results = self._post(tx, [group for groups in asked for group in groups])
        answers = []
        start = 0
        for groups in asked:
            end = start + len(groups)
            answers.append(tuple(results[start:end]))
            start = end
        assert start == len(results), "every group has its results"
        return answers


def _weight(groups: Groups) -> int:
    weight = sum(map(len, groups))
    if weight > BATCH_MAX:
        raise InvalidValue(f"A batch holds at most {BATCH_MAX} commands.", field="groups")
    return weight or 1


def _as_it_is(error: Exception) -> Exception:
    return error
