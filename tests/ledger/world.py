"""Small builders for the tests of the ledger: programmes, parties, funded accounts, orders with their clearances.

Also the invariants of the book as questions to the database: each gives the rows that break it.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypedDict, TypeVar

import sqlalchemy as sa

from ledger import book
from ledger.core.chart import SHARED_CODES, Code, Side
from ledger.core.clearance import Clearance, Cleared
from ledger.core.commands import (
    Applied,
    Authority,
    Capture,
    Close,
    Command,
    Expire,
    Freeze,
    Hold,
    Increase,
    Leg,
    Open,
    Part,
    Post,
    Rate,
    Release,
    Reverse,
    Unfreeze,
)
from ledger.core.ids import (
    AccountId,
    CheckoutId,
    ClearanceId,
    NoticeId,
    PartyId,
    PayoutId,
    ProgrammeId,
    RefundId,
    TransferId,
    derived,
)
from ledger.core.money import Split, SplitTo
from ledger.core.orders import (
    CaptureOrder,
    CheckoutOrder,
    Line,
    LineAmount,
    OnboardOrder,
    Order,
    PayoutOrder,
    RefundOrder,
    Role,
    SweepOrder,
    end_to_end_id_of,
    order_text,
)
from ledger.flows import deposits
from ledger.flows.deposits import Arrival
from ledger.flows.onboarding import Onboarded, found, onboard
from ledger.store.accounts import programme_accounts, shared_accounts
from ledger.store.deposits import activate_virtual_iban, request_virtual_ibans
from ledger.store.events import events_of
from ledger.store.notices import keep_notice
from ledger.store.programmes import Programme, read_programmes
from ledger.store.rows import insert_rows
from ledger.store.schema import parties
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING
from tests.ledger.invariants import BREACHES_QUERY

OrderT = TypeVar("OrderT", bound=Order)
WAIT_S = 30

# One asker of the book -------------------------------------------------------------------------------------


class Said(TypedDict):
    """What every command says."""

    id: TransferId
    programme_id: ProgrammeId
    effective_at: datetime
    reference: str


@dataclass(frozen=True)
class Asker:
    """Writes commands for one programme; names stand for ids, so that a replay is the same name again."""

    programme_id: ProgrammeId
    authority: Authority
    effective_at: datetime = MONDAY_MORNING

    def xfr(self, name: str) -> TransferId:
        return TransferId(derived("xfr", self.programme_id, name))

    def post(self, name: str, *legs: Leg, rate: Rate | None = None) -> Post:
        return Post(**self._said(name), authority=self.authority, legs=legs, rate=rate)

    def hold(
        self, name: str, account_id: AccountId, *, amount_minor: int, expires_at: datetime | None = None
    ) -> Hold:
        return Hold(
            **self._said(name),
            authority=self.authority,
            account_id=account_id,
            amount_minor=amount_minor,
            expires_at=expires_at,
        )

    def increase(self, name: str, hold: str, *, amount_minor: int) -> Increase:
        return Increase(
            **self._said(name), authority=self.authority, hold_id=self.xfr(hold), amount_minor=amount_minor
        )

    def capture(self, name: str, hold: str, *legs: Leg, final: bool = False) -> Capture:
        return Capture(
            **self._said(name), authority=self.authority, hold_id=self.xfr(hold), legs=legs, final=final
        )

    def release(self, name: str, hold: str, *, amount_minor: int | None = None) -> Release:
        return Release(**self._said(name), authority=None, hold_id=self.xfr(hold), amount_minor=amount_minor)

    def expire(self, name: str, hold: str) -> Expire:
        return Expire(**self._said(name), authority=None, hold_id=self.xfr(hold))

    def reverse(self, name: str, transfer: str, *parts: Part) -> Reverse:
        """Undoes a transfer: all of it, or only these parts."""
        return Reverse(
            **self._said(name),
            authority=self.authority,
            transfer_id=self.xfr(transfer),
            parts=parts or None,
        )

    def open(
        self,
        name: str,
        account_id: AccountId,
        *,
        party_id: PartyId | None = None,
        code: Code = Code.WALLET,
        subdivision: tuple[str, ...] = (),
        currency: str = "EUR",
        floor_minor: int | None = 0,
        cap_minor: int | None = None,
        tags: tuple[str, ...] = (),
    ) -> Open:
        return Open(
            **self._said(name),
            authority=None,
            account_id=account_id,
            code=code,
            subdivision=subdivision,
            party_id=party_id,
            currency=currency,
            min_available_minor=floor_minor,
            max_balance_minor=cap_minor,
            tags=tags,
        )

    def freeze(self, name: str, account_id: AccountId) -> Freeze:
        return Freeze(**self._said(name), authority=None, account_id=account_id)

    def unfreeze(self, name: str, account_id: AccountId) -> Unfreeze:
        return Unfreeze(**self._said(name), authority=None, account_id=account_id)

    def close(self, name: str, account_id: AccountId) -> Close:
        return Close(**self._said(name), authority=None, account_id=account_id)

    def _said(self, name: str) -> Said:
        return Said(
            id=self.xfr(name),
            programme_id=self.programme_id,
            effective_at=self.effective_at,
            reference=name,
        )


def notice(tx: Tx, key: str, *, bank_connection: str = "sandbox") -> NoticeId:
    """A bank's word, under which money that has already moved is booked."""
    notice_id, _ = keep_notice(
        tx, bank_connection=bank_connection, source="webhook", key=key, type_="TransactionSettled", body=b"{}"
    )
    return notice_id


