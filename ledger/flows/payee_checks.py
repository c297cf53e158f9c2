"""Before the first payout to a beneficiary its bank is asked whether the name is right; people decide when it is not.

What was said is kept, and so is who paid all the same. Moves no money: a payout whose payee is in doubt is held, and
whoever resumes it has chosen. Source: Regulation (EU) 2024/886 article 5c; EPC218-23.
"""

from collections.abc import Set as AbstractSet

from ledger.core.ids import PayeeCheckId
from ledger.core.payee import PayeeAnswer, PayeeCheck, PayeeChoice, PayeeMatch, doubts
from ledger.core.payout import PayoutState
from ledger.flows import payouts
from ledger.store.events import Event, record_events
from ledger.store.payee_checks import (
    insert_payee_check,
    insert_payee_choice,
    newest_payee_checks,
    payee_choices_on,
)
from ledger.store.payouts import Payout
from ledger.store.tx import Tx


def check_of(tx: Tx, payout: Payout) -> PayeeCheck | None:
    """What was last said of a payout's payee."""
    payee = (payout.creditor_iban, payout.creditor_name)
    return newest_payee_checks(tx, payout.programme_id, [payee]).get(payee)


def keep_answer(tx: Tx, payout: Payout, answer: PayeeAnswer, *, bank_connection: str) -> PayeeCheck:
    """Keeps what a payee's bank said, with the payout for which it was asked."""
    check = PayeeCheck(
        id=PayeeCheckId(tx.new_id("pck")),
        programme_id=payout.programme_id,
        bank_connection=bank_connection,
        name=payout.creditor_name,
        iban=payout.creditor_iban,
        match=answer.match,
        matched_name=answer.matched_name,
        asked_at=tx.now,
    )
    insert_payee_check(tx, check)
    told = {"payee_check_id": check.id, "match": check.match.value}
    record_events(tx, [Event(payout.programme_id, payout.id, "payout.payee_checked", told)])
    return check


def hold_doubtful(tx: Tx, payout: Payout, check: PayeeCheck, *, holding: AbstractSet[PayeeMatch]) -> bool:
    """Holds a queued payout whose payee is in doubt, unless somebody has chosen; says whether it was held."""
    is_doubtful = check.match in holding and not payee_choices_on(tx, [check.id])
    if is_doubtful and payout.state is PayoutState.QUEUED:
        payouts.hold(tx, payout, reason=doubts(check))
    return is_doubtful


def choose(tx: Tx, payout: Payout, *, by: str, reason: str) -> None:
    """Keeps that somebody has a held payout sent although its payee is in doubt."""
    check = check_of(tx, payout)
    if check is None or check.match is PayeeMatch.MATCH:
        return
    choice = PayeeChoice(payee_check_id=check.id, chosen_by=by, reason=reason, chosen_at=tx.now)
    insert_payee_choice(tx, choice, payout.id)
