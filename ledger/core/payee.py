"""What a payee's bank says of a name, and what was chosen then. Source: EPC218-23, Verification of Payee."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ledger.core.ids import PayeeCheckId, ProgrammeId


class PayeeMatch(StrEnum):
    """The four answers of the scheme."""

    MATCH = "MTCH"
    CLOSE_MATCH = "CMTC"
    NO_MATCH = "NMTC"
    NOT_POSSIBLE = "NOAP"


@dataclass(frozen=True, slots=True)
class PayeeAnswer:
    """What the payee's bank says; `matched_name` is the account's own name, given with a close match only."""

    match: PayeeMatch
    matched_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeCheck:
    """That a payee's bank was asked, through which connection, and what it said."""

    id: PayeeCheckId
    programme_id: ProgrammeId
    bank_connection: str
    name: str
    iban: str
    match: PayeeMatch
    matched_name: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeChoice:
    """That somebody who saw a check has had a payout sent all the same."""

    payee_check_id: PayeeCheckId
    chosen_by: str
    reason: str
    chosen_at: datetime


def doubts(check: PayeeCheck) -> str:
    """What people are told of a check that does not say that the name is right."""
    own = f': it is called "{check.matched_name}" there' if check.matched_name else ""
    return f"payee_{check.match.name.lower()}: the payee's bank does not say that the account is in this name{own}"