def asker(tx: Tx, programme_id: ProgrammeId) -> Asker:
    """An asker with a bank's word for everything that it asks."""
    return Asker(programme_id, Authority(notice_id=notice(tx, f"word for {programme_id}")))


def done(tx: Tx, *commands: Command) -> None:
    """Carries commands out that must succeed."""
    for (result,) in book.post(tx, [[command] for command in commands]):
        assert isinstance(result, Applied), result


def make_party(tx: Tx, programme_id: ProgrammeId) -> PartyId:
    """A party that nobody asks anything of."""
    party_id = PartyId(tx.new_id("pty"))
    person = {
        "id": party_id,
        "programme_id": programme_id,
        "role": "customer",
        "name": "Someone",
        "reference": party_id,
        "status": "active",
        "created_at": tx.now,
    }
    insert_rows(tx, parties, [person])
    return party_id


def open_account(
    tx: Tx,
    programme_id: ProgrammeId,
    *,
    currency: str = "EUR",
    side: Side = Side.CREDIT,
    floor_minor: int | None = 0,
    cap_minor: int | None = None,
) -> AccountId:
    """An account with limits of its own, for a party of its own: version 1, and nothing on it."""
    account_id = AccountId(tx.new_id("acct"))
    opening = Open(
        id=TransferId(derived("xfr", account_id, "open")),
        programme_id=programme_id,
        authority=None,
        effective_at=tx.now,
        reference="an account",
        account_id=account_id,
        code=Code.SAFEGUARDING if side is Side.DEBIT else Code.WALLET,
        party_id=make_party(tx, programme_id),
        currency=currency,
        min_available_minor=floor_minor,
        max_balance_minor=cap_minor,
    )
    done(tx, opening)
    return account_id


# One programme with the parties of the cart ----------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A founded programme with its parties, by name."""

    programme: Programme
    parties: Mapping[str, PartyId]
    accounts: dict[str, AccountId] = field(default_factory=dict)

    @property
    def programme_id(self) -> ProgrammeId:
        return self.programme.id


CAST = {
    "ana": Role.CUSTOMER,
    "atelier": Role.MERCHANT,
    "soundbar": Role.MERCHANT,
    "hotel": Role.MERCHANT,
    "lea": Role.CREATOR,
}


def programme_named(tx: Tx, name: str) -> Programme:
    return Programme(
        id=ProgrammeId(tx.new_id("prg")),
        name=name,
        legal_name="Pay EU B.V.",
        bank_connection="sandbox",
        safeguarding_bank_id=f"{name}-safeguarding",
        safeguarding_iban=f"NL73ABNA0529451824 of {name}",
        operating_bank_id=f"{name}-operating",
        operating_iban=f"DE75512108001245126199 of {name}",
        currency="EUR",
    )


def clear(tx: Tx, order: OrderT) -> Cleared[OrderT]:
    """An order as the gate would hand it on."""
    clearance = Clearance(
        id=ClearanceId(tx.new_id("clr")),
        programme_id=order.programme_id,
        order_kind=order.kind.value,
        order_canonical=order_text(order),
        decision={"outcome": "cleared"},
    )
    return Cleared(order, clearance)


