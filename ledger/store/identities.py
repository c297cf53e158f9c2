"""Who accounts are, remembered by each connection: it never changes, so nobody need ask again before each batch.

Knows nothing of what stands on an account. What was read in a transaction that was taken back may be remembered
wrongly; `forget` is for whoever finds that out.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple, cast

from ledger.core.chart import Side
from ledger.core.ids import AccountId, ProgrammeId
from ledger.store.packing import integers, uuids
from ledger.store.tx import Tx

REMEMBERED_MAX: Final = 200_000

_BY: Final = "SELECT uuid_send(id), number, uuid_send(programme_id), currency, side FROM accounts WHERE "
_BY_ID: Final = _BY + "id = ANY(%s)"
_BY_NUMBER: Final = _BY + "number = ANY(%s)"
_SIDES = {side.value: side for side in Side}


class Identity(NamedTuple):
    """What an account is from its opening on: the first fields of `Account`."""

    id: AccountId
    number: int
    programme_id: ProgrammeId
    currency: str
    side: Side


class Identities:
    """The accounts that one connection has met."""

    def __init__(self) -> None:
        self._numbers: dict[AccountId, int] = {}
        self._met: dict[int, Identity] = {}
        self._programmes: dict[bytes, ProgrammeId] = {}

    def numbers_of(self, tx: Tx, ids: Collection[AccountId]) -> set[int]:
        """The numbers of those of these accounts that there are."""
        found = set(map(self._numbers.get, ids))
        if None in found:
            unknown = [account_id for account_id in ids if account_id not in self._numbers]
            self._meet(tx.fetch(_BY_ID, uuids(unknown)))
            found = set(map(self._numbers.get, ids))
            found.discard(None)
        return cast("set[int]", found)

    def of(self, tx: Tx, numbers: Collection[int]) -> list[Identity]:
        """Whose these numbers are, in their order. Each is the number of an account."""
        met = self._met
        unknown = [number for number in numbers if number not in met]
        if unknown:
            self._meet(tx.fetch(_BY_NUMBER, integers(unknown)))
        return [met[number] for number in numbers]

    def forget(self, numbers: Iterable[int]) -> None:
        """These are no numbers of accounts after all."""
        for number in numbers:
            identity = self._met.pop(number, None)
            if identity is not None:
                self._numbers.pop(identity.id, None)

    def __len__(self) -> int:
        return len(self._met)

    def _meet(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for raw_id, number, raw_programme, currency, side in rows:
            programme_id = self._programmes.setdefault(
                raw_programme, ProgrammeId(f"prg_{raw_programme.hex()}")
            )
            identity = Identity(
                AccountId(f"acct_{raw_id.hex()}"), number, programme_id, currency, _SIDES[side]
            )
            self._met[number] = identity
            self._numbers[identity.id] = number


def identities(tx: Tx, *, most: int = REMEMBERED_MAX) -> Identities:
    """What the transaction's connection remembers. It is gone with the connection, as its database may be.

    A connection that has met more accounts than `most` begins anew: here, and never in the middle of a batch, which
    needs all that it has met.
    """
    info = tx.connection.info
    remembered = info.get(_REMEMBERED)
    if not isinstance(remembered, Identities) or len(remembered) > most:
        remembered = info[_REMEMBERED] = Identities()
    return remembered


_REMEMBERED: Final = "tallystick.identities"
