"""A batch: the groups of commands that one transaction carries out, looked at as a whole before anything is read.

Pure. Knows what a batch will have to be read for it, and nothing of how that is done.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from ledger.core.commands import (
    BATCH_MAX,
    Capture,
    Close,
    Command,
    Expire,
    Freeze,
    Hold,
    Increase,
    Open,
    Post,
    Release,
    Result,
    Reverse,
    Unfreeze,
)
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.core.view import Posted

Group = Sequence[Command]
Results = tuple[tuple[Result, ...], ...]
"""What became of each command, group by group."""
OfKind = Mapping[type[Command], list[Any]]
"""The commands of a batch by what they are, each kind in the order of the batch."""

YEAR_MIN, YEAR_MAX = 1, 9999
"""What an offset could carry out of the calendar is no instant."""
_ARE_IDS = re.compile(r"(?:xfr_[0-9a-f]{32}\n)*").fullmatch
_ON_ONE_ACCOUNT = (Hold, Open, Freeze, Unfreeze, Close)
_ON_A_HOLD = (Increase, Capture, Release, Expire)


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups of commands, each all-or-nothing; the ids of the commands in their order; and the commands by kind."""

    groups: Sequence[Group]
    ids: Sequence[TransferId]
    of_kind: OfKind

    @property
    def programme_ids(self) -> set[ProgrammeId]:
        """In whose books it is written."""
        return {command.programme_id for commands in self.of_kind.values() for command in commands}

    @property
    def hold_ids(self) -> set[TransferId]:
        """The holds that it names."""
        return {command.hold_id for kind in _ON_A_HOLD for command in self.of_kind[kind]}

    @property
    def reversed_ids(self) -> set[TransferId]:
        """The transfers that it would reverse."""
        return {command.transfer_id for command in self.of_kind[Reverse]}

    def account_ids(self, reversed_: Iterable[Posted]) -> set[AccountId]:
        """The accounts that its commands name, and those of the transfers that they reverse. Those of holds are not."""
        named = {command.account_id for kind in _ON_ONE_ACCOUNT for command in self.of_kind[kind]}
        for moving in (self.of_kind[Post], self.of_kind[Capture], reversed_):
            legs = [leg for each in moving for leg in each.legs]
            named.update([leg.debit for leg in legs], [leg.credit for leg in legs])
        return named


def batch_of(groups: Sequence[Group]) -> Batch:
    """Takes groups of commands together.

    Raises: InvalidValue when there are more than 8,192 commands, an id is of another kind, or a time has no offset or
    lies outside the calendar.
    """
    commands = list(chain.from_iterable(groups))
    if len(commands) > BATCH_MAX:
        raise InvalidValue(f"A batch holds at most {BATCH_MAX} commands.", field="groups")
    ids = [command.id for command in commands]
    if not _ARE_IDS("\n".join([*ids, ""])):
        raise InvalidValue("The id of a command is an id of the kind xfr_.", field="id")
    of_kind: OfKind = defaultdict(list)
    for command in commands:
        of_kind[type(command)].append(command)
    _check_times({command.effective_at for command in commands}, "effective_at")
    _check_times({command.expires_at for command in of_kind[Hold] if command.expires_at}, "expires_at")
    return Batch(groups, ids, of_kind)


def _check_times(instants: Collection[datetime], field: str) -> None:
    """Looks at each once: the commands of a batch mostly share theirs."""
    if any(instant.tzinfo is None for instant in instants):
        raise InvalidValue("An instant says its offset.", field=field)
    if not all(YEAR_MIN < instant.year < YEAR_MAX for instant in instants):
        raise InvalidValue(f"An instant lies between the years {YEAR_MIN} and {YEAR_MAX}.", field=field)
