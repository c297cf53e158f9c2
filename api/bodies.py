"""What requests may say. Strict where money is concerned: whole numbers only, known currencies, no unknown fields."""

import re
from datetime import date, datetime
from typing import Annotated, Literal, TypeVar

from iso4217 import Currency
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from ledger.core.ids import to_uuid
from ledger.core.money import BPS_WHOLE, MINOR_MAX
from ledger.core.orders import Role
from ledger.core.period import PeriodState
from ledger.core.unit import DECIMALS_MAX, NAME_MAX
from partners.contract import Rail

D = TypeVar("D", date, datetime)

YEARS = range(2000, 3000)  # far from the ends of the calendar, where a day or a zone more is no date any more
_CALENDAR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _known_currency(code: str) -> str:
    try:
        currency = Currency(code)
    except ValueError:
        raise PydanticCustomError("unknown_currency", "not a currency of ISO 4217") from None
    if currency.exponent is None:  # metals, units of account, "no currency"
        raise PydanticCustomError("unknown_currency", "a code of ISO 4217 that no money is counted in")
    return str(currency.code)


def _written_date(value: object) -> object:
    """Dates and times are text by the calendar, never counted seconds."""
    if not isinstance(value, str) or not _CALENDAR.match(value):
        raise PydanticCustomError("not_iso_8601", "is written as in ISO 8601")
    return value


def _in_our_time(value: D) -> D:
    if value.year not in YEARS:
        raise PydanticCustomError("out_of_range", "lies outside the years 2000 to 2999")
    return value


def _sound_iban(text: str) -> str:
    try:
        return str(IBAN(text, validate_bban=True))
    except SchwiftyException:
        raise PydanticCustomError("invalid_iban", "not a valid IBAN (ISO 13616)") from None


def _plain_text(value: object) -> object:
    if isinstance(value, str):
        if any(not character.isprintable() for character in value):
            raise PydanticCustomError("invalid_text", "holds characters that cannot be printed")
        return value.strip()
    return value


def _each_once(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("repeated", "names something twice")
    return values


def _id_of(prefix: str) -> AfterValidator:
    def checked(text: str) -> str:
        try:
            to_uuid(prefix, text)
        except ValueError:
            raise PydanticCustomError("invalid_id", f"not an id of the kind {prefix}_") from None
        return text

    return AfterValidator(checked)


Minor = Annotated[StrictInt, Field(ge=1, le=MINOR_MAX, description="whole minor units, e.g. cents")]
Bps = Annotated[StrictInt, Field(ge=1, le=BPS_WHOLE, description="basis points")]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_known_currency)]
Iban = Annotated[str, Field(max_length=42), AfterValidator(_sound_iban)]
Name = Annotated[str, BeforeValidator(_plain_text), Field(min_length=1, max_length=140)]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
PartyRef = Annotated[str, _id_of("pty")]
AccountRef = Annotated[str, _id_of("acct")]
TransferRef = Annotated[str, _id_of("xfr")]
ProgrammeScope = Literal[
    "payments", "compliance", "reports", "transfers:write", "ledger:read", "periods:write", "units:write"
]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_date), AfterValidator(_in_our_time)]
Day = Annotated[date, BeforeValidator(_written_date), AfterValidator(_in_our_time)]


class Body(BaseModel):
    """A request body: no unknown fields, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BankAccountBody(Body):
    """One account at the bank: the bank's own id of it, and its IBAN."""

    bank_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    iban: Iban


class ProgrammeBody(Body):
    """A programme to be founded."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
    legal_name: Name
    bank_connection: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    safeguarding: BankAccountBody
    operating: BankAccountBody
    currency: CurrencyCode


class ClientBody(Body):
    """A client of a programme."""

    scopes: Annotated[list[ProgrammeScope], Field(min_length=1), AfterValidator(_each_once)]


class SanctionsListBody(Body):
    """A sanctions list: CSV with the header entry,name. `legal_basis` says under which law it is screened."""

    name: Reference
    legal_basis: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")]
    csv: Annotated[str, Field(min_length=1, max_length=20_000_000)]


class PartyBody(Body):
    """A party to be onboarded. `payout_iban` is where its balance is paid out."""

    role: Role
    name: Name
    reference: Reference
    payout_name: Name | None = None
    payout_iban: Iban | None = None
    commission_bps: Annotated[StrictInt, Field(ge=0, le=BPS_WHOLE)] | None = None


class PayoutAccountBody(Body):
    """Another account that a party is paid out to. Without `name`, the payee's name is the party's."""

    name: Name | None = None
    iban: Iban


class VerificationBody(Body):
    """How somebody found out that an account is the payee's: by looking himself, or by asking the payee's bank."""

    how: Literal["four_eyes", "payee_check"]


class AuthenticatorBody(Body):
    """A payer's device: its EC P-256 public key."""

    public_key_pem: Annotated[str, Field(max_length=1000)]


