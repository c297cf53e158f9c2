"""The bank's request bodies, as far as the enclave puts its name under them.

A payment body is read into what it would make the bank do: who pays whom how much, under which references,
and whether it says anything beyond that. Everything else that goes to the bank must have one of a few exact
shapes, none of which a bank could take for a payment. A field that nothing in a payout accounts for (a bank
code, an address) could send money elsewhere, so it is not signed. Pure.
Files are read by `order_files`, which knows one form of them.
Follows: the ClearBank EU API: SEPA credit transfer `customer-payments`, `sepa-instant`, virtual accounts,
accounts, camt.053 statement requests, webhook answers.
Units: amounts in a body are JSON numbers in euros; they are kept as Decimal and compared exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, assert_never

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from enclave.canonical import JsonUnreadable, JsonValue, parse_object
from enclave.order_files import FileUnreadable, OrderFileProfile, read_order_file
from enclave.protocol import BankMessageProfile, BankProfile

CURRENCY_OF_SEPA = "EUR"
EURO_EXPONENT = 2

_PARTY_FIELDS = frozenset({"name", "accountIban"})
_CREDIT_TRANSFER_FIELDS = frozenset(
    {"endToEndId", "amount", "currency", "debtor", "creditor", "remittanceInformationUnstructured"}
)
_INSTANT_FIELDS = frozenset({"endToEndId", "amount", "debtor", "creditor", "reference"})


class BodyUnreadable(ValueError):
    """The body is not JSON, or lacks what a payment of its profile needs."""


@dataclass(frozen=True, slots=True)
class PaymentBody:
    """What the bank would do on reading the body.

    Units: `amount` in whole euros with fractions, as the body writes it.
    """

    amount: Decimal
    currency: str
    debtor_name: str
    debtor_iban: str
    creditor_name: str
    creditor_iban: str
    end_to_end_id: str
    remittance: str
    says_more: bool
    payout_id: str | None = None  # which payout it says it is, where it says so


def read_payment(profile: BankProfile, body: bytes) -> PaymentBody:
    """Read a payment body of a profile.

    Raises:
        BodyUnreadable: not strict JSON or not the form of a file, a needed field is absent or of another type.
    """
    match profile:
        case "clearbank.sct":
            return _credit_transfer(_members(body))
        case "clearbank.sct_inst":
            return _instant(_members(body))
        case "iso20022.sct" | "iso20022.sct_inst":
            return _file(profile, body)
        case _:
            assert_never(profile)


def is_amount(amount: Decimal, *, minor: int) -> bool:
    """Whether a body's euros are exactly this many cents.

    Units: `minor` in cents. Both sides are exact: no rounding takes place, whatever digits the body writes.
    """
    return amount == Decimal(minor).scaleb(-EURO_EXPONENT)


def _members(body: bytes) -> Mapping[str, JsonValue]:
    try:
        return parse_object(body)
    except JsonUnreadable as error:
        raise BodyUnreadable(str(error)) from error


def _file(profile: OrderFileProfile, body: bytes) -> PaymentBody:
    try:
        said = read_order_file(profile, body)
    except FileUnreadable as error:
        raise BodyUnreadable(str(error)) from error
    return PaymentBody(
        amount=said.amount,
        currency=CURRENCY_OF_SEPA,
        debtor_name=said.debtor_name,
        debtor_iban=said.debtor_iban,
        creditor_name=said.creditor_name,
        creditor_iban=said.creditor_iban,
        end_to_end_id=said.end_to_end_id,
        remittance=said.remittance,
        says_more=False,  # a file that does is not the form
        payout_id=said.payout_id,
    )


def _credit_transfer(members: Mapping[str, JsonValue]) -> PaymentBody:
    return _payment(
        members,
        known=_CREDIT_TRANSFER_FIELDS,
        currency=_text(members, "currency"),
        remittance=_text(members, "remittanceInformationUnstructured"),
    )


def _instant(members: Mapping[str, JsonValue]) -> PaymentBody:
    # SCT Inst has no currency field: the rail knows one currency only. The reference may be absent or null.
    remittance = "" if members.get("reference") is None else _text(members, "reference")
    return _payment(members, known=_INSTANT_FIELDS, currency=CURRENCY_OF_SEPA, remittance=remittance)


def _payment(
    members: Mapping[str, JsonValue], *, known: frozenset[str], currency: str, remittance: str
) -> PaymentBody:
    debtor, creditor = _object(members, "debtor"), _object(members, "creditor")
    return PaymentBody(
        amount=_number(members, "amount"),
        currency=currency,
        debtor_name=_text(debtor, "name"),
        debtor_iban=_text(debtor, "accountIban"),
        creditor_name=_text(creditor, "name"),
        creditor_iban=_text(creditor, "accountIban"),
        end_to_end_id=_text(members, "endToEndId"),
        remittance=remittance,
        says_more=bool(set(members) - known or (set(debtor) | set(creditor)) - _PARTY_FIELDS),
    )


def _text(members: Mapping[str, JsonValue], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise BodyUnreadable(f"{name} is not text")
    return value


def _object(members: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = members.get(name)
    if not isinstance(value, Mapping):
        raise BodyUnreadable(f"{name} is not an object")
    return value


def _number(members: Mapping[str, JsonValue], name: str) -> Decimal:
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BodyUnreadable(f"{name} is not a number")
    return Decimal(value)


ShortText: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=140)]
Instant: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z")
]


class BankMessage(BaseModel):
    """A body that moves no money: exact fields, exact types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class WebhookAnswer(BankMessage):
    """The answer to a webhook."""

    Nonce: int


