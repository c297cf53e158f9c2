"""How the book's values look to callers: plain JSON, ids as text, amounts as whole minor units, times in UTC."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from enclave.approvals import approval_text
from ledger.core.account import Status
from ledger.core.card import Card
from ledger.core.cart import CartLine, Checkout
from ledger.core.money import Split, SplitTo
from ledger.core.payee import PayeeCheck, PayeeChoice
from ledger.core.payout import WAITING, PayoutState, refusal_in
from ledger.core.unit import Unit
from ledger.flows.carts import Moved
from ledger.reports.reconciliation import KINDS, Reconciliation
from ledger.reports.safeguarding import Safeguarding
from ledger.reports.statements import DatedStatement
from ledger.reports.trial_balance import TrialBalance
from ledger.store.accounts import Place
from ledger.store.approvals import Approval
from ledger.store.deposits import Deposit
from ledger.store.history import Balance, Dated, StatementEntry, Total, Transfer
from ledger.store.parties import Party
from ledger.store.payout_accounts import PayoutAccount, Verification
from ledger.store.payouts import Attempt, Payout
from ledger.store.periods import PeriodRecord

Json = dict[str, Any]


def moment(at: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat()


def party(item: Party, account_id: str | None) -> Json:
    """A party."""
    return {
        "id": item.id,
        "role": item.role.value,
        "name": item.name,
        "reference": item.reference,
        "status": item.status,
        "account_id": account_id,
        "payout_iban": item.payout_iban,
        "commission_bps": item.commission_bps,
    }


def account(place: Place) -> Json:
    """An account with its balances."""
    return {
        "id": place.account.id,
        "code": place.code.value,
        "path": place.path,
        "tags": list(place.tags),
        "party_id": place.party_id,
        "currency": place.account.currency,
        "status": place.account.status.value,
        "posted_minor": place.account.posted_minor,
        "held_minor": place.account.held_minor,
        "available_minor": place.account.available_minor,
        "version": place.account.version,
    }


def listed_account(item: Balance, status: Status) -> Json:
    """An account with its balances, as a list shows it: the same as when it is asked for alone."""
    return {
        "id": item.id,
        "code": item.code.value,
        "path": item.path,
        "tags": list(item.tags),
        "party_id": item.party_id,
        "currency": item.currency,
        "status": status.value,
        "posted_minor": item.posted_minor,
        "held_minor": item.held_minor,
        "available_minor": item.available_minor,
        "version": item.version,
    }


def balance(item: Balance, *, recorded_at: datetime | None) -> Json:
    """An account's balance as known at an instant; null: as it stands."""
    return {
        "account_id": item.id,
        "currency": item.currency,
        "recorded_at": moment(recorded_at),
        "version": item.version,
        "debits_minor": item.debits_minor,
        "credits_minor": item.credits_minor,
        "posted_minor": item.posted_minor,
        "held_minor": item.held_minor,
        "available_minor": item.available_minor,
    }


def dated_balance(item: Dated, *, effective_at: datetime, recorded_at: datetime | None) -> Json:
    """An account's balance by value date. Holds have no value date, so nothing is said of what was available."""
    return {
        "account_id": item.id,
        "currency": item.currency,
        "effective_at": moment(effective_at),
        "recorded_at": moment(recorded_at),
        "debits_minor": item.debits_minor,
        "credits_minor": item.credits_minor,
        "posted_minor": item.posted_minor,
    }


def total(item: Total) -> Json:
    """What accounts hold together in one currency."""
    return {
        "currency": item.currency,
        "accounts": item.accounts,
        "debits_minor": item.debits_minor,
        "credits_minor": item.credits_minor,
        "balance_minor": item.balance_minor,
        "held_minor": item.held_minor,
    }


def entry(item: StatementEntry) -> Json:
    """A line of an account's statement."""
    return {
        "version": item.version,
        "transfer_id": item.transfer_id,
        "leg": item.leg,
        "movement": item.movement.value,
        "amount_minor": item.amount_minor,
        "debits_after_minor": item.debits_after_minor,
        "credits_after_minor": item.credits_after_minor,
        "held_after_minor": item.held_after_minor,
        "effective_at": moment(item.effective_at),
        "recorded_at": moment(item.recorded_at),
    }


def dated_statement(item: DatedStatement, *, limit: int) -> Json:
    """A page of a statement by value date, of what was known at `recorded_at`: the next page asks for the same."""
    return {
        "currency": item.currency,
        "recorded_at": moment(item.recorded_at),
        "opening_minor": item.opening_minor,
        "closing_minor": item.closing_minor,
        "data": [entry(line) for line in item.entries[:limit]],
        "has_more": len(item.entries) > limit,
    }


