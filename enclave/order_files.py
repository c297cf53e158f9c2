"""The file that orders one payout: pain.001.001.09 in the one spelling that is signed, read without an XML parser.

A bank's parser may know entities, comments, other encodings and twenty optional elements that send money elsewhere. So
nothing is parsed: the file is the form below with its places filled in, byte for byte, or it is not signed. In the
places stand only characters that mean themselves in XML; the amount has one spelling; and whatever stands twice is the
same twice. The ids and the UETR are the payout's own, so that no two payouts can be one message to a bank.

The day of execution is the day of the file's own time or the one after it, which is how the bank's zone may have it.
Follows: ISO 20022 pain.001.001.09, as `partners/iso20022` writes it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal, TypeAlias
from uuid import UUID

OrderFileProfile: TypeAlias = Literal["iso20022.sct", "iso20022.sct_inst"]

_INSTANT: Final = "<LclInstrm><Cd>INST</Cd></LclInstrm>"
_BANK: Final = "<FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId>"
_FORM: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>'
    "<GrpHdr><MsgId>{id}</MsgId><CreDtTm>{made_at}</CreDtTm><NbOfTxs>1</NbOfTxs><CtrlSum>{amount}</CtrlSum>"
    "<InitgPty><Nm>{debtor_name}</Nm></InitgPty></GrpHdr>"
    "<PmtInf><PmtInfId>{id}</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>false</BtchBookg>"
    "<NbOfTxs>1</NbOfTxs><CtrlSum>{amount}</CtrlSum>"
    "<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>{rail}</PmtTpInf><ReqdExctnDt><Dt>{day}</Dt></ReqdExctnDt>"
    "<Dbtr><Nm>{debtor_name}</Nm></Dbtr><DbtrAcct><Id><IBAN>{debtor_iban}</IBAN></Id></DbtrAcct>"
    "<DbtrAgt>{bank}</DbtrAgt><ChrgBr>SLEV</ChrgBr>"
    "<CdtTrfTxInf><PmtId><InstrId>{id}</InstrId><EndToEndId>{end_to_end_id}</EndToEndId><UETR>{uetr}</UETR></PmtId>"
    '<Amt><InstdAmt Ccy="EUR">{amount}</InstdAmt></Amt>'
    "<Cdtr><Nm>{creditor_name}</Nm></Cdtr><CdtrAcct><Id><IBAN>{creditor_iban}</IBAN></Id></CdtrAcct>"
    "<RmtInf><Ustrd>{remittance}</Ustrd></RmtInf></CdtTrfTxInf>"
    "</PmtInf></CstmrCdtTrfInitn></Document>\n"
)
# The SEPA set: none of these is a sign of XML's, and none is white space but the space.
_SIGN: Final = r"[0-9A-Za-z/\-?:().,'+ ]"
_PLACES: Final[Mapping[str, str]] = {
    "id": r"[0-9a-f]{32}",
    "made_at": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z",
    "day": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "amount": r"(?:0|[1-9][0-9]{0,15})\.[0-9]{2}",
    "debtor_name": rf"{_SIGN}{{1,70}}",
    "debtor_iban": r"[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}",
    "creditor_name": rf"{_SIGN}{{1,70}}",
    "creditor_iban": r"[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}",
    "end_to_end_id": rf"{_SIGN}{{1,35}}",
    "uetr": r"[0-9a-f-]{36}",
    "remittance": rf"{_SIGN}{{1,140}}",
}


class FileUnreadable(ValueError):
    """The bytes are not the form with its places filled in."""


@dataclass(frozen=True, slots=True)
class OrderFile:
    """What stands in the places. Units: `amount` in whole euros with fractions."""

    payout_id: str
    amount: Decimal
    debtor_name: str
    debtor_iban: str
    creditor_name: str
    creditor_iban: str
    end_to_end_id: str
    remittance: str


def read_order_file(profile: OrderFileProfile, body: bytes) -> OrderFile:
    """What a file orders.

    Raises: FileUnreadable: it is not the one spelling of an order over this rail.
    """
    try:
        said = _PATTERNS[profile].fullmatch(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise FileUnreadable("not ASCII") from error
    if said is None:
        raise FileUnreadable("not the form")
    if str(UUID(hex=said["id"], version=4)) != said["uetr"]:
        raise FileUnreadable("the UETR is another payment's")
    _check_day(said["made_at"][:10], said["day"])
    return OrderFile(
        payout_id=f"pay_{said['id']}",
        amount=Decimal(said["amount"]),
        debtor_name=said["debtor_name"],
        debtor_iban=said["debtor_iban"],
        creditor_name=said["creditor_name"],
        creditor_iban=said["creditor_iban"],
        end_to_end_id=said["end_to_end_id"],
        remittance=said["remittance"],
    )


def _check_day(made_on: str, day: str) -> None:
    try:
        later = date.fromisoformat(day) - date.fromisoformat(made_on)
    except ValueError as error:
        raise FileUnreadable("a day that is none") from error
    if not timedelta(0) <= later <= timedelta(days=1):
        raise FileUnreadable("executed on another day than it was ordered for")


def _pattern(rail: str) -> re.Pattern[str]:
    """The form as a pattern: every place is taken at its first mention, and is the same at every other."""
    mentioned: set[str] = set()
    pattern = ""
    for piece in re.split(r"(\{[a-z_]+\})", _FORM.replace("{rail}", rail).replace("{bank}", _BANK)):
        name = piece.strip("{}")
        if piece == name:
            pattern += re.escape(piece)
        else:
            pattern += f"(?P={name})" if name in mentioned else f"(?P<{name}>{_PLACES[name]})"
            mentioned.add(name)
    return re.compile(pattern)


_PATTERNS: Final[Mapping[OrderFileProfile, re.Pattern[str]]] = {
    "iso20022.sct": _pattern(""),
    "iso20022.sct_inst": _pattern(_INSTANT),
}