class StatementRequest(BankMessage):
    """Ask for a camt.053 statement over a span of time."""

    startDateTimeUtc: Instant  # noqa: N815  # the bank's spelling
    endDateTimeUtc: Instant  # noqa: N815  # the bank's spelling


class Identifier(BankMessage):
    """An account number that we ask for."""

    identifier: Annotated[str, StringConstraints(min_length=1, max_length=50)]
    kind: Literal["IBAN", "BBAN", "Descriptor"]


class VirtualAccount(BankMessage):
    """Whose the virtual account is to be."""

    owner: ShortText
    identifiers: list[Identifier] | None = None


class VirtualAccountRequest(BankMessage):
    """Open a virtual account under a real one."""

    accountId: ShortText  # noqa: N815  # the bank's spelling
    virtualAccount: VirtualAccount  # noqa: N815  # the bank's spelling


class AccountRequest(BankMessage):
    """Open a real account."""

    label: ShortText
    owner: ShortText
    kind: ShortText
    currencies: list[ShortText]
    bankIdentifierCode: ShortText | None  # noqa: N815  # the bank's spelling
    identifiers: list[Identifier] | None = None
    routingCode: ShortText | None = None  # noqa: N815  # the bank's spelling
    productId: ShortText | None = None  # noqa: N815  # the bank's spelling
    customerId: ShortText | None = None  # noqa: N815  # the bank's spelling


class PayeeName(BankMessage):
    """Whom we believe an account to be."""

    name: ShortText


class PayeeAccount(BankMessage):
    """The account that is asked about."""

    iban: Annotated[str, StringConstraints(pattern=r"\A[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}\z")]


class PayeeBank(BankMessage):
    """The bank that keeps it."""

    bicfi: Annotated[str, StringConstraints(pattern=r"\A[A-Z0-9]{8}([A-Z0-9]{3})?\z")]


class PayeeAgent(BankMessage):
    """The bank that is asked."""

    financialInstitutionId: PayeeBank  # noqa: N815  # the bank's spelling


class PayeeRequest(BankMessage):
    """Ask whether an account has a name."""

    party: PayeeName
    partyAccount: PayeeAccount  # noqa: N815  # the bank's spelling
    partyAgent: PayeeAgent  # noqa: N815  # the bank's spelling


_SHAPES: Mapping[BankMessageProfile, TypeAdapter[BankMessage]] = {
    "clearbank.webhook_ack": TypeAdapter(WebhookAnswer),
    "clearbank.statement_request": TypeAdapter(StatementRequest),
    "clearbank.virtual_account": TypeAdapter(VirtualAccountRequest),
    "clearbank.account": TypeAdapter(AccountRequest),
    "clearbank.payee": TypeAdapter(PayeeRequest),
}


def has_shape(profile: BankMessageProfile, body: bytes) -> bool:
    """Whether a body has exactly the shape of its profile, every member named once."""
    try:
        _SHAPES[profile].validate_python(parse_object(body))
    except (JsonUnreadable, ValidationError):
        return False
    return True
