"""Writing a customer direct debit initiation: pain.008.001.08, or .02 for a bank of the edition of 2009.

As with credit transfers, a file is checked whole before its first byte is written, and the same file always gives the
same bytes. When a mandate lapses, and whether it still stands, is for who keeps the mandates.

Source: ISO 20022 pain.008.001.08 and .02; EPC130-08 (Core) and EPC131-08 (B2B) customer-to-bank guidelines of 2025;
EPC262-08 (creditor identifier).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import BinaryIO, Final

from stdnum.eu import at_02

from ledger.core.errors import InvalidValue
from partners.messages.dialects import Dialect, Edition
from partners.messages.fields import NAME_MAX, check_day, check_reference, check_text
from partners.messages.frame import Header, Message, amount_xml
from partners.messages.holders import (
    AccountHolder,
    account_xml,
    bank_xml,
    check_holder,
    check_own,
    own_bank_xml,
    party_xml,
)
from partners.messages.remittance import Remittance, remittance_xml

_CREDITOR_ID = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{3}[A-Z0-9]{1,28}")
# The scheme's word for another account of the same debtor, at the same bank or another one.
_ANOTHER_ACCOUNT = "<OrgnlDbtrAcct><Id><Othr><Id>SMNDA</Id></Othr></Id></OrgnlDbtrAcct>"


class DebitScheme(StrEnum):
    """Direct debits of anybody, or between businesses, which cannot be asked back."""

    CORE = "CORE"
    B2B = "B2B"


class MandateUse(StrEnum):
    """Which use of its mandate a collection is."""

    FIRST = "FRST"
    RECURRENT = "RCUR"
    FINAL = "FNAL"
    ONE_OFF = "OOFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What of a mandate has changed since the last collection: at least one thing."""

    original_mandate_id: str | None = None
    original_creditor_name: str | None = None
    original_creditor_id: str | None = None
    another_account: bool = False  # of the same debtor


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The debtor's leave to collect."""

    mandate_id: str
    signed_on: date
    amendment: Amendment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One direct debit. Units: minor units of `currency`."""

    instruction_id: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    mandate: Mandate
    debtor: AccountHolder
    remittance: Remittance = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionGroup:
    """Collections to one account, of one scheme and one use of their mandates, for one day."""

    group_id: str
    scheme: DebitScheme
    use: MandateUse
    creditor: AccountHolder
    creditor_id: str
    collect_on: date
    collections: Sequence[Collection]
    batch_booking: bool = False


@dataclass(frozen=True, slots=True)
class DirectDebitFile:
    """A file of direct debits. Its sequences are gone through twice."""

    header: Header
    groups: Sequence[CollectionGroup]


def write_direct_debits(file: DirectDebitFile, out: BinaryIO, *, dialect: Dialect) -> None:
    """Writes the file in the bank's dialect, piece by piece.

    Raises: InvalidValue before anything is written, naming the place: `groups[0].collections[12].debtor.iban`.
    """
    _DEBITS.write(file.header, file.groups, out=out, dialect=dialect)


def _collections(group: CollectionGroup) -> Sequence[Collection]:
    return group.collections


def _check_group(group: CollectionGroup, dialect: Dialect) -> None:
    check_own(group.creditor, field="creditor", dialect=dialect)
    _check_creditor_id(group.creditor_id, field="creditor_id")
    check_day(group.collect_on, field="collect_on")


def _check_collection(group: CollectionGroup, collection: Collection, dialect: Dialect) -> None:
    check_holder(collection.debtor, field="debtor", dialect=dialect)
    _check_mandate(collection.mandate)
    if collection.mandate.signed_on > group.collect_on:
        raise InvalidValue("Nothing is collected before its mandate is signed.", field="mandate.signed_on")


def _check_mandate(mandate: Mandate) -> None:
    _check_mandate_id(mandate.mandate_id, field="mandate.mandate_id")
    check_day(mandate.signed_on, field="mandate.signed_on")
    if (amendment := mandate.amendment) is None:
        return
    if amendment == Amendment():
        raise InvalidValue("An amendment says what has changed.", field="mandate.amendment")
    if amendment.original_mandate_id is not None:
        _check_mandate_id(amendment.original_mandate_id, field="mandate.amendment.original_mandate_id")
    if amendment.original_creditor_name is not None:
        check_text(
            amendment.original_creditor_name,
            field="mandate.amendment.original_creditor_name",
            length_max=NAME_MAX,
        )
    if amendment.original_creditor_id is not None:
        _check_creditor_id(amendment.original_creditor_id, field="mandate.amendment.original_creditor_id")


def _check_mandate_id(mandate_id: str, *, field: str) -> None:
    check_reference(mandate_id, field=field)
    if " " in mandate_id:
        raise InvalidValue("A mandate's id has no spaces.", field=field)


def _check_creditor_id(creditor_id: str, *, field: str) -> None:
    if not _CREDITOR_ID.fullmatch(creditor_id) or not at_02.is_valid(creditor_id):
        raise InvalidValue("This is not a SEPA creditor identifier.", field=field)


def _group_xml(group: CollectionGroup, dialect: Dialect) -> str:
    return (
        f"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl><LclInstrm><Cd>{group.scheme}</Cd></LclInstrm>"
        f"<SeqTp>{group.use}</SeqTp></PmtTpInf>"
        f"<ReqdColltnDt>{group.collect_on.isoformat()}</ReqdColltnDt>"
        f"{party_xml('Cdtr', group.creditor)}{account_xml('CdtrAcct', group.creditor)}"
        f"{own_bank_xml('CdtrAgt', group.creditor, dialect=dialect)}<ChrgBr>SLEV</ChrgBr>"
        f"<CdtrSchmeId>{_creditor_id_xml(group.creditor_id)}</CdtrSchmeId>"
    )


def _collection_xml(collection: Collection, dialect: Dialect) -> str:
    debtor = collection.debtor
    return (
        f"<DrctDbtTxInf>{_ids_xml(collection)}{amount_xml(collection)}"
        f"<DrctDbtTx>{_mandate_xml(collection.mandate)}</DrctDbtTx>"
        f"{bank_xml('DbtrAgt', debtor.bic, dialect=dialect)}"
        f"{party_xml('Dbtr', debtor)}{account_xml('DbtrAcct', debtor)}"
        f"{remittance_xml(collection.remittance)}</DrctDbtTxInf>"
    )


def _ids_xml(collection: Collection) -> str:
    return (
        f"<PmtId><InstrId>{collection.instruction_id}</InstrId>"
        f"<EndToEndId>{collection.end_to_end_id}</EndToEndId></PmtId>"
    )


def _mandate_xml(mandate: Mandate) -> str:
    amendment = "" if mandate.amendment is None else _amendment_xml(mandate.amendment)
    return (
        f"<MndtRltdInf><MndtId>{mandate.mandate_id}</MndtId>"
        f"<DtOfSgntr>{mandate.signed_on.isoformat()}</DtOfSgntr>{amendment}</MndtRltdInf>"
    )


def _amendment_xml(amendment: Amendment) -> str:
    mandate_id, name = amendment.original_mandate_id, amendment.original_creditor_name
    creditor_id = amendment.original_creditor_id
    creditor = ("" if name is None else f"<Nm>{name}</Nm>") + (
        "" if creditor_id is None else _creditor_id_xml(creditor_id)
    )
    details = (
        "" if mandate_id is None else f"<OrgnlMndtId>{mandate_id}</OrgnlMndtId>",
        f"<OrgnlCdtrSchmeId>{creditor}</OrgnlCdtrSchmeId>" if creditor else "",
        _ANOTHER_ACCOUNT if amendment.another_account else "",
    )
    return f"<AmdmntInd>true</AmdmntInd><AmdmntInfDtls>{''.join(details)}</AmdmntInfDtls>"


def _creditor_id_xml(creditor_id: str) -> str:
    return (
        f"<Id><PrvtId><Othr><Id>{creditor_id}</Id><SchmeNm><Prtry>SEPA</Prtry></SchmeNm></Othr></PrvtId></Id>"
    )


_DEBITS: Final = Message(
    name={Edition.OF_2009: "pain.008.001.02", Edition.OF_2019: "pain.008.001.08"},
    root="CstmrDrctDbtInitn",
    method="DD",
    items_name="collections",
    items=_collections,
    check_group=_check_group,
    check_item=_check_collection,
    group_xml=_group_xml,
    item_xml=_collection_xml,
)
