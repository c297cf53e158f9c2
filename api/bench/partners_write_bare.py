"""The reference for writing a payment file: lxml's `xmlfile`, element by element, and nothing else.

It checks nothing, adds nothing up, and knows only the one file that is measured.
"""

from datetime import date
from typing import Any, BinaryIO, Final

from lxml import etree

from partners.amounts import decimal_text
from partners.messages.fields import moment_text
from partners.messages.holders import AccountHolder, Address
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_IN: Final = f"{{{_NAMESPACE}}}"
_Xml = Any  # lxml tells no type of what writes elements


def write_bare(file: CreditTransferFile, out: BinaryIO) -> None:
    """Writes a file with one group of instant payments; each payment has all that a payment may have."""
    [group] = file.groups
    sum_minor = sum(payment.amount_minor for payment in group.payments)
    totals = (str(len(group.payments)), decimal_text(sum_minor, "EUR"))
    with (
        etree.xmlfile(out, encoding="UTF-8") as xml,
        xml.element(f"{_IN}Document", nsmap={None: _NAMESPACE}),
        xml.element(f"{_IN}CstmrCdtTrfInitn"),
    ):
        _header(xml, file, *totals)
        with xml.element(f"{_IN}PmtInf"):
            _group(xml, group, *totals)
            for payment in group.payments:
                _payment(xml, payment)


def _header(xml: _Xml, file: CreditTransferFile, count: str, total: str) -> None:
    with xml.element(f"{_IN}GrpHdr"):
        _leaf(xml, "MsgId", file.header.message_id)
        _leaf(xml, "CreDtTm", moment_text(file.header.created_at))
        _leaf(xml, "NbOfTxs", count)
        _leaf(xml, "CtrlSum", total)
        with xml.element(f"{_IN}InitgPty"):
            _leaf(xml, "Nm", file.header.initiating_party)


def _group(xml: _Xml, group: PaymentGroup, count: str, total: str) -> None:
    assert isinstance(group.execute_at, date)
    _leaf(xml, "PmtInfId", group.group_id)
    _leaf(xml, "PmtMtd", "TRF")
    _leaf(xml, "BtchBookg", "false")
    _leaf(xml, "NbOfTxs", count)
    _leaf(xml, "CtrlSum", total)
    with xml.element(f"{_IN}PmtTpInf"):
        with xml.element(f"{_IN}SvcLvl"):
            _leaf(xml, "Cd", "SEPA")
        with xml.element(f"{_IN}LclInstrm"):
            _leaf(xml, "Cd", "INST")
    with xml.element(f"{_IN}ReqdExctnDt"):
        _leaf(xml, "Dt", group.execute_at.isoformat())
    with xml.element(f"{_IN}Dbtr"):
        _leaf(xml, "Nm", group.debtor.name)
    _account(xml, "DbtrAcct", group.debtor)
    _bank(xml, "DbtrAgt", group.debtor)
    _leaf(xml, "ChrgBr", "SLEV")


def _payment(xml: _Xml, payment: Payment) -> None:
    with xml.element(f"{_IN}CdtTrfTxInf"):
        with xml.element(f"{_IN}PmtId"):
            _leaf(xml, "InstrId", payment.instruction_id)
            _leaf(xml, "EndToEndId", payment.end_to_end_id)
            _leaf(xml, "UETR", payment.uetr)
        with xml.element(f"{_IN}Amt"), xml.element(f"{_IN}InstdAmt", Ccy="EUR"):
            xml.write(decimal_text(payment.amount_minor, "EUR"))
        _bank(xml, "CdtrAgt", payment.creditor)
        with xml.element(f"{_IN}Cdtr"):
            _leaf(xml, "Nm", payment.creditor.name)
            _address(xml, payment.creditor.address)
        _account(xml, "CdtrAcct", payment.creditor)
        with xml.element(f"{_IN}RmtInf"):
            _leaf(xml, "Ustrd", payment.remittance)


def _address(xml: _Xml, address: Address | None) -> None:
    assert address is not None
    with xml.element(f"{_IN}PstlAdr"):
        _leaf(xml, "StrtNm", address.street)
        _leaf(xml, "BldgNb", address.building)
        _leaf(xml, "PstCd", address.postcode)
        _leaf(xml, "TwnNm", address.town)
        _leaf(xml, "Ctry", address.country)


def _bank(xml: _Xml, element: str, holder: AccountHolder) -> None:
    with xml.element(f"{_IN}{element}"), xml.element(f"{_IN}FinInstnId"):
        _leaf(xml, "BICFI", holder.bic)


def _account(xml: _Xml, element: str, holder: AccountHolder) -> None:
    with xml.element(f"{_IN}{element}"), xml.element(f"{_IN}Id"):
        _leaf(xml, "IBAN", holder.iban)


def _leaf(xml: _Xml, element: str, text: object) -> None:
    with xml.element(f"{_IN}{element}"):
        xml.write(text)