def transfer(item: Transfer) -> Json:
    """A command that was carried out, with its legs and what it did to accounts alone."""
    return {
        "id": item.id,
        "kind": item.kind,
        "reference": item.reference,
        "hold_id": item.hold_id,
        "reverses_id": item.reverses_id,
        "clearance_id": item.clearance_id,
        "notice_id": item.notice_id,
        "effective_at": moment(item.effective_at),
        "recorded_at": moment(item.recorded_at),
        "rate": _rate(item.asked.get("rate")),
        "adjusting": item.asked.get("adjusting", False),
        "metadata": dict(item.metadata),
        "legs": [
            {
                "leg": leg.leg,
                "debit": leg.debit,
                "credit": leg.credit,
                "amount_minor": leg.amount_minor,
                "currency": leg.currency,
            }
            for leg in item.legs
        ],
        "steps": [
            {
                "account_id": step.account_id,
                "movement": step.movement.value,
                "amount_minor": step.amount_minor,
            }
            for step in item.steps
        ],
    }


def period(item: PeriodRecord) -> Json:
    """A period of the calendar."""
    return {
        "id": item.id,
        "starts_at": moment(item.period.starts_at),
        "ends_at": moment(item.period.ends_at),
        "state": item.period.state.value,
    }


def unit(item: Unit) -> Json:
    """What a programme counts in besides currencies."""
    return {"code": item.code, "name": item.name, "decimals": item.decimals}


def deposit(item: Deposit) -> Json:
    """A deposit."""
    return {
        "id": item.id,
        "account_id": item.account_id,
        "amount_minor": item.amount_minor,
        "currency": item.currency,
        "state": item.state,
        "creditor_iban": item.creditor_iban,
        "bank_transaction_id": item.transaction_id,
    }


def card(item: Card) -> Json:
    """What may be shown of a card."""
    return {
        "id": item.id,
        "bin": item.bin,
        "last_four": item.last_four,
        "expiry_month": item.expiry_month,
        "expiry_year": item.expiry_year,
        "fingerprint": item.fingerprint.hex(),
        "erased_at": moment(item.erased_at),
    }


def checkout(item: Checkout) -> Json:
    """A checkout with its lines."""
    return {
        "id": item.id,
        "payer": item.payer_id,
        "reference": item.reference,
        "currency": item.currency,
        "amount_minor": item.amount_minor,
        "state": item.state.value,
        "expires_at": moment(item.expires_at),
        "lines": [_line(line) for line in item.lines],
    }


def moved(item: Moved) -> Json:
    """A capture or a refund, with everybody's part in each line."""
    return {
        "id": item.order_id,
        "checkout_id": item.checkout.id,
        "transfer_id": item.transfer_id,
        "amount_minor": item.amount_minor,
        "currency": item.checkout.currency,
        "checkout_state": item.checkout.state.value,
        "lines": [
            {
                "id": step.line.line.reference,
                "amount_minor": step.amount_minor,
                "released_minor": step.released_minor,
                "splits": _parts(step.line.line.splits, step.parts),
            }
            for step in item.steps
        ],
    }


def payout_account(item: PayoutAccount, verifications: Sequence[Verification]) -> Json:
    """An account that money is paid out to, as it was set."""
    return {
        "id": item.id,
        "party_id": item.party_id,
        "name": item.name,
        "iban": item.iban,
        "set_by": item.set_by,
        "verifications": [
            {"how": each.how, "verified_by": each.verified_by, "verified_at": moment(each.verified_at)}
            for each in verifications
        ],
    }


def approval_of(item: Payout, approvals: Sequence[Approval]) -> Json:
    """What approvers sign of a payout, and what has come in from them."""
    text = approval_text(payout_id=item.id, programme_id=item.programme_id, order_digest=item.order_digest)
    return {
        "initiator": item.initiator,
        "order_digest": item.order_digest.hex(),
        "text_to_sign": base64.b64encode(text).decode("ascii"),
        "approvals": [
            {
                "approver_id": approval.approver_id,
                "signature": base64.b64encode(approval.signature).decode("ascii"),
                "received_at": moment(approval.received_at),
            }
            for approval in approvals
        ],
    }


def _waits_for(item: Payout, attempts: Sequence[Attempt]) -> str | None:
    """Why a payout was not sent when it was last tried: the code of the enclave's refusal, if that is what it was."""
    if item.state not in WAITING or not attempts:
        return None
    return refusal_in(attempts[-1].cause) or attempts[-1].cause