def onboard_order(tx: Tx, programme_id: ProgrammeId, name: str, role: Role = Role.CUSTOMER) -> OnboardOrder:
    return OnboardOrder(
        party_id=PartyId(tx.new_id("pty")),
        programme_id=programme_id,
        role=role,
        name=name.title(),
        reference=name,
        payout_name=None,
        payout_iban=None,
        commission_bps=None,
    )


def build_world(tx: Tx, name: str = "pay-eu") -> World:
    """A programme, and the customer, sellers and creator of the cart, all with nothing."""
    programme = programme_named(tx, name)
    assert found(tx, programme) is None
    orders = [onboard_order(tx, programme.id, who, role) for who, role in CAST.items()]
    opened = onboard(tx, [clear(tx, order) for order in orders])
    world = World(programme, {order.reference: order.party_id for order in orders})
    for who, answer in zip(CAST, opened, strict=True):
        assert isinstance(answer, Onboarded), answer
        world.accounts[who] = answer.account_id
    for code in SHARED_CODES:
        world.accounts[code.value] = shared_accounts(tx, [programme.id], code)[programme.id]
    return world


def give_iban(tx: Tx, world: World, who: str, iban: str) -> None:
    """Gives a party's account an IBAN of its own."""
    (wish,) = request_virtual_ibans(tx, [(world.programme_id, world.accounts[who])])
    activate_virtual_iban(tx, wish.id, iban=iban, bank_id=f"bank-{iban}")


def arrival(
    tx: Tx, world: World, *, iban: str, amount_minor: int, transaction_id: str = "bank-posting-1"
) -> Arrival:
    """Money that the bank says has arrived."""
    return Arrival(
        notice_id=notice(tx, f"notice of {transaction_id}"),
        programme_id=world.programme_id,
        transaction_id=transaction_id,
        end_to_end_id="NOTPROVIDED",
        amount_minor=amount_minor,
        currency="EUR",
        creditor_iban=iban,
        debtor_name="Ana Moreau",
        debtor_iban="FR7630006000011234567890189",
        remittance="top up",
    )


def fund(tx: Tx, world: World, who: str, *, amount_minor: int) -> None:
    """Money in, the way it comes: to an IBAN, to suspense, released."""
    iban = f"virtual-{tx.new_id('vib')}"
    give_iban(tx, world, who, iban)
    (order,) = deposits.receive(
        tx, [arrival(tx, world, iban=iban, amount_minor=amount_minor, transaction_id=iban)]
    )
    assert order is not None
    assert deposits.release(tx, [clear(tx, order)]) == (None,)


def earn_commission(tx: Tx, world: World, *, amount_minor: int) -> None:
    """Makes part of what the safeguarding account holds the programme's own."""
    fund(tx, world, "ana", amount_minor=amount_minor)
    leg = Leg(world.accounts["ana"], world.accounts[Code.COMMISSION.value], amount_minor)
    done(tx, asker(tx, world.programme_id).post(tx.new_id("key"), leg))


def shares(
    world: World, seller: str, *, platform_bps: int, creator_bps: int | None = None
) -> tuple[Split, ...]:
    """The platform's share, the creator's if she has one, and the seller with the rest."""
    platform = Split(SplitTo.PLATFORM, None, platform_bps)
    rest = Split(SplitTo.SELLER, world.parties[seller], None)
    if creator_bps is None:
        return platform, rest
    return platform, Split(SplitTo.CREATOR, world.parties["lea"], creator_bps), rest


def line(
    world: World, reference: str, seller: str, *, unit_minor: int, quantity: int = 1, **bps: int
) -> Line:
    """One line of a cart."""
    return Line(
        reference=reference,
        seller_id=world.parties[seller],
        quantity=quantity,
        unit_minor=unit_minor,
        amount_minor=quantity * unit_minor,
        splits=shares(world, seller, **bps),
    )


def story_lines(world: World) -> tuple[Line, ...]:
    """Two shirts, a sound bar and a night: 6998, 12900 and 18450."""
    return (
        line(world, "shirts", "atelier", unit_minor=3499, quantity=2, platform_bps=800, creator_bps=500),
        line(world, "sound", "soundbar", unit_minor=12900, platform_bps=1000),
        line(world, "rooms", "hotel", unit_minor=18450, platform_bps=1200),
    )


def cart(tx: Tx, world: World, *lines: Line, reference: str = "order-1", hours: int = 72) -> CheckoutOrder:
    """A cart of these lines; without any, the one with the shirts."""
    items = lines or story_lines(world)
    return CheckoutOrder(
        checkout_id=CheckoutId(tx.new_id("chk")),
        programme_id=world.programme_id,
        payer_id=world.parties["ana"],
        reference=reference,
        currency="EUR",
        amount_minor=sum(item.amount_minor for item in items),
        lines=items,
        expires_at=tx.now + timedelta(hours=hours),
    )


