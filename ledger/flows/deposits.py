"""Money in. It has already arrived, so it cannot wait for screening: it is booked to suspense, screened, then released.

Booking is keyed by the bank's own id of the posting: the same news twice is one deposit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger import book
from ledger.core.canonical import Canonical
from ledger.core.chart import Code
from ledger.core.clearance import Cleared
from ledger.core.commands import Authority, Leg, Post, Refused
from ledger.core.declined import Declined, declined_by_book
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, NoticeId, ProgrammeId, TransferId, derived
from ledger.core.orders import DepositOrder
from ledger.store.accounts import shared_accounts
from ledger.store.deposits import Deposit, accounts_by_iban, credit_deposits, insert_deposits, read_deposits
from ledger.store.events import Event, record_events
from ledger.store.programmes import read_programmes
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What the bank said has arrived. `programme_id` is whose safeguarding account was credited. Units: minor units."""

    notice_id: NoticeId
    programme_id: ProgrammeId
    transaction_id: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    remittance: str


def receive(tx: Tx, arrivals: Sequence[Arrival]) -> tuple[DepositOrder | None, ...]:
    """Books arrived money to suspense; gives, for each, the order that would release it, or None.

    None: it was booked before, or nobody of ours has the IBAN and it stays in suspense for a person to look at.
    Raises: InvalidValue when money arrived in another currency than the programme's account is kept in.
    """
    _check_currencies(tx, arrivals)
    owners = accounts_by_iban(tx, {arrival.creditor_iban for arrival in arrivals})
    fresh = _fresh(tx, arrivals)
    deposits = [_deposit(arrival, owners) for arrival in fresh]
    _book_to_suspense(tx, deposits)
    insert_deposits(tx, deposits)
    record_events(tx, [_event(deposit, "deposit.received") for deposit in deposits])
    orders = {deposit.id: _order(deposit) for deposit in deposits}
    return tuple(orders.pop(_deposit_id(arrival), None) for arrival in arrivals)


def release(tx: Tx, cleared: Sequence[Cleared[DepositOrder]]) -> tuple[Declined | None, ...]:
    """Credits cleared deposits to the accounts that they were sent to."""
    suspense = shared_accounts(tx, {item.order.programme_id for item in cleared}, Code.SUSPENSE)
    releases = [[_release(item, suspense[item.order.programme_id], tx)] for item in cleared]
    results = book.post_once(tx, releases, [item.clearance for item in cleared])
    answers = tuple(
        declined_by_book(result) if isinstance(result, Refused) else None for (result,) in results
    )
    done = [item for item, answer in zip(cleared, answers, strict=True) if answer is None]
    credit_deposits(tx, [item.order.deposit_id for item in done])
    record_events(tx, [_credited(item.order) for item in done])
    return answers


def _check_currencies(tx: Tx, arrivals: Sequence[Arrival]) -> None:
    programmes = read_programmes(tx, {arrival.programme_id for arrival in arrivals})
    for arrival in arrivals:
        kept_in = programmes[arrival.programme_id].currency
        if arrival.currency != kept_in:
            raise InvalidValue(f"{arrival.currency} arrived on an account in {kept_in}.", field="currency")


def _fresh(tx: Tx, arrivals: Sequence[Arrival]) -> list[Arrival]:
    by_id = {_deposit_id(arrival): arrival for arrival in arrivals}
    known = read_deposits(tx, by_id)
    return [arrival for deposit_id, arrival in by_id.items() if deposit_id not in known]


def _deposit_id(arrival: Arrival) -> str:
    return derived("dep", arrival.programme_id, arrival.transaction_id)


def _deposit(arrival: Arrival, owners: Mapping[str, tuple[ProgrammeId, AccountId]]) -> Deposit:
    owner = owners.get(arrival.creditor_iban)
    ours = owner is not None and owner[0] == arrival.programme_id
    return Deposit(
        id=_deposit_id(arrival),
        programme_id=arrival.programme_id,
        account_id=owner[1] if owner and ours else None,
        amount_minor=arrival.amount_minor,
        currency=arrival.currency,
        debtor_name=arrival.debtor_name,
        debtor_iban=arrival.debtor_iban,
        creditor_iban=arrival.creditor_iban,
        remittance=arrival.remittance,
        transaction_id=arrival.transaction_id,
        notice_id=arrival.notice_id,
        state="suspended",
    )


def _book_to_suspense(tx: Tx, deposits: Sequence[Deposit]) -> None:
    programmes = {deposit.programme_id for deposit in deposits}
    bank, suspense = (shared_accounts(tx, programmes, code) for code in (Code.SAFEGUARDING, Code.SUSPENSE))
    posts = [
        Post(
            id=TransferId(derived("xfr", deposit.id, "received")),
            programme_id=deposit.programme_id,
            authority=Authority(notice_id=deposit.notice_id),
            effective_at=tx.now,
            reference=deposit.transaction_id,
            metadata={"deposit": deposit.id},
            legs=(Leg(bank[deposit.programme_id], suspense[deposit.programme_id], deposit.amount_minor),),
        )
        for deposit in deposits
    ]
    for (result,) in book.post(tx, [[post] for post in posts]):
        # The money is at the bank: a book that cannot say so must stop rather than go on without it.
        assert not isinstance(result, Refused), result


def _order(deposit: Deposit) -> DepositOrder | None:
    if deposit.account_id is None:
        return None
    return DepositOrder(
        deposit_id=deposit.id,
        programme_id=deposit.programme_id,
        account_id=deposit.account_id,
        amount_minor=deposit.amount_minor,
        currency=deposit.currency,
        debtor_name=deposit.debtor_name,
        debtor_iban=deposit.debtor_iban,
    )


def _release(item: Cleared[DepositOrder], suspense: AccountId, tx: Tx) -> Post:
    order = item.order
    return Post(
        id=TransferId(derived("xfr", order.deposit_id, "released")),
        programme_id=order.programme_id,
        authority=Authority(clearance_id=item.clearance.id),
        effective_at=tx.now,
        reference=order.deposit_id,
        legs=(Leg(suspense, order.account_id, order.amount_minor),),
    )


def _credited(order: DepositOrder) -> Event:
    return Event(
        order.programme_id, order.deposit_id, "deposit.credited", {"amount_minor": order.amount_minor}
    )


def _event(deposit: Deposit, type_: str) -> Event:
    data: dict[str, Canonical] = {
        "amount_minor": deposit.amount_minor,
        "currency": deposit.currency,
        "transaction_id": deposit.transaction_id,
    }
    return Event(deposit.programme_id, deposit.id, type_, data)