def payout(
    item: Payout,
    attempts: Sequence[Attempt] = (),
    history: Sequence[Json] = (),
    approvals: Sequence[Approval] = (),
    payee: tuple[PayeeCheck, PayeeChoice | None] | None = None,
) -> Json:
    """A payout with its attempts, its history, its approvals and what was said of its payee."""
    return {
        "id": item.id,
        "kind": item.kind,
        "reference": item.reference,
        "party_id": item.party_id,
        "rail": item.rail,
        "amount_minor": item.amount_minor,
        "currency": item.currency,
        "creditor_name": item.creditor_name,
        "creditor_iban": item.creditor_iban,
        "end_to_end_id": item.end_to_end_id,
        "state": item.state.value,
        "send_at": moment(item.send_at),
        "due_at": moment(item.due_at) if item.state is PayoutState.SCHEDULED else None,
        "returned_minor": item.returned_minor,
        "waits_for": _waits_for(item, attempts),
        "payee_check": None if payee is None else _payee_check(*payee),
        **approval_of(item, approvals),
        "attempts": [_attempt(attempt) for attempt in attempts],
        "history": [
            {"type": event["type"], "at": moment(event["occurred_at"]), "data": event["data"]}
            for event in history
        ],
    }


def _payee_check(check: PayeeCheck, choice: PayeeChoice | None) -> Json:
    chosen = None
    if choice is not None:
        chosen = {"by": choice.chosen_by, "reason": choice.reason, "at": moment(choice.chosen_at)}
    return {
        "match": check.match.value,
        "matched_name": check.matched_name,
        "asked_at": moment(check.asked_at),
        "chosen": chosen,
    }


def trial_balance(report: TrialBalance) -> Json:
    """The trial balance, as known at an instant; null: as it stands."""
    return {
        "at": moment(report.at),
        "sum_minor": report.sums_minor,
        "rows": [
            {
                "account_id": row.account_id,
                "code": row.code.value,
                "class": row.account_class,
                "party_id": row.party_id,
                "currency": row.currency,
                "debits_minor": row.debits_minor,
                "credits_minor": row.credits_minor,
                "balance_minor": row.balance_minor,
                "held_minor": row.held_minor,
                "net_minor": row.net_minor,
            }
            for row in report.rows
        ],
    }


def safeguarding(report: Safeguarding) -> Json:
    """The safeguarding report."""
    return {
        "pool": report.pool,
        "currency": report.currency,
        "requirement_minor": report.requirement_minor,
        "resource_minor": report.resource_minor,
        "shortfall_minor": report.shortfall_minor,
        "excess_minor": report.excess_minor,
        "book_minor": report.book_minor,
        "book_shortfall_minor": report.book_shortfall_minor,
        "statement_ends_at": moment(report.statement_ends_at),
        "requirement_by_account": report.by_code,
    }


def reconciliation(report: Reconciliation) -> Json:
    """The reconciliation report."""
    return {
        "matched": report.matched,
        "open_breaks": [
            {
                "id": item.id,
                "code": item.kind,
                "kind": KINDS[item.kind],
                "account_id": item.account_id,
                "amount_minor": item.amount_minor,
                "opened_at": moment(item.opened_at),
            }
            for item in report.open_breaks
        ],
        "unmatched_ledger_movements": sum(item.version is not None for item in report.open_breaks),
        "accounts": [
            {
                "account_id": item.account_id,
                "code": item.code.value,
                "currency": item.currency,
                "book_minor": item.book_minor,
                "statement_opening_minor": item.statement_opening_minor,
                "statement_closing_minor": item.statement_closing_minor,
            }
            for item in report.accounts
        ],
    }


def _line(item: CartLine) -> Json:
    return {
        "id": item.line.reference,
        "seller": item.line.seller_id,
        "quantity": item.line.quantity,
        "unit_minor": item.line.unit_minor,
        "amount_minor": item.line.amount_minor,
        "captured_minor": item.captured_minor,
        "refunded_minor": item.refunded_minor,
        "final": item.final,
        "captured_splits": _parts(item.line.splits, item.captured_parts),
        "refunded_splits": _parts(item.line.splits, item.refunded_parts),
    }


def _rate(asked: list[Any] | None) -> Json | None:
    if asked is None:
        return None
    sold, bought, numerator, denominator = asked
    return {"sold": sold, "bought": bought, "numerator": numerator, "denominator": denominator}


def _parts(splits: tuple[Split, ...], parts: tuple[int, ...]) -> list[Json]:
    return [
        {"to": "platform" if split.to is SplitTo.PLATFORM else split.party_id, "amount_minor": part}
        for split, part in zip(splits, parts, strict=True)
    ]


def _attempt(item: Attempt) -> Json:
    return {
        "id": item.id,
        "attempt_no": item.attempt_no,
        "sent": item.sent_at is not None,
        "outcome": item.outcome,
        "cause": item.cause,
        "bank_references": dict(item.bank_references or {}),
    }