def capture_order(tx: Tx, world: World, checkout_id: CheckoutId, *lines: LineAmount) -> CaptureOrder:
    return CaptureOrder(
        capture_id=tx.new_id("cap"), programme_id=world.programme_id, checkout_id=checkout_id, lines=lines
    )


def refund_order(tx: Tx, world: World, checkout_id: CheckoutId, *lines: LineAmount) -> RefundOrder:
    return RefundOrder(
        refund_id=RefundId(tx.new_id("rfd")),
        programme_id=world.programme_id,
        checkout_id=checkout_id,
        lines=lines,
    )


def payout_order(
    tx: Tx, world: World, who: str, *, amount_minor: int, reference: str = "payout-1"
) -> PayoutOrder:
    payout_id = PayoutId(tx.new_id("pay"))
    programme = read_programmes(tx, [world.programme_id])[world.programme_id]
    return PayoutOrder(
        payout_id=payout_id,
        programme_id=world.programme_id,
        party_id=world.parties[who],
        account_id=world.accounts[who],
        reference=reference,
        rail="SCT",
        amount_minor=amount_minor,
        currency="EUR",
        creditor_name=who.title(),
        creditor_iban="DE89370400440532013000",
        debtor_name=programme.legal_name,
        debtor_iban=programme.safeguarding_iban,
        end_to_end_id=end_to_end_id_of(payout_id),
        remittance=reference,
        initiator="cli_desk",
    )


def sweep_order(tx: Tx, world: World, *, amount_minor: int, reference: str = "sweep-1") -> SweepOrder:
    payout_id = PayoutId(tx.new_id("pay"))
    programme = read_programmes(tx, [world.programme_id])[world.programme_id]
    return SweepOrder(
        payout_id=payout_id,
        programme_id=world.programme_id,
        account_id=world.accounts[Code.SAFEGUARDING.value],
        reference=reference,
        rail="SCT",
        amount_minor=amount_minor,
        currency="EUR",
        creditor_name="Pay EU B.V.",
        creditor_iban="DE75512108001245126199",
        debtor_name=programme.legal_name,
        debtor_iban=programme.safeguarding_iban,
        end_to_end_id=end_to_end_id_of(payout_id),
        remittance=reference,
        initiator="cli_desk",
    )


# Looking at what came of it --------------------------------------------------------------------------------


def posted(tx: Tx, world: World) -> dict[str, int]:
    """Every balance that is not zero, by name. Units: minor units on the account's own side."""
    names = {account_id: name for name, account_id in world.accounts.items()}
    places = programme_accounts(tx, world.programme_id)
    return {
        names[place.account.id]: place.account.posted_minor for place in places if place.account.posted_minor
    }


def held(tx: Tx, world: World) -> dict[str, int]:
    """Every held amount that is not zero, by name."""
    names = {account_id: name for name, account_id in world.accounts.items()}
    places = programme_accounts(tx, world.programme_id)
    return {names[place.account.id]: place.account.held_minor for place in places if place.account.held_minor}


def told_of(tx: Tx, programme_id: ProgrammeId, subject_id: str) -> list[str]:
    """The types of a subject's events, oldest first."""
    return [event["type"] for event in events_of(tx, programme_id, [subject_id])[subject_id]]


def table_counts(tx: Tx) -> dict[str, int]:
    """How many rows every table has."""
    names = tx.rows(
        sa.text(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'"
        )
    )
    tables = sorted(row["table_name"] for row in names)
    counted = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS count FROM {name}" for name in tables)
    return {row["name"]: row["count"] for row in tx.rows(sa.text(counted))}


def breaches(tx: Tx, programme_ids: Collection[ProgrammeId]) -> list[tuple[str, str]]:
    """What is wrong with the books of these programmes, by the database's own account: (invariant, whose row)."""
    ids = [item.removeprefix("prg_") for item in programme_ids]
    return [(row["breach"], row["subject"]) for row in tx.rows(BREACHES_QUERY, {"programmes": ids})]


def wait_until_blocked(engine: sa.Engine) -> None:
    """Waits until another session of this role waits for a lock (roles do not see what others wait for)."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
    raise AssertionError("nobody waits for a lock")
