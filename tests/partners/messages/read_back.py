"""A reader of what was written, for tests only: it trusts the document, which the schema has judged."""

from datetime import date, datetime
from decimal import Decimal

from lxml import etree

from partners.contract import Rail
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder, Address
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup
from partners.messages.pain008 import (
    Amendment,
    Collection,
    CollectionGroup,
    DebitScheme,
    DirectDebitFile,
    Mandate,
    MandateUse,
)
from partners.messages.remittance import CreditorReference, Remittance


def read_transfers(root: etree._Element) -> CreditTransferFile:
    """The file of credit transfers that a document says."""
    return CreditTransferFile(_header(root), tuple(map(_payment_group, every(root, "*/PmtInf"))))


def read_debits(root: etree._Element) -> DirectDebitFile:
    """The file of direct debits that a document says."""
    return DirectDebitFile(_header(root), tuple(map(_collection_group, every(root, "*/PmtInf"))))


def every(node: etree._Element, path: str) -> list[etree._Element]:
    """The elements at a path, whatever the namespace."""
    return node.findall("/".join(step if step == "*" else f"{{*}}{step}" for step in path.split("/")))


def text(node: etree._Element, path: str) -> str:
    """The text of the one element at a path."""
    [found] = every(node, path)
    return found.text or ""


def maybe(node: etree._Element, path: str) -> str | None:
    """The text of an element that may be missing."""
    return text(node, path) if every(node, path) else None


def minor(node: etree._Element, path: str) -> int:
    """An amount of euro. Units: minor units."""
    return int(Decimal(text(node, path)).scaleb(2))


def _header(root: etree._Element) -> Header:
    [header] = every(root, "*/GrpHdr")
    return Header(
        message_id=text(header, "MsgId"),
        created_at=datetime.fromisoformat(text(header, "CreDtTm")),
        initiating_party=text(header, "InitgPty/Nm"),
        initiating_party_id=maybe(header, "InitgPty/Id/OrgId/Othr/Id"),
    )


def _payment_group(group: etree._Element) -> PaymentGroup:
    assert text(group, "PmtMtd") == "TRF"
    assert text(group, "PmtTpInf/SvcLvl/Cd") == "SEPA"
    assert text(group, "ChrgBr") == "SLEV"
    instant = maybe(group, "PmtTpInf/LclInstrm/Cd") or maybe(group, "PmtTpInf/LclInstrm/Prtry")
    return PaymentGroup(
        group_id=text(group, "PmtInfId"),
        rail={"INST": Rail.SCT_INST, None: Rail.SCT}[instant],
        debtor=_holder(group, "Dbtr"),
        execute_at=_execution(group),
        payments=tuple(map(_payment, every(group, "CdtTrfTxInf"))),
        batch_booking=maybe(group, "BtchBookg") == "true",
    )


def _execution(group: etree._Element) -> date | datetime:
    if (moment := maybe(group, "ReqdExctnDt/DtTm")) is not None:
        return datetime.fromisoformat(moment)
    return date.fromisoformat(maybe(group, "ReqdExctnDt/Dt") or text(group, "ReqdExctnDt"))


def _payment(order: etree._Element) -> Payment:
    return Payment(
        instruction_id=text(order, "PmtId/InstrId"),
        end_to_end_id=text(order, "PmtId/EndToEndId"),
        amount_minor=minor(order, "Amt/InstdAmt"),
        currency=every(order, "Amt/InstdAmt")[0].attrib["Ccy"],
        creditor=_holder(order, "Cdtr"),
        remittance=_remittance(order),
        uetr=maybe(order, "PmtId/UETR"),
    )


def _collection_group(group: etree._Element) -> CollectionGroup:
    assert text(group, "PmtMtd") == "DD"
    assert text(group, "PmtTpInf/SvcLvl/Cd") == "SEPA"
    assert text(group, "ChrgBr") == "SLEV"
    return CollectionGroup(
        group_id=text(group, "PmtInfId"),
        scheme=DebitScheme(text(group, "PmtTpInf/LclInstrm/Cd")),
        use=MandateUse(text(group, "PmtTpInf/SeqTp")),
        creditor=_holder(group, "Cdtr"),
        creditor_id=text(group, "CdtrSchmeId/Id/PrvtId/Othr/Id"),
        collect_on=date.fromisoformat(text(group, "ReqdColltnDt")),
        collections=tuple(map(_collection, every(group, "DrctDbtTxInf"))),
        batch_booking=maybe(group, "BtchBookg") == "true",
    )


def _collection(order: etree._Element) -> Collection:
    [mandate] = every(order, "DrctDbtTx/MndtRltdInf")
    return Collection(
        instruction_id=text(order, "PmtId/InstrId"),
        end_to_end_id=text(order, "PmtId/EndToEndId"),
        amount_minor=minor(order, "InstdAmt"),
        currency=every(order, "InstdAmt")[0].attrib["Ccy"],
        mandate=Mandate(
            mandate_id=text(mandate, "MndtId"),
            signed_on=date.fromisoformat(text(mandate, "DtOfSgntr")),
            amendment=_amendment(mandate),
        ),
        debtor=_holder(order, "Dbtr"),
        remittance=_remittance(order),
    )


def _amendment(mandate: etree._Element) -> Amendment | None:
    if maybe(mandate, "AmdmntInd") is None:
        return None
    return Amendment(
        original_mandate_id=maybe(mandate, "AmdmntInfDtls/OrgnlMndtId"),
        original_creditor_name=maybe(mandate, "AmdmntInfDtls/OrgnlCdtrSchmeId/Nm"),
        original_creditor_id=maybe(mandate, "AmdmntInfDtls/OrgnlCdtrSchmeId/Id/PrvtId/Othr/Id"),
        another_account=maybe(mandate, "AmdmntInfDtls/OrgnlDbtrAcct/Id/Othr/Id") == "SMNDA",
    )


def _holder(node: etree._Element, role: str) -> AccountHolder:
    bank = f"{role}Agt/FinInstnId"
    return AccountHolder(
        name=text(node, f"{role}/Nm"),
        iban=text(node, f"{role}Acct/Id/IBAN"),
        bic=maybe(node, f"{bank}/BICFI") or maybe(node, f"{bank}/BIC"),
        address=_address(node, f"{role}/PstlAdr"),
    )


def _address(node: etree._Element, path: str) -> Address | None:
    if not every(node, path):
        return None
    return Address(
        town=text(node, f"{path}/TwnNm"),
        country=text(node, f"{path}/Ctry"),
        street=maybe(node, f"{path}/StrtNm"),
        building=maybe(node, f"{path}/BldgNb"),
        postcode=maybe(node, f"{path}/PstCd"),
        region=maybe(node, f"{path}/CtrySubDvsn"),
        lines=tuple(line.text or "" for line in every(node, f"{path}/AdrLine")),
    )


def _remittance(order: etree._Element) -> Remittance:
    reference = maybe(order, "RmtInf/Strd/CdtrRefInf/Ref")
    return maybe(order, "RmtInf/Ustrd") if reference is None else CreditorReference(reference)
