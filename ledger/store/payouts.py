"""Payouts and the attempts to send them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledger.core.ids import AccountId, AttemptId, ClearanceId, PartyId, PayoutId, ProgrammeId, TransferId
from ledger.core.payout import PayoutState
from ledger.store.rows import Page, claim_rows, insert_rows, page_of, taken, update_rows
from ledger.store.schema import attempts, payouts, programmes
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payment order to a bank, as it was approved. A sweep has no party. Units: minor units.

    `send_at` is the time that was asked for; a scheduled one is sent at `due_at`, which may be when its rail opens.
    `created_at` is None until it is written.
    """

    id: PayoutId
    programme_id: ProgrammeId
    kind: str
    reference: str
    party_id: PartyId | None
    account_id: AccountId
    rail: str
    amount_minor: int
    currency: str
    creditor_name: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    end_to_end_id: str
    remittance: str
    initiator: str
    order_digest: bytes
    clearance_id: ClearanceId
    transfer_id: TransferId
    state: PayoutState
    send_at: datetime | None = None
    due_at: datetime | None = None
    returned_minor: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a payout at one bank. `outcome` None: nobody has said yet what became of it."""

    id: AttemptId
    payout_id: PayoutId
    attempt_no: int
    request_id: str
    opened_at: datetime
    request_body: bytes | None
    signature: str | None
    sent_at: datetime | None
    outcome: str | None
    cause: str | None
    bank_references: Mapping[str, str] | None
    answered_at: datetime | None


PAYOUTS_TO_MAX = 1000  # at once; the schedule takes up the others

_COLUMNS = tuple(payouts.c[name] for name in Payout.__slots__)
_ATTEMPT_COLUMNS = tuple(attempts.c[name] for name in Attempt.__slots__)


def insert_payouts(tx: Tx, ordered: Sequence[Payout]) -> None:
    """Writes payouts."""
    insert_rows(
        tx, payouts, [asdict(item) | {"state": item.state.value, "created_at": tx.now} for item in ordered]
    )


def read_payouts(tx: Tx, ids: Collection[PayoutId]) -> dict[PayoutId, Payout]:
    """Payouts by id, unlocked."""
    query = sa.select(*_COLUMNS).where(payouts.c.id.in_(sorted(ids)))
    return {item.id: item for item in map(_payout, tx.rows(query))}


def lock_payouts(tx: Tx, ids: Collection[PayoutId]) -> dict[PayoutId, Payout]:
    """Locks payouts in id order."""
    query = sa.select(*_COLUMNS).where(payouts.c.id.in_(sorted(ids))).order_by(payouts.c.id)
    return {item.id: item for item in map(_payout, tx.rows(query.with_for_update(key_share=True)))}


def lock_payouts_by_reference(tx: Tx, end_to_end_ids: Collection[str]) -> dict[str, Payout]:
    """Locks the payouts that a bank names by our end-to-end ids, in id order."""
    query = (
        sa.select(*_COLUMNS).where(payouts.c.end_to_end_id.in_(sorted(end_to_end_ids))).order_by(payouts.c.id)
    )
    return {item.end_to_end_id: item for item in map(_payout, tx.rows(query.with_for_update(key_share=True)))}


def references_taken(tx: Tx, references: Collection[tuple[ProgrammeId, str]]) -> set[tuple[ProgrammeId, str]]:
    """Which of these references are in use."""
    return taken(tx, payouts, references)


def programme_payouts(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[Payout]:
    """A page of a programme's payouts, oldest first."""
    query = sa.select(*_COLUMNS).where(payouts.c.programme_id == programme_id)
    return [_payout(row) for row in tx.rows(page_of(query, payouts, page))]


def payouts_in(tx: Tx, states: Collection[PayoutState], *, limit: int) -> list[Payout]:
    """Payouts that stand in one of these states, oldest first."""
    query = sa.select(*_COLUMNS).where(payouts.c.state.in_([state.value for state in states]))
    return [_payout(row) for row in tx.rows(query.order_by(payouts.c.id).limit(limit))]


def lock_queued(tx: Tx, bank_connection: str, *, limit: int) -> list[Payout]:
    """Locks payouts that are to be sent now through a bank, the oldest first; leaves out what somebody has locked."""
    query = _queued(tx, bank_connection).limit(limit)
    return [_payout(row) for row in tx.rows(query.with_for_update(key_share=True, skip_locked=True))]


def read_queued(tx: Tx, bank_connection: str, *, limit: int) -> list[Payout]:
    """Payouts that are to be sent now through a bank, the oldest first, unlocked."""
    return [_payout(row) for row in tx.rows(_queued(tx, bank_connection).limit(limit))]


def _queued(tx: Tx, bank_connection: str) -> sa.Select[Any]:
    here = sa.select(programmes.c.id).where(programmes.c.bank_connection == bank_connection)
    return (
        sa.select(*_COLUMNS)
        .where(
            payouts.c.state == PayoutState.QUEUED.value,
            payouts.c.due_at.is_(None) | (payouts.c.due_at <= tx.now),
            payouts.c.programme_id.in_(here),
        )
        .order_by(payouts.c.id)
    )


