"""The life of a payout as one table: (state, trigger) -> state. Anything else does not happen.

Settled is not the end: a payment may come back days later. Unknown is a state of its own: the money stays in
flight until a status, a notice or a statement line says what became of it.
"""

from enum import StrEnum

# How an attempt ended that the enclave would not sign: the code of its refusal stands behind this.
REFUSED_BY_ENCLAVE = "the enclave refused: "
SCREENING_STALE = "screening_stale"


class PayoutState(StrEnum):
    """Where a payout stands."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    REJECTED = "rejected"
    RETURNED = "returned"


class PayoutTrigger(StrEnum):
    """What may happen to a payout."""

    SUBMIT = "submit"
    NOT_SENT = "not_sent"
    ACCEPT = "accept"
    LOSE_SIGHT = "lose_sight"
    SETTLE = "settle"
    REJECT = "reject"
    RETURN = "return"


_S, _T = PayoutState, PayoutTrigger
TRANSITIONS: dict[tuple[PayoutState, PayoutTrigger], PayoutState] = {
    (_S.QUEUED, _T.SUBMIT): _S.SUBMITTED,
    # The bank knows of an order that we believed nobody had: it is not sent again.
    (_S.QUEUED, _T.ACCEPT): _S.ACCEPTED,
    (_S.QUEUED, _T.SETTLE): _S.SETTLED,
    (_S.QUEUED, _T.REJECT): _S.REJECTED,
    # Turned away too often: a person has to ask the bank.
    (_S.QUEUED, _T.LOSE_SIGHT): _S.UNKNOWN,
    (_S.SUBMITTED, _T.NOT_SENT): _S.QUEUED,
    (_S.SUBMITTED, _T.ACCEPT): _S.ACCEPTED,
    (_S.SUBMITTED, _T.LOSE_SIGHT): _S.UNKNOWN,
    # The bank's notice may overtake its own answer.
    (_S.SUBMITTED, _T.SETTLE): _S.SETTLED,
    (_S.SUBMITTED, _T.REJECT): _S.REJECTED,
    (_S.ACCEPTED, _T.SETTLE): _S.SETTLED,
    (_S.ACCEPTED, _T.REJECT): _S.REJECTED,
    (_S.UNKNOWN, _T.ACCEPT): _S.ACCEPTED,
    (_S.UNKNOWN, _T.SETTLE): _S.SETTLED,
    (_S.UNKNOWN, _T.REJECT): _S.REJECTED,
    (_S.SETTLED, _T.RETURN): _S.RETURNED,
}


def refusal_in(cause: str | None) -> str | None:
    """The code of the enclave's refusal that an attempt ended with, if it ended with one."""
    if cause is None or not cause.startswith(REFUSED_BY_ENCLAVE):
        return None
    return cause.removeprefix(REFUSED_BY_ENCLAVE)


def advance(state: PayoutState, trigger: PayoutTrigger) -> PayoutState | None:
    """The next state, or None when this does not happen from here: old news, or news that contradicts."""
    return TRANSITIONS.get((state, trigger))