class VirtualIbanBody(Body):
    """An IBAN of its own for a customer's wallet."""

    party_id: PartyRef


class SplitBody(Body):
    """A share of a line: in basis points, or (remainder) what is left. `to` is "platform" or a party."""

    to: Annotated[str, Field(max_length=64)]
    bps: Bps | None = None
    remainder: StrictBool = False


class LineBody(Body):
    """One line of a cart. Without splits, the platform takes the seller's agreed commission and the seller the rest."""

    id: Reference
    seller: PartyRef
    quantity: Annotated[StrictInt, Field(ge=1, le=1_000_000)]
    unit_minor: Minor
    amount_minor: Minor
    splits: Annotated[list[SplitBody], Field(min_length=1, max_length=20)] | None = None


class CheckoutBody(Body):
    """A cart over many sellers, to be authorised in one go on the payer's wallet."""

    payer: PartyRef
    reference: Reference
    currency: CurrencyCode
    amount_minor: Minor
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=100)]
    expires_at: Moment | None = None


class AuthenticationBody(Body):
    """The payer's signature over the challenge, DER in base64."""

    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{8,200}={0,2}$")]


class CaptureLineBody(Body):
    """What to capture of one line; `final` gives what is left of it back to the payer."""

    id: Reference
    amount_minor: Minor
    final: StrictBool = False


class CaptureBody(Body):
    """A capture of some lines."""

    lines: Annotated[list[CaptureLineBody], Field(min_length=1, max_length=100)]


class RefundLineBody(Body):
    """What to refund of one line."""

    id: Reference
    amount_minor: Minor


class RefundBody(Body):
    """A refund of some lines."""

    lines: Annotated[list[RefundLineBody], Field(min_length=1, max_length=100)]


class PayoutBody(Body):
    """A payout of a party's balance to its own account at another bank."""

    party_id: PartyRef
    reference: Reference
    amount_minor: Minor
    currency: CurrencyCode
    rail: Rail
    remittance: Annotated[str, BeforeValidator(_plain_text), Field(min_length=3, max_length=140)]
    send_at: Moment | None = None


class WhyBody(Body):
    """Why somebody does this to a payout: people read it in its history."""

    reason: Annotated[str, BeforeValidator(_plain_text), Field(min_length=3, max_length=140)]


class ApprovalBody(Body):
    """An approver's signature over a payout's `text_to_sign`: ECDSA, P-256, SHA-256, DER in base64."""

    approver_id: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{8,200}={0,2}$")]


class SweepBody(Body):
    """A sweep of the programme's own money from the safeguarding to the operating account."""

    reference: Reference
    amount_minor: Minor
    currency: CurrencyCode
    rail: Rail = Rail.SCT
    send_at: Moment | None = None


class StatementRequestBody(Body):
    """The day whose statements are wanted, in the bank's own calendar."""

    day: Day


class PeriodBody(Body):
    """A period of the programme's calendar: from `starts_at` until just before `ends_at`, by effective date."""

    starts_at: Moment
    ends_at: Moment

    @field_validator("ends_at")
    @classmethod
    def _after_its_start(cls, ends_at: datetime, known: ValidationInfo) -> datetime:
        starts_at = known.data.get("starts_at")  # missing when it was itself not valid
        if starts_at is not None and ends_at <= starts_at:
            raise PydanticCustomError("out_of_range", "is not after starts_at")
        return ends_at


class PeriodTransitionBody(Body):
    """The state that a period is to go into."""

    to: PeriodState


class UnitBody(Body):
    """A unit that the programme counts in besides currencies. `decimals`: how many of its minor units make one."""

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{3,11}$")]
    name: Annotated[str, BeforeValidator(_plain_text), Field(min_length=1, max_length=NAME_MAX)]
    decimals: Annotated[StrictInt, Field(ge=0, le=DECIMALS_MAX)]


class CardBody(Body):
    """A card, encrypted to the enclave's intake key: a compact JWE (RFC 7516), ECDH-ES on P-256 with A256GCM."""

    jwe: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=2048)]


class TestClockBody(Body):
    """Where to move the test clock."""

    now: Moment
