"""Who stands at either end of a payment: the account's holder, the account, its bank, and the holder's address.

Pure. An address is structured, or hybrid: town and country in their own elements, and up to two lines for the rest.
One that is lines only cannot be said here.

Source: EPC153-22 (unstructured addresses ended on 15 November 2026); ISO 20022 PostalAddress24, PartyIdentification135.
"""

import re
from dataclasses import dataclass
from typing import Final

from ledger.core.errors import InvalidValue
from partners.messages.dialects import Dialect, Edition, OwnBankAs
from partners.messages.fields import NAME_MAX, check_bic, check_iban, check_reference, check_text

LINES_MAX: Final = 2
LINE_MAX: Final = 70
NOT_PROVIDED: Final = "<FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId>"

_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where somebody lives. With `lines` it is hybrid; `country` is a code of ISO 3166."""

    town: str
    country: str
    street: str | None = None
    building: str | None = None
    postcode: str | None = None
    region: str | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHolder:
    """A name, its account, and what else is known. In SEPA the IBAN says which bank it is."""

    name: str
    iban: str
    bic: str | None = None
    address: Address | None = None


def check_holder(holder: AccountHolder, *, field: str, dialect: Dialect) -> None:
    """Raises: InvalidValue, naming the field under `field`."""
    check_text(holder.name, field=f"{field}.name", length_max=NAME_MAX)
    check_iban(holder.iban, field=f"{field}.iban")
    if holder.bic is not None:
        check_bic(holder.bic, field=f"{field}.bic")
    if holder.address is not None:
        _check_address(holder.address, field=f"{field}.address", dialect=dialect)


def check_own(holder: AccountHolder, *, field: str, dialect: Dialect) -> None:
    """The holder of our own account, whose bank may have to be named. Raises: InvalidValue."""
    check_holder(holder, field=field, dialect=dialect)
    if dialect.own_bank_as is OwnBankAs.BIC and holder.bic is None:
        raise InvalidValue("This bank wants its own BIC.", field=f"{field}.bic")


def party_xml(element: str, holder: AccountHolder) -> str:
    """Name and address, in the element of the party's role."""
    address = "" if holder.address is None else _address_xml(holder.address)
    return f"<{element}><Nm>{holder.name}</Nm>{address}</{element}>"


def account_xml(element: str, holder: AccountHolder) -> str:
    """The account, in the element of the party's role."""
    return f"<{element}><Id><IBAN>{holder.iban}</IBAN></Id></{element}>"


def bank_xml(element: str, bic: str | None, *, dialect: Dialect) -> str:
    """The bank at one end, said not to be provided where it is not."""
    if bic is None:
        return f"<{element}>{NOT_PROVIDED}</{element}>"
    name = "BIC" if dialect.edition is Edition.OF_2009 else "BICFI"
    return f"<{element}><FinInstnId><{name}>{bic}</{name}></FinInstnId></{element}>"


def own_bank_xml(element: str, holder: AccountHolder, *, dialect: Dialect) -> str:
    """Our own account's bank, as that bank wants it named."""
    bic = holder.bic if dialect.own_bank_as is OwnBankAs.BIC else None
    return bank_xml(element, bic, dialect=dialect)


def _check_address(address: Address, *, field: str, dialect: Dialect) -> None:
    for name, text, length_max in (
        ("street", address.street, 70),
        ("building", address.building, 16),
        ("postcode", address.postcode, 16),
        ("town", address.town, 35),
        ("region", address.region, 35),
    ):
        if text is not None:
            check_reference(text, field=f"{field}.{name}", length_max=length_max)
    if not _COUNTRY.fullmatch(address.country):
        raise InvalidValue("A country is a code of two capitals.", field=f"{field}.country")
    if address.lines and not dialect.hybrid_addresses:
        raise InvalidValue("This bank takes structured addresses only.", field=f"{field}.lines")
    if len(address.lines) > LINES_MAX:
        raise InvalidValue(f"An address has at most {LINES_MAX} lines.", field=f"{field}.lines")
    for line in address.lines:
        check_reference(line, field=f"{field}.lines", length_max=LINE_MAX)


def _address_xml(address: Address) -> str:
    parts = (
        ("StrtNm", address.street),
        ("BldgNb", address.building),
        ("PstCd", address.postcode),
        ("TwnNm", address.town),
        ("CtrySubDvsn", address.region),
        ("Ctry", address.country),
        *(("AdrLine", line) for line in address.lines),
    )
    inner = "".join([f"<{element}>{text}</{element}>" for element, text in parts if text is not None])
    return f"<PstlAdr>{inner}</PstlAdr>"