def lock_due(tx: Tx, *, limit: int) -> list[Payout]:
    """Locks payouts whose time has come, the earliest first; leaves out those that somebody else has locked."""
    wait = payouts.c.state.in_([PayoutState.SCHEDULED.value, PayoutState.PENDING_APPROVAL.value])
    query = (
        sa.select(*_COLUMNS)
        .where(wait, payouts.c.due_at <= tx.now)
        .order_by(payouts.c.due_at, payouts.c.id)
        .limit(limit)
    )
    return [_payout(row) for row in tx.rows(query.with_for_update(key_share=True, skip_locked=True))]


def payouts_to(
    tx: Tx, programme_id: ProgrammeId, creditor_iban: str, states: Collection[PayoutState]
) -> list[Payout]:
    """A programme's payouts to an account that stand in one of these states, oldest first."""
    query = sa.select(*_COLUMNS).where(
        payouts.c.state.in_([state.value for state in states]),
        payouts.c.programme_id == programme_id,
        payouts.c.creditor_iban == creditor_iban,
    )
    return [_payout(row) for row in tx.rows(query.order_by(payouts.c.id).limit(PAYOUTS_TO_MAX))]


def save_steps(tx: Tx, moved: Sequence[Payout]) -> None:
    """Writes where payouts stand, when they are due, and how much of them has come back."""
    rows = [
        {
            "id": payout.id,
            "state": payout.state.value,
            "due_at": payout.due_at,
            "returned_minor": payout.returned_minor,
        }
        for payout in moved
    ]
    update_rows(tx, payouts, ["id"], rows)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request of an attempt, as it was signed and will be sent."""

    attempt_id: AttemptId
    body: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. `references` are the bank's ids, by kind."""

    attempt_id: AttemptId
    outcome: str
    cause: str
    references: Mapping[str, str]


def open_attempts(tx: Tx, opened: Sequence[Attempt], *, sender: int) -> None:
    """Writes new attempts, with who sends them.

    A second one while the first might stand is a key violation (invariant 5).
    """
    rows = [
        {
            "id": attempt.id,
            "payout_id": attempt.payout_id,
            "attempt_no": attempt.attempt_no,
            "request_id": attempt.request_id,
            "opened_at": attempt.opened_at,
            "sender": sender,
        }
        for attempt in opened
    ]
    insert_rows(tx, attempts, rows)


def save_sender(tx: Tx, ids: Collection[AttemptId], *, sender: int) -> None:
    """Writes that somebody else sends these attempts now."""
    update_rows(tx, attempts, ["id"], [{"id": attempt_id, "sender": sender} for attempt_id in ids])


def save_signed(tx: Tx, signed: Sequence[Signed]) -> frozenset[AttemptId]:
    """Keeps what is about to be sent, once an attempt; says which were not kept before.

    From here on the bank may have them.
    """
    rows = [
        {"id": item.attempt_id, "request_body": item.body, "signature": item.signature, "sent_at": tx.now}
        for item in signed
    ]
    free = attempts.c.request_body.is_(None) & attempts.c.outcome.is_(None)
    return frozenset(AttemptId(claimed) for claimed in claim_rows(tx, attempts, rows, free=free))


def save_outcomes(tx: Tx, outcomes: Sequence[Outcome]) -> None:
    """Keeps what became of attempts."""
    rows = [
        {
            "id": item.attempt_id,
            "outcome": item.outcome,
            "cause": item.cause,
            "bank_references": dict(item.references),
            "answered_at": tx.now,
        }
        for item in outcomes
    ]
    update_rows(tx, attempts, ["id"], rows)


def open_attempts_of(tx: Tx, senders: Collection[int]) -> list[Attempt]:
    """The attempts of these senders that nobody has said the end of."""
    query = (
        sa.select(*_ATTEMPT_COLUMNS)
        .where(attempts.c.outcome.is_(None), attempts.c.sender.in_(sorted(senders)))
        .order_by(attempts.c.id)
    )
    return [Attempt(**row) for row in tx.rows(query)]


def attempts_of(tx: Tx, payout_ids: Collection[PayoutId]) -> dict[PayoutId, list[Attempt]]:
    """All attempts of these payouts, first one first."""
    query = (
        sa.select(*_ATTEMPT_COLUMNS)
        .where(attempts.c.payout_id.in_(sorted(payout_ids)))
        .order_by(attempts.c.payout_id, attempts.c.attempt_no)
    )
    found: dict[PayoutId, list[Attempt]] = {payout_id: [] for payout_id in payout_ids}
    for row in tx.rows(query):
        found[row["payout_id"]].append(Attempt(**row))
    return found


def _payout(row: sa.RowMapping) -> Payout:
    return Payout(**{**row, "state": PayoutState(row["state"]), "order_digest": bytes(row["order_digest"])})
