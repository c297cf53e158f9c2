"""Before the first payout to a beneficiary its bank is asked whether the name is right; people decide when it is not.

What was said is kept, and so is who paid all the same. Moves no money: a payout whose payee is in doubt is held, and
whoever resumes it has chosen. Source: Regulation (EU) 2024/886 article 5c; EPC218-23.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import timedelta

from ledger.core.ids import PayeeCheckId, PayoutId
from ledger.core.payee import PayeeAnswer, PayeeCheck, PayeeChoice, PayeeMatch, doubts
from ledger.core.payout import PayoutTrigger
from ledger.flows.payout_steps import Step, Word, take
from ledger.store.events import Event, first_event_at, record_events
from ledger.store.payee_checks import (
    Payee,
    insert_payee_check,
    insert_payee_choice,
    newest_payee_checks,
    payee_choices_on,
)
from ledger.store.payouts import Payout, save_steps
from ledger.store.tx import Tx

UNANSWERED = "payout.payee_unanswered"


def checks_of(tx: Tx, payouts: Sequence[Payout]) -> dict[PayoutId, PayeeCheck]:
    """What was last said of payouts' payees, where anything was."""
    payees = {item.id: payee_of(item) for item in payouts}
    found = newest_payee_checks(tx, set(payees.values()))
    return {payout_id: found[payee] for payout_id, payee in payees.items() if payee in found}


def payee_of(payout: Payout) -> Payee:
    """Whom a payout is paid to."""
    return payout.programme_id, payout.creditor_iban, payout.creditor_name


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


def hold_doubtful(
    tx: Tx,
    queued: Sequence[Payout],
    checks: Mapping[PayoutId, PayeeCheck],
    *,
    holding: AbstractSet[PayeeMatch],
) -> frozenset[PayoutId]:
    """Holds the queued payouts whose payee is in doubt, unless somebody has chosen; says which."""
    in_doubt = [item for item in queued if item.id in checks and checks[item.id].match in holding]
    chosen = payee_choices_on(tx, {checks[item.id].id for item in in_doubt}) if in_doubt else {}
    doubtful = [item for item in in_doubt if checks[item.id].id not in chosen]
    take(tx, [Step(item, PayoutTrigger.HOLD, Word(reason=doubts(checks[item.id]))) for item in doubtful])
    return frozenset(payout.id for payout in doubtful)


def asks_in_vain(tx: Tx, payout: Payout, *, again: timedelta, within: timedelta) -> bool:
    """Whether nobody has answered for so long that it cannot be known; until then the payout is put off a while."""
    first = first_event_at(tx, payout.id, UNANSWERED)
    if first is not None and tx.now - first >= within:
        return True
    if first is None:
        record_events(tx, [Event(payout.programme_id, payout.id, UNANSWERED, {})])
    save_steps(tx, [replace(payout, due_at=tx.now + again)])
    return False


def choose(tx: Tx, payout: Payout, *, by: str, reason: str) -> None:
    """Keeps that somebody has a held payout sent although its payee is in doubt."""
    check = checks_of(tx, [payout]).get(payout.id)
    if check is None or check.match is PayeeMatch.MATCH:
        return
    choice = PayeeChoice(payee_check_id=check.id, chosen_by=by, reason=reason, chosen_at=tx.now)
    insert_payee_choice(tx, choice, payout.id)
