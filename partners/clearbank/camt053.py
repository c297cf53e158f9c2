"""Reading one page of camt.053 statements, versions 02 to 11: a stream in, lines out, or Unreadable.

No entity is expanded, nothing is fetched, and a document with a DTD is refused. Money is read from
`Ntry/Amt` alone: it is what was booked, whatever a detail below it says. `CdtDbtInd` alone gives the sign;
`RvslInd` says that the entry takes an earlier one back, and is kept. Whether balances and entries agree is
judged where the pages come together (`statement_pages`), for one page may hold a part only.

Errors say where, never what: statements hold names and account numbers.
Source: ISO 20022 camt.053.001.02 to .11; ClearBank EU camt.053 statements (its days are Amsterdam's, its
windows are UTC).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Final
from zoneinfo import ZoneInfo

from lxml import etree

from partners.amounts import exponent_of, minor_units
from partners.clearbank.manifest import ZONE
from partners.clearbank.references import bank_id
from partners.contract import Statement, StatementLine, Unreadable

DOCUMENT_BYTES_MAX: Final = 32 * 1024 * 1024

_NAMESPACE = re.compile(r"\Aurn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(?:0[2-9]|1[01])\Z")
_WHOLE = re.compile(rb"</(?:[\w.-]+:)?Document\s*>\s*\Z")
_AMOUNT = re.compile(r"\A[0-9]{1,18}(?:\.([0-9]{1,17}))?\Z")
_CURRENCY = re.compile(r"\A[A-Z]{3}\Z")
_IBAN = re.compile(r"\A[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}\Z")
_DATE = re.compile(r"\A([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z")
_OPENING = (
    "OPBD",
    "PRCD",
    "ITBD",
)  # the first found in this order; a later page opens with an interim balance
_CLOSING = ("CLBD", "ITBD")
_PLACES = (
    ("Document", "BkToCstmrStmt", "Stmt", "Ntry"),
    ("Document", "BkToCstmrStmt", "Stmt"),
    ("Document", "BkToCstmrStmt", "GrpHdr"),
    ("Document",),
)
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})  # the bank's example says "Yes"
_PAGE_NUMBER = re.compile(r"\A[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class Page:
    """One document: its place among the pages of its message, and its share of each statement."""

    message_id: str | None
    number: int
    is_last: bool
    statements: tuple[Statement, ...]


def read_page(document: bytes) -> Page:
    """What one document holds; a document that does not number itself is the only one. Raises: Unreadable."""
    if not document.strip():
        raise Unreadable("The document is empty.")
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Unreadable("The document is larger than any page the bank makes.")
    try:
        page = _page(document)
    except etree.XMLSyntaxError as broken:
        raise Unreadable(_fault(document, broken)) from broken
    if not page.statements:
        raise Unreadable("The document holds no statement.")
    return page


def _page(document: bytes) -> Page:
    page = Page(message_id=None, number=1, is_last=True, statements=())
    statements: list[Statement] = []
    lines: list[StatementLine] = []
    entries = 0
    for event, element in _events(document):
        match event, etree.QName(element).localname:
            case "start", _:
                _check_place(element)
            case "end", "GrpHdr":
                page = _header(element)
            case "end", "Ntry":
                entries += 1
                lines.extend(_booked(element, place=f"entry {entries}"))
                element.clear()
            case "end", "Stmt":
                statements.append(_statement(element, tuple(lines)))
                lines, entries = [], 0
                element.clear()
            case _:
                pass  # the end of the document itself
    return replace(page, statements=tuple(statements))


def _events(document: bytes) -> Iterator[tuple[str, etree._Element]]:
    return iter(
        etree.iterparse(
            BytesIO(document),
            events=("start", "end"),
            tag=("{*}Document", "{*}GrpHdr", "{*}Stmt", "{*}Ntry"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
            recover=False,
            remove_comments=True,  # or a comment inside an amount would cut it in two
            remove_pis=True,
        )
    )


def _fault(document: bytes, broken: etree.XMLSyntaxError) -> str:
    if not _WHOLE.search(document):
        return f"The document is cut short: it stops at line {broken.lineno}, before its end."
    return f"The document is not well-formed XML at line {broken.lineno}."


def _check_place(element: etree._Element) -> None:
    """The document, its statements and their entries stand where the schema puts them, or nothing is read."""
    space = etree.QName(element).namespace or ""
    if element.getparent() is None:
        _check_root(element, space)
    path = [*reversed([str(parent.tag) for parent in element.iterancestors()]), str(element.tag)]
    if path not in [[f"{{{space}}}{name}" for name in place] for place in _PLACES]:
        raise Unreadable(f"{etree.QName(element).localname} stands in the wrong place.")


def _check_root(root: etree._Element, space: str) -> None:
    if _dtd(root) is not None:
        raise Unreadable("The document brings its own DTD, which is refused.")
    if not _NAMESPACE.match(space):
        raise Unreadable("The document is not a camt.053 of version 02 to 11.")


def _dtd(root: etree._Element) -> etree.DTD | None:
    return root.getroottree().docinfo.internalDTD  # the stubs forget that there may be none


def _header(element: etree._Element) -> Page:
    number, last = _leaf(element, "MsgPgntn/PgNb"), _leaf(element, "MsgPgntn/LastPgInd")
    if number is None and last is None:
        return Page(_leaf(element, "MsgId"), number=1, is_last=True, statements=())
    if not _PAGE_NUMBER.match(number or "") or (last or "").lower() not in _YES | _NO:
        raise Unreadable("MsgPgntn does not say which page this is.")
    return Page(
        _leaf(element, "MsgId"), number=int(number or ""), is_last=(last or "").lower() in _YES, statements=()
    )


# --- one statement ------------------------------------------------------------------------------------------


def _statement(element: etree._Element, lines: tuple[StatementLine, ...]) -> Statement:
    opening_minor, closing_minor, currency = _balances(element)
    if any(line.currency != currency for line in lines):
        raise Unreadable("An entry is not in the currency of its statement.")
    return Statement(
        statement_id=_required(element, "Id", place="statement"),
        iban=_iban(element),
        currency=currency,
        starts_at=_moment(element, "FrToDt/FrDtTm"),
        ends_at=_moment(element, "FrToDt/ToDtTm"),
        opening_minor=opening_minor,
        closing_minor=closing_minor,
        lines=lines,
    )


def _balances(element: etree._Element) -> tuple[int, int, str]:
    printed = [
        (_leaf(balance, "Tp/CdOrPrtry/Cd"), *_booked_amount(balance, place="balance"))
        for balance in _all(element, "Bal")
    ]
    codes = [code for code, _, _ in printed]
    opening = _first(codes, _OPENING)
    closing = len(codes) - 1 - _first(codes[::-1], _CLOSING)
    if opening == closing:
        raise Unreadable("The statement has no opening or no closing balance.")
    if any(codes.count(code) > 1 for code in ("OPBD", "PRCD", "CLBD")):
        raise Unreadable("The statement prints a balance twice.")
    if printed[opening][2] != printed[closing][2]:
        raise Unreadable("The balances of the statement are in two currencies.")
    return printed[opening][1], printed[closing][1], printed[opening][2]


def _first(codes: Sequence[str | None], wanted: tuple[str, ...]) -> int:
    for code in wanted:
        if code in codes:
            return codes.index(code)
    raise Unreadable("The statement has no opening or no closing balance.")


def _iban(element: etree._Element) -> str:
    iban = _required(element, "Acct/Id/IBAN", place="statement")
    if not _IBAN.match(iban):
        raise Unreadable("The statement's account is not an IBAN.")
    return iban


def _moment(element: etree._Element, path: str) -> datetime:
    """A time of the window in UTC; one without a zone is the bank's UTC already."""
    text = _required(element, path, place="statement")
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as broken:
        raise Unreadable(f"{path} is not a time.") from broken


