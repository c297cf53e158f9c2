"""The life of a payout as one table: (state, trigger) -> state. Anything else does not happen.

    scheduled, pending_approval, held    ways to wait, besides queued: for a time, for people, for one who doubts
    queued > submitted > accepted > in_transit > settled (> partly_returned > returned)
    unknown                              nobody knows; a status, a notice or a statement line will say
    rejected, cancelled, returned        the ends; all but the first mean that the bank never had it, or gave it back

Settled is not the end: a payment may come back days later, whole or in parts. Unknown is a state of its own: the money
stays in flight until a status, a notice or a statement line says what became of it.
"""

from enum import StrEnum
from typing import Final

# How an attempt ended that the enclave would not sign: the code of its refusal stands behind this.
REFUSED_BY_ENCLAVE = "the enclave refused: "
SCREENING_STALE = "screening_stale"
APPROVALS_MISSING = "approvals_missing"


class PayoutState(StrEnum):
    """Where a payout stands."""

    SCHEDULED = "scheduled"
    PENDING_APPROVAL = "pending_approval"
    HELD = "held"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    IN_TRANSIT = "in_transit"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    PARTLY_RETURNED = "partly_returned"
    RETURNED = "returned"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class PayoutTrigger(StrEnum):
    """What may happen to a payout."""

    SCHEDULE = "schedule"  # its time has not come, or its rail is closed
    DUE = "due"
    HOLD = "hold"
    RESUME = "resume"
    CANCEL = "cancel"
    SUBMIT = "submit"
    NOT_SENT = "not_sent"
    LACK_APPROVAL = "lack_approval"
    ACCEPT = "accept"
    PROGRESS = "progress"
    LOSE_SIGHT = "lose_sight"
    SETTLE = "settle"
    REJECT = "reject"
    RETURN = "return"
    RETURN_PART = "return_part"


_S, _T = PayoutState, PayoutTrigger

# Nobody has it but us. A bank that knows of one all the same was told by an attempt that we believed lost.
WAITING: Final = frozenset({_S.SCHEDULED, _S.PENDING_APPROVAL, _S.HELD, _S.QUEUED})
# Whoever looks for what became of these asks the bank.
UNSETTLED: Final = frozenset({_S.ACCEPTED, _S.IN_TRANSIT, _S.UNKNOWN})
# They never change again.
FINAL: Final = frozenset({_S.REJECTED, _S.CANCELLED, _S.RETURNED})

_Table = dict[tuple[PayoutState, PayoutTrigger], PayoutState]

_WAITS: _Table = {
    (_S.QUEUED, _T.SCHEDULE): _S.SCHEDULED,
    (_S.SCHEDULED, _T.DUE): _S.QUEUED,
    (_S.PENDING_APPROVAL, _T.DUE): _S.QUEUED,
    (_S.HELD, _T.RESUME): _S.QUEUED,
    (_S.QUEUED, _T.SUBMIT): _S.SUBMITTED,
    (_S.SUBMITTED, _T.NOT_SENT): _S.QUEUED,
    (_S.SUBMITTED, _T.LACK_APPROVAL): _S.PENDING_APPROVAL,
    **{(state, _T.HOLD): _S.HELD for state in WAITING - {_S.HELD}},
    **{(state, _T.CANCEL): _S.CANCELLED for state in WAITING},
}

# How much a bank has said of an order, and what it says next: never less than before. Its notice may overtake its own
# answer, and may come when we believe that it has nothing at all.
_SAID = (
    (_T.ACCEPT, _S.ACCEPTED),
    (_T.PROGRESS, _S.IN_TRANSIT),
    (_T.SETTLE, _S.SETTLED),
    (_T.REJECT, _S.REJECTED),
)
_BANKS_WORD: _Table = {
    **{(state, trigger): after for state in WAITING | {_S.SUBMITTED, _S.UNKNOWN} for trigger, after in _SAID},
    **{(_S.ACCEPTED, trigger): after for trigger, after in _SAID[1:]},
    **{(_S.IN_TRANSIT, trigger): after for trigger, after in _SAID[2:]},
}

TRANSITIONS: _Table = {
    **_WAITS,
    **_BANKS_WORD,
    (_S.SUBMITTED, _T.LOSE_SIGHT): _S.UNKNOWN,
    # Turned away too often: a person has to ask the bank.
    **{(state, _T.LOSE_SIGHT): _S.UNKNOWN for state in WAITING},
    (_S.SETTLED, _T.RETURN_PART): _S.PARTLY_RETURNED,
    (_S.PARTLY_RETURNED, _T.RETURN_PART): _S.PARTLY_RETURNED,
    (_S.SETTLED, _T.RETURN): _S.RETURNED,
    (_S.PARTLY_RETURNED, _T.RETURN): _S.RETURNED,
}

# News of what a payout has behind it is old, and no contradiction.
_AFTER_SETTLED = frozenset({_S.SETTLED, _S.PARTLY_RETURNED, _S.RETURNED})
OLD_NEWS: Final[dict[PayoutTrigger, frozenset[PayoutState]]] = {
    _T.ACCEPT: _AFTER_SETTLED | {_S.ACCEPTED, _S.IN_TRANSIT, _S.REJECTED},
    _T.PROGRESS: _AFTER_SETTLED | {_S.IN_TRANSIT, _S.REJECTED},
    _T.LOSE_SIGHT: _AFTER_SETTLED | UNSETTLED | {_S.REJECTED},
    _T.SETTLE: _AFTER_SETTLED,
    _T.REJECT: frozenset({_S.REJECTED}),
    _T.RETURN: frozenset({_S.RETURNED}),
    _T.RETURN_PART: frozenset({_S.RETURNED}),
}


def refusal_in(cause: str | None) -> str | None:
    """The code of the enclave's refusal that an attempt ended with, if it ended with one."""
    if cause is None or not cause.startswith(REFUSED_BY_ENCLAVE):
        return None
    return cause.removeprefix(REFUSED_BY_ENCLAVE)


def advance(state: PayoutState, trigger: PayoutTrigger) -> PayoutState | None:
    """The next state, or None when this does not happen from here: old news, or news that contradicts."""
    return TRANSITIONS.get((state, trigger))


def is_old_news(state: PayoutState, trigger: PayoutTrigger) -> bool:
    """Whether a payout that stands here has been where the trigger leads."""
    return state in OLD_NEWS.get(trigger, frozenset())
