"""The bodies that the bank's own API takes, as strict as the published schemas.

Patterns are matched against the whole value, also where the schema leaves out the anchors. TXT is kept as
published, so texts of one or two characters are refused although the schema's minimum length is one.

Source: ClearBank EU schemas 2.0.MCCY-ACC-EU, 1.0.MCCY-ACC-EU, 1.0-SEPA-CT, 1.0-SEPA-INSTANT,
1.0_camt053_eu, and the pages on simulation.
"""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from partners.sandbox import iban

_CHARSET = r"0-9a-zA-Z\-\?:\(\)\.,'\+"
_PLACES_MAX = 2


def _matching(pattern: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(f"does not match {pattern}")
        return value

    return AfterValidator(check)


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports a ValueError as a broken rule
    return Decimal(value)


def _cents(value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > _PLACES_MAX:
        raise ValueError("has more than two decimal places")
    return value


def _iban(value: str) -> str:
    if not iban.is_valid(value):
        raise ValueError("is not a valid IBAN")
    return value


def _between(least: str, most: str) -> AfterValidator:
    low, high = Decimal(least), Decimal(most)

    def check(value: Decimal) -> Decimal:
        if not low <= value <= high:
            raise ValueError(f"must be between {least} and {most}")
        return value

    return AfterValidator(check)


Number = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_cents)]
CtAmount = Annotated[Number, _between("0.01", "999999999.99")]
# The scheme has no upper bound for instant payments; the bank's books need one.
InstAmount = Annotated[Number, _between("0.01", "999999999999.99")]

Txt = Annotated[str, _matching(rf"[{_CHARSET}]((?!//)([{_CHARSET}/ ]))+[{_CHARSET}]")]
Txt16 = Annotated[Txt, Field(max_length=16)]
Txt35 = Annotated[Txt, Field(max_length=35)]
Txt70 = Annotated[Txt, Field(max_length=70)]
Txt140 = Annotated[Txt, Field(max_length=140)]
Str35 = Annotated[str, Field(min_length=1, max_length=35)]
Str70 = Annotated[str, Field(min_length=1, max_length=70)]
Str100 = Annotated[str, Field(min_length=1, max_length=100), _matching(r'[^<>;"]*')]
Str140 = Annotated[str, Field(min_length=1, max_length=140)]
Owner = Annotated[Str140, _matching(r'[^<>;"]*')]
EndToEndCt = Annotated[Str35, _matching(rf"([{_CHARSET}](/?([{_CHARSET} ]/?)*[{_CHARSET}]+)?)")]
EndToEndInst = Annotated[Str35, _matching(rf"[{_CHARSET}/ ]+")]
Iban = Annotated[str, Field(min_length=5, max_length=34), AfterValidator(_iban)]
Country = Annotated[str, _matching(r"[A-Z]{2}")]
BicA = Annotated[str, _matching(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")]
BicB = Annotated[str, _matching(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")]
Lei = Annotated[str, _matching(r"[A-Z0-9]{18}[0-9]{2}")]
Guid = Annotated[
    str, _matching(r"[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}")
]
Day = Annotated[str, _matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")]


class Strict(BaseModel):
    """A body without room for a field that the schema does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class _Open(BaseModel):
    """An inner object of an instant payment: unknown fields are refused at the top level only."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel)


# Accounts


class IbanIdentifier(Strict):
    identifier: Iban
    kind: Literal["IBAN"]


class AccountOrder(Strict):
    """POST /mccy/v2/Accounts."""

    label: Str100
    owner: Owner
    kind: Literal["YourFunds", "GeneralSegregated", "DesignatedSegregated"]
    currencies: list[Literal["EUR"]] = Field(min_length=1, max_length=1)
    bank_identifier_code: BicA | None
    identifiers: list[IbanIdentifier] | None = Field(default=None, max_length=1)
    routing_code: str | None = None
    product_id: Guid | None = None
    customer_id: Guid | None = None


class VirtualAccountDetails(Strict):
    owner: Str140
    identifiers: list[IbanIdentifier] | None = Field(default=None, max_length=1)


class VirtualAccountOrder(Strict):
    """POST /mccy/v1/VirtualAccounts."""

    account_id: Guid
    virtual_account: VirtualAccountDetails


# SEPA credit transfer


class CtAddress(Strict):
    street_name: Txt70 | None = None
    building_number: Txt16 | None = None
    town_name: Txt35
    post_code: Txt16 | None = None
    country_subdivision: Txt35 | None = None
    country: Country


class CtOtherId(Strict):
    identification_number: Str35
    scheme_name_code: Annotated[str, Field(max_length=4)] | None = None
    scheme_name_proprietary: Str35 | None = None
    issuer: Str35 | None = None


class CtOrganisationId(Strict):
    bic: BicA | None = None
    lei: Lei | None = None
    other: CtOtherId | None = None


class CtBirth(Strict):
    date_of_birth: Day
    place_of_birth: Txt35


class CtPrivateId(Strict):
    date_and_place_of_birth: CtBirth | None = None
    other: Txt35 | None = None


class CtIdentification(Strict):
    organisation_identification: CtOrganisationId | None = None
    private_identification: CtPrivateId | None = None


class CtParty(Strict):
    name: Txt70
    account_iban: Iban
    postal_address: CtAddress | None = None
    identification: CtIdentification | None = None


class CtAgent(Strict):
    bic: BicA | None = None


class CtOrder(Strict):
    """POST /payments/sepa-ct/v1/customer-payments."""

    end_to_end_id: EndToEndCt
    amount: CtAmount
    currency: Literal["EUR"]
    debtor: CtParty
    creditor: CtParty
    creditor_agent: CtAgent | None = None
    remittance_information_unstructured: Txt140


# SEPA instant credit transfer


class InstAddress(_Open):
    street_name: Str70 | None = None
    building_number: Annotated[str, Field(max_length=16)] | None = None
    town_name: Str35
    post_code: Annotated[str, Field(max_length=16)] | None = None
    country_subdivision: Str35 | None = None
    country: Country


class InstIdentification(_Open):
    organisation_identification: dict[str, object] | None = None
    private_identification: dict[str, object] | None = None


class InstParty(_Open):
    name: Str70
    account_iban: Iban
    postal_address: InstAddress | None = None
    identification: InstIdentification | None = None


class InstAgent(_Open):
    bic: BicB | None = None


class UltimateParty(_Open):
    name: Str70
    identification: InstIdentification | None = None


class InstOrder(Strict):
    """POST /v1/payments/sepa-instant."""

    amount: InstAmount
    debtor: InstParty
    creditor: InstParty
    creditor_agent: InstAgent | None = None
    end_to_end_id: EndToEndInst
    reference: Str140 | None = None
    acceptance_date_time: str | None = None
    ultimate_debtor: UltimateParty | None = None
    ultimate_creditor: UltimateParty | None = None


# Statements and simulation


class StatementOrder(Strict):
    """POST /v1/statementrequests; the schema requires neither field, the bank needs both."""

    start_date_time_utc: str | None = None
    end_date_time_utc: str | None = None


class EmulatedInbound(Strict):
    """POST /v1/payments/sepa-ct/emulator/inbound/payment."""

    amount: CtAmount
    creditor_account: Iban
    end_to_end_id: EndToEndCt
    reference: Txt140
    debtor_agent_bic: BicA
