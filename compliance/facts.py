"""What the rules look at: gathered once for all orders of a batch, frozen, and nothing else.

A rule that needs to know more asks for another field here, never for a database.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compliance.policy import Policy
from compliance.watchlist import Watchlist
from ledger.core.commands import Leg
from ledger.core.ids import AccountId, PartyId, ProgrammeId


@dataclass(frozen=True, slots=True)
class PartyFact:
    """A party as the gate sees it."""

    id: PartyId
    programme_id: ProgrammeId
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class OwnerFact:
    """Whose account it is, and in what it is counted; an account of the programme's own has no party."""

    programme_id: ProgrammeId
    party_id: PartyId | None
    currency: str


@dataclass(frozen=True, slots=True)
class HoldFact:
    """On which account money is reserved."""

    programme_id: ProgrammeId
    account_id: AccountId


@dataclass(frozen=True, slots=True)
class MovedFact:
    """What a transfer has moved, that may now be reversed. Leg by leg, in its order."""

    programme_id: ProgrammeId
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class CheckoutFact:
    """What a capture or refund leaves to its checkout: currency, payer, and the seller of each line."""

    programme_id: ProgrammeId
    currency: str
    payer_id: PartyId
    sellers: Mapping[str, PartyId]


@dataclass(frozen=True, slots=True)
class AuthenticationFact:
    """What a payer was asked to authenticate, and whether the answer was right."""

    id: str
    programme_id: ProgrammeId
    party_id: PartyId
    order_digest: str
    answered: bool


@dataclass(frozen=True, slots=True)
class ListHead:
    """A sanctions list that is in force: the newest of its name."""

    id: str
    programme_id: ProgrammeId
    name: str
    digest: str
    legal_basis: str


@dataclass(frozen=True, slots=True)
class SanctionsList:
    """A sanctions list in force, ready to compare names with."""

    head: ListHead
    watchlist: Watchlist


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was gathered, by the id that an order names it by. What does not exist is not in there."""

    policy: Policy
    parties: Mapping[str, PartyFact]
    owners: Mapping[str, OwnerFact]
    holds: Mapping[str, HoldFact]
    moved: Mapping[str, MovedFact]
    checkouts: Mapping[str, CheckoutFact]
    authentications: Mapping[str, AuthenticationFact]
    lists: Mapping[str, tuple[SanctionsList, ...]]