# --- one entry ----------------------------------------------------------------------------------------------


def _booked(entry: etree._Element, *, place: str) -> tuple[StatementLine, ...]:
    """The line of a booked entry; pending and informational entries have none."""
    status = _leaf(entry, "Sts/Cd") or _leaf(entry, "Sts") or _leaf(entry, "Sts/Prtry")
    if status is None:
        raise Unreadable(f"Sts is missing in {place}.")
    return (_line(entry, place=place),) if status == "BOOK" else ()


def _line(entry: etree._Element, *, place: str) -> StatementLine:
    amount_minor, currency = _booked_amount(entry, place=place)
    reversal = _reversal(entry, place=place)
    details = _all(entry, "NtryDtls/TxDtls")
    detail = details[0] if len(details) == 1 else None  # a batch is one line: no one reference speaks for it
    # In a reversal the two sides keep the roles that they had in the entry it takes back.
    party = "Dbtr" if (amount_minor > 0) is not reversal else "Cdtr"
    return StatementLine(
        transaction_id=_transaction_id(entry, detail, place=place),
        end_to_end_id=_end_to_end_id(detail),
        amount_minor=amount_minor,
        currency=currency,
        booked_on=_day(entry, "BookgDt", place=place),
        value_on=_day(entry, "ValDt" if _all(entry, "ValDt") else "BookgDt", place=place),
        reversal=reversal,
        bank_code=_bank_code(entry),
        counterparty_name=_leaf(detail, f"RltdPties/{party}/Pty/Nm")
        or _leaf(detail, f"RltdPties/{party}/Nm"),
        counterparty_iban=_leaf(detail, f"RltdPties/{party}Acct/Id/IBAN"),
        remittance=_remittance(detail),
    )


