"""Reading camt.052, camt.053 and camt.054, versions 02 to 13: a stream in, entries out one by one.

Memory does not grow with the number of entries. Reading is strict, and the first entry that cannot be read ends
it; or such entries are handed out as rejected, so that entries in are entries kept and entries rejected. What is
wrong with the document itself ends it either way, and then nothing that came before is to be believed: a caller
believes a message when the reading of it has ended by itself.
Source: ISO 20022 camt.052.001, camt.053.001, camt.054.001, versions .02 to .13.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, TypeVar

from lxml import etree

from partners.contract import Unreadable
from partners.messages.account_reports import (
    Balance,
    MessageStarted,
    PageNumber,
    ReportEvent,
    StatementEnded,
    StatementId,
    StatementStarted,
    adds_up,
)
from partners.messages.camt_details import read_account, read_amount, read_sign
from partners.messages.camt_entries import read_entry
from partners.messages.entries import Entry, RejectedEntry
from partners.messages.parts import Names, Parts
from partners.messages.wire_values import BankTime, read_date, read_day, read_moment
from partners.messages.xml_stream import Kind, Limits, Source, XmlStream

MESSAGES: Final = Kind(("camt.052", "camt.053", "camt.054"), first=2, last=13)

_BODIES: Final = {
    "camt.052": ("BkToCstmrAcctRpt", "Rpt"),
    "camt.053": ("BkToCstmrStmt", "Stmt"),
    "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}
_TAGS: Final = ("GrpHdr", "Rpt", "Stmt", "Ntfctn", "Ntry")
_PAGES: Final = ("RptPgntn", "StmtPgntn", "NtfctnPgntn")
_AROUND: Final = frozenset({"Id", *_PAGES, "ElctrncSeqNb", "LglSeqNb", "FrToDt", "Acct"})
_PAGE_NUMBER: Final = re.compile(r"\A[0-9]{1,5}\Z")
_BALANCES_MAX: Final = 1000
_T = TypeVar("_T")
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})  # one bank's example says "Yes"


def read_camt(
    source: Source | bytes,
    *,
    time: BankTime | None = None,
    kind: Kind = MESSAGES,
    limits: Limits | None = None,
) -> Iterator[ReportEvent]:
    """Everything in a message, in the order it is printed. Raises: Unreadable, at the latest at its end."""
    for event in read_camt_tolerantly(source, time=time, kind=kind, limits=limits):
        if isinstance(event, RejectedEntry):
            raise Unreadable(f"{event.place}: {event.why}")
        yield event


def read_camt_tolerantly(
    source: Source | bytes,
    *,
    time: BankTime | None = None,
    kind: Kind = MESSAGES,
    limits: Limits | None = None,
) -> Iterator[ReportEvent]:
    """The same, with the entries that cannot be read given as rejected. Raises: Unreadable for the rest."""
    stream = XmlStream(source, kind, tags=_TAGS, limits=limits)
    return _Reading(stream, time or BankTime()).events()


@dataclass(slots=True)
class _Open:
    """A statement that is being read."""

    number: int
    element: etree._Element
    around: dict[str, etree._Element] = field(default_factory=dict)
    balances: list[Balance] = field(default_factory=list)
    booked_minor: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    started: StatementStarted | None = None
    kept: int = 0
    rejected: int = 0


class _Reading:
    """One message on its way through."""

    def __init__(self, stream: XmlStream, time: BankTime) -> None:
        self._stream = stream
        self._time = time
        self._names = Names("")
        self._body, self._tag, self._entry_tag = "", "", ""
        self._header: MessageStarted | None = None
        self._open: _Open | None = None
        self._statements = 0

    def events(self) -> Iterator[ReportEvent]:
        """Everything in the message."""
        for event, element in self._stream:
            if event == "end" and element.tag == self._entry_tag:
                yield from self._entry(element)
            elif event == "start":
                self._start(element)
            else:
                yield from self._end(element)
        if not self._statements:
            raise Unreadable("The document holds no statement.")

    def _start(self, element: etree._Element) -> None:
        parent = element.getparent()
        if parent is None:
            self._begin()
        elif element.tag == self._tag:
            if self._open is not None or not self._is_body(parent):
                raise _misplaced(element)
            self._statements += 1
            self._open = _Open(self._statements, element)

    def _begin(self) -> None:
        body, statement = _BODIES[self._stream.name]
        space = f"{{{self._stream.namespace}}}"
        self._body, self._tag, self._entry_tag = space + body, space + statement, f"{space}Ntry"
        self._names = Names(self._stream.namespace)

    def _is_body(self, element: etree._Element) -> bool:
        root = element.getparent()
        return element.tag == self._body and root is not None and root.getparent() is None

    def _end(self, element: etree._Element) -> Iterator[ReportEvent]:
        parent = element.getparent()
        if parent is None:
            return
        if element.tag == self._tag and self._open is not None and element is self._open.element:
            yield from self._close(self._open)
            self._open = None
        elif self._names[element.tag] == "GrpHdr" and self._is_body(parent) and self._header is None:
            self._header = self._group_header(Parts(element, self._names))
            yield self._header
        else:
            raise _misplaced(element)
        self._stream.let_go(element)

    def _group_header(self, header: Parts) -> MessageStarted:
        created = header.leaf("CreDtTm")
        return MessageStarted(
            name=self._stream.name,
            version=self._stream.version,
            message_id=header.leaf("MsgId"),
            created_at=None if created is None else read_moment(created, self._time),
            page=_page(header.part("MsgPgntn")),
        )

    # --- one entry ------------------------------------------------------------------------------------------

    def _entry(self, element: etree._Element) -> Iterator[ReportEvent]:
        open_ = self._open
        if open_ is None or element.getparent() is not open_.element:
            raise _misplaced(element)
        if open_.started is None:
            yield self._head(open_, until=element)
        self._let_go_before(open_, element)
        yield self._read(open_, element)
        self._stream.let_go(element)

    def _read(self, open_: _Open, element: etree._Element) -> Entry | RejectedEntry:
        number = open_.kept + open_.rejected + 1
        try:
            entry = read_entry(Parts(element, self._names), number=number, time=self._time)
        except Unreadable as unreadable:
            open_.rejected += 1
            place = f"Entry {number} of statement {open_.number}, line {element.sourceline}"
            return RejectedEntry(number, place, str(unreadable))
        open_.kept += 1
        if entry.is_booked:
            open_.booked_minor[entry.currency] += entry.amount_minor
        return entry

    # --- one statement --------------------------------------------------------------------------------------

    def _head(self, open_: _Open, *, until: etree._Element | None) -> StatementStarted:
        self._let_go_before(open_, until)
        head = Parts.of(open_.around, self._names)
        place = f"statement {open_.number}"
        open_.started = StatementStarted(
            number=open_.number,
            id=_within(place, lambda: self._statement_id(head)),
            page=next((_page(head.part(name)) for name in _PAGES if head.part(name)), None),
        )
        return open_.started

    def _close(self, open_: _Open) -> Iterator[ReportEvent]:
        if open_.started is None:
            yield self._head(open_, until=None)
        self._let_go_before(open_, None)
        assert open_.started is not None, "a statement starts before it ends"
        yield StatementEnded(
            id=open_.started.id,
            balances=tuple(open_.balances),
            kept=open_.kept,
            rejected=open_.rejected,
            adds_up=adds_up(open_.balances, open_.booked_minor, rejected=open_.rejected),
        )

    def _let_go_before(self, open_: _Open, entry: etree._Element | None) -> None:
        """Takes what stands before an entry out of the tree, the entry before included, and keeps what matters."""
        while (child := next(iter(open_.element), None)) is not None and child is not entry:
            name = self._names[child.tag]
            if name == "Bal":
                open_.balances.append(self._balance(open_, child))
            elif name in _AROUND:
                open_.around.setdefault(name, child)
            open_.element.remove(child)

    def _balance(self, open_: _Open, element: etree._Element) -> Balance:
        if len(open_.balances) == _BALANCES_MAX:
            raise Unreadable(f"statement {open_.number} prints more balances than are taken.")
        return _within(
            f"a balance of statement {open_.number}",
            lambda: _read_balance(Parts(element, self._names), self._time),
        )

    def _statement_id(self, head: Parts) -> StatementId:
        account, window = head.part("Acct"), head.part("FrToDt")
        owned = read_account(account.part("Id"))
        if owned is None:
            raise Unreadable("Acct/Id is no IBAN and nothing else.")
        return StatementId(
            statement_id=head.required("Id"),
            electronic_number=head.leaf("ElctrncSeqNb"),
            legal_number=head.leaf("LglSeqNb"),
            account=owned,
            currency=account.leaf("Ccy"),
            starts_at=self._moment(window, "FrDtTm"),
            ends_at=self._moment(window, "ToDtTm"),
        )

    def _moment(self, window: Parts, name: str) -> datetime | None:
        text = window.leaf(name)
        return None if text is None else read_moment(text, self._time)


def _read_balance(balance: Parts, time: BankTime) -> Balance:
    amount, sign = read_amount(balance), read_sign(balance)
    printed, kind = balance.part("Dt"), balance.part("Tp").part("CdOrPrtry")
    return Balance(
        code=kind.leaf("Cd") or kind.leaf("Prtry"),
        amount_minor=sign * amount.minor,
        currency=amount.currency,
        on=_day(printed, time),
    )


def _day(printed: Parts, time: BankTime) -> date | None:
    if (day := printed.leaf("Dt")) is not None:
        return read_date(day)
    moment = printed.leaf("DtTm")
    return None if moment is None else read_day(moment, time)[0]


def _page(pagination: Parts) -> PageNumber | None:
    if not pagination:
        return None
    number, last = pagination.leaf("PgNb") or "", (pagination.leaf("LastPgInd") or "").lower()
    if not _PAGE_NUMBER.match(number) or last not in _YES | _NO:
        raise Unreadable("Pagination does not say which page this is.")
    return PageNumber(int(number), last in _YES)


def _within(place: str, read: Callable[[], _T]) -> _T:
    """What is read, or where it could not be read."""
    try:
        return read()
    except Unreadable as unreadable:
        raise Unreadable(f"In {place}: {unreadable}") from unreadable


def _misplaced(element: etree._Element) -> Unreadable:
    name = etree.QName(element).localname
    return Unreadable(f"{name} stands in the wrong place, at line {element.sourceline}.")
