"""What callers ask for, as the gate screens it and the flows carry it out: one frozen value an order.

An order says everything that matters about itself: its canonical text is what a clearance is bound to, so that
no field can change between the screening and the movement of money. Units: minor units.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from ledger.core.canonical import Canonical, canonical_text
from ledger.core.commands import Command, content_of
from ledger.core.ids import AccountId, CheckoutId, PartyId, PayoutId, ProgrammeId, RefundId, TransferId
from ledger.core.money import Split


class OrderKind(StrEnum):
    """What an order asks for."""

    ONBOARD = "onboard"
    DEPOSIT = "deposit"
    CHECKOUT = "checkout"
    CAPTURE = "capture"
    REFUND = "refund"
    PAYOUT = "payout"
    SWEEP = "sweep"
    TRANSFER = "transfer"


class Role(StrEnum):
    """What a party is to the programme."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    CREATOR = "creator"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnboardOrder:
    """Take a party into the programme. `payout_*` is the account at a bank where it is paid out."""

    kind: ClassVar[OrderKind] = OrderKind.ONBOARD
    party_id: PartyId
    programme_id: ProgrammeId
    role: Role
    name: str
    reference: str
    payout_name: str | None
    payout_iban: str | None
    commission_bps: int | None

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.party_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositOrder:
    """Release money that has arrived from suspense to the account it was sent to."""

    kind: ClassVar[OrderKind] = OrderKind.DEPOSIT
    deposit_id: str
    programme_id: ProgrammeId
    account_id: AccountId
    amount_minor: int
    currency: str
    debtor_name: str
    debtor_iban: str

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.deposit_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a cart: what one seller sells, and who shares in it."""

    reference: str
    seller_id: PartyId
    quantity: int
    unit_minor: int
    amount_minor: int
    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutOrder:
    """Authorise a cart over many sellers in one go: one hold on the payer's wallet."""

    kind: ClassVar[OrderKind] = OrderKind.CHECKOUT
    checkout_id: CheckoutId
    programme_id: ProgrammeId
    payer_id: PartyId
    reference: str
    currency: str
    amount_minor: int
    lines: tuple[Line, ...]
    expires_at: datetime

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.checkout_id


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAmount:
    """A part of one line of a checkout. `final` closes the line to further captures."""

    line: str
    amount_minor: int
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOrder:
    """Take authorised money for some lines of a checkout."""

    kind: ClassVar[OrderKind] = OrderKind.CAPTURE
    capture_id: str
    programme_id: ProgrammeId
    checkout_id: CheckoutId
    lines: tuple[LineAmount, ...]

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.capture_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """Give captured money back to the payer, taken from everyone who shared in it."""

    kind: ClassVar[OrderKind] = OrderKind.REFUND
    refund_id: RefundId
    programme_id: ProgrammeId
    checkout_id: CheckoutId
    lines: tuple[LineAmount, ...]

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.refund_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaymentOrder:
    """What every payment out of the safeguarding account says. `account_id` is where the money comes from.

    All that the bank will be told is in it, so that nothing of a payment can be changed once it is cleared; and so is
    its `initiator`, the client that asked for it, who is none of those who approve it.
    """

    payout_id: PayoutId
    programme_id: ProgrammeId
    account_id: AccountId
    reference: str
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
    send_at: datetime | None = None  # not before this time; None: as soon as its rail is open

    @property
    def id(self) -> str:
        """The id of what is ordered."""
        return self.payout_id


def end_to_end_id_of(payout_id: PayoutId) -> str:
    """What a payout is called at every bank on its way: 34 of the 35 characters that ISO 20022 allows."""
    return f"TS{payout_id.removeprefix('pay_')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder(_PaymentOrder):
    """Pay a party's balance out to its account at another bank."""

    kind: ClassVar[OrderKind] = OrderKind.PAYOUT
    party_id: PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOrder(_PaymentOrder):
    """Move the programme's own money out of the safeguarding account into its operating account."""

    kind: ClassVar[OrderKind] = OrderKind.SWEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """Carry out commands of the book as a caller has written them: all of them, or none.

    The commands have no authority yet: their clearance will be it. `undated` are those that leave their effective date
    to the book: it is the time at which they are first carried out, whenever they are asked for again.
    """

    kind: ClassVar[OrderKind] = OrderKind.TRANSFER
    programme_id: ProgrammeId
    commands: tuple[Command, ...]
    undated: frozenset[TransferId] = frozenset()

    def __post_init__(self) -> None:
        assert self.commands, "an order asks for something"
        for command in self.commands:
            assert command.programme_id == self.programme_id, "an order stays in its programme"
            assert command.authority is None, "nobody brings an authority of his own"

    @property
    def id(self) -> str:
        """The id of what is ordered: of the first command."""
        return self.commands[0].id


Order = (
    OnboardOrder
    | DepositOrder
    | CheckoutOrder
    | CaptureOrder
    | RefundOrder
    | PayoutOrder
    | SweepOrder
    | TransferOrder
)


_NOT_SAID = object()


def order_text(order: Order) -> str:
    """The canonical text of an order, with its kind: what a clearance is bound to."""
    said = _said_of_transfers(order) if isinstance(order, TransferOrder) else asdict(order)
    if said.get("send_at", _NOT_SAID) is None:
        del said["send_at"]  # what an order leaves open is not in its text, which is older than the field
    return canonical_text({"order": order.kind.value} | {key: _plain(value) for key, value in said.items()})


def _said_of_transfers(order: TransferOrder) -> dict[str, object]:
    """Every command with its kind, as the book would compare it; a date that is left open is none."""
    return {
        "programme_id": order.programme_id,
        "commands": [
            {"id": command.id, **content_of(command)}
            | ({"effective_at": None} if command.id in order.undated else {})
            for command in order.commands
        ],
    }


def _plain(value: object) -> Canonical:
    match value:
        case datetime():
            return value.isoformat()
        case tuple() | list():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case None | str() | int():
            return value
        case _:
            raise TypeError(f"an order may not hold a {type(value).__name__}")