def _transaction_id(entry: etree._Element, detail: etree._Element | None, *, place: str) -> str:
    found = _leaf(entry, "AcctSvcrRef") or _leaf(detail, "Refs/AcctSvcrRef")
    if found is None:
        raise Unreadable(f"AcctSvcrRef is missing in {place}.")
    return bank_id(found)


def _end_to_end_id(detail: etree._Element | None) -> str | None:
    found = _leaf(detail, "Refs/EndToEndId")
    return None if found == "NOTPROVIDED" else found  # the scheme's own word for "none was given"


def _bank_code(entry: etree._Element) -> str:
    steps = ("Domn/Cd", "Domn/Fmly/Cd", "Domn/Fmly/SubFmlyCd")
    codes = [_leaf(entry, f"BkTxCd/{step}") for step in steps]
    return "/".join(code for code in codes if code) or _leaf(entry, "BkTxCd/Prtry/Cd") or ""


def _remittance(detail: etree._Element | None) -> str | None:
    texts = [] if detail is None else [_text(node) for node in _all(detail, "RmtInf/Ustrd")]
    unstructured = " ".join(text for text in texts if text)
    return unstructured or _leaf(detail, "RmtInf/Strd/CdtrRefInf/Ref")


def _reversal(entry: etree._Element, *, place: str) -> bool:
    match _leaf(entry, "RvslInd"):
        case "true" | "1":
            return True
        case None | "false" | "0":
            return False
        case _:
            raise Unreadable(f"RvslInd is neither true nor false in {place}.")


def _day(entry: etree._Element, name: str, *, place: str) -> date:
    """A date as printed, or the day of a time: in the bank's own zone when the time says its offset."""
    try:
        if (text := _leaf(entry, f"{name}/Dt")) is not None:
            found = _DATE.match(text)
            return date.fromisoformat(found[1] if found else text)
        moment = datetime.fromisoformat(_required(entry, f"{name}/DtTm", place=place))
        return moment.date() if moment.tzinfo is None else moment.astimezone(ZoneInfo(ZONE)).date()
    except (ValueError, OverflowError) as broken:
        raise Unreadable(f"{name} is not a date in {place}.") from broken


def _booked_amount(element: etree._Element, *, place: str) -> tuple[int, str]:
    """The signed amount and currency of an entry or a balance. Units: minor units."""
    node = _find(element, "Amt")
    currency = "" if node is None else str(node.get("Ccy", ""))
    found = _AMOUNT.match(_leaf(element, "Amt") or "")
    if found is None or not _CURRENCY.match(currency):
        raise Unreadable(f"Amt is missing or is not an amount in {place}.")
    if len(found[1] or "") > exponent_of(currency):
        raise Unreadable(f"Amt has more decimals than {currency} in {place}.")
    minor = minor_units(Decimal(found[0]), currency)
    match _leaf(element, "CdtDbtInd"):
        case "CRDT":
            return minor, currency
        case "DBIT":
            return -minor, currency
        case _:
            raise Unreadable(f"CdtDbtInd is neither CRDT nor DBIT in {place}.")


# --- elements -----------------------------------------------------------------------------------------------


def _path(element: etree._Element, path: str) -> str:
    space = etree.QName(element).namespace
    return "/".join(f"{{{space}}}{step}" for step in path.split("/"))


def _find(element: etree._Element, path: str) -> etree._Element | None:
    return element.find(_path(element, path))


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(_path(element, path))


def _leaf(element: etree._Element | None, path: str) -> str | None:
    """The text of an element that holds nothing but text; absent and empty are the same."""
    node = None if element is None else _find(element, path)
    return None if node is None else _text(node)


def _text(node: etree._Element) -> str | None:
    return None if len(node) else (node.text or "").strip() or None


def _required(element: etree._Element, path: str, *, place: str) -> str:
    found = _leaf(element, path)
    if found is None:
        raise Unreadable(
            f"{path} is missing in the {place}." if place == "statement" else f"{path} is missing in {place}."
        )
    return found
