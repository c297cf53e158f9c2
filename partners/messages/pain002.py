"""Reading pain.002, versions 03 to 14: a stream in, statuses out one by one, in the order they are printed.

Memory does not grow with the number of payments. Strict or tolerant, as with camt files: what is wrong with the
document itself ends the reading either way, and then nothing that came before is to be believed.
Source: ISO 20022 pain.002.001, versions .03 to .14; SEPA customer-to-bank implementation guidelines.
"""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from partners.contract import Unreadable
from partners.messages.camt_details import NOT_PROVIDED, read_party, read_reason
from partners.messages.details import GivenReason
from partners.messages.parts import Names, Parts
from partners.messages.payment_statuses import (
    GroupStatus,
    PartStatus,
    RejectedStatus,
    ReportStarted,
    StatusCode,
    StatusEvent,
    TransactionStatus,
)
from partners.messages.wire_values import Amount, BankTime, read_minor, read_moment
from partners.messages.xml_stream import Kind, Limits, Source, XmlStream

MESSAGES: Final = Kind(("pain.002",), first=3, last=14)

_TAGS: Final = ("GrpHdr", "OrgnlGrpInfAndSts", "OrgnlPmtInfAndSts", "TxInfAndSts")
_AROUND: Final = frozenset({"OrgnlPmtInfId", "PmtInfSts"})
_REASONS_MAX: Final = 100
_CODES: Final = {code.value: code for code in StatusCode}


def read_pain002(
    source: Source | bytes, *, time: BankTime | None = None, limits: Limits | None = None
) -> Iterator[StatusEvent]:
    """Every status in a report, in the order it is printed. Raises: Unreadable, at the latest at its end."""
    for event in read_pain002_tolerantly(source, time=time, limits=limits):
        if isinstance(event, RejectedStatus):
            raise Unreadable(f"{event.place}: {event.why}")
        yield event


def read_pain002_tolerantly(
    source: Source | bytes, *, time: BankTime | None = None, limits: Limits | None = None
) -> Iterator[StatusEvent]:
    """The same, with statuses that cannot be read given as rejected. Raises: Unreadable for the rest."""
    return _Reading(XmlStream(source, MESSAGES, tags=_TAGS, limits=limits), time or BankTime()).events()


class _Part:
    """A payment information block that is being read."""

    def __init__(self, element: etree._Element) -> None:
        self.element = element
        self.around: dict[str, etree._Element] = {}
        self.reasons: list[GivenReason] = []
        self.told = False


class _Reading:
    """One report on its way through."""

    def __init__(self, stream: XmlStream, time: BankTime) -> None:
        self._stream = stream
        self._time = time
        self._names = Names("")
        self._part: _Part | None = None
        self._has_group = False

    def events(self) -> Iterator[StatusEvent]:
        """Everything in the report."""
        for event, element in self._stream:
            parent = element.getparent()
            if parent is None:
                self._names = Names(self._stream.namespace)
            elif event == "start":
                self._start(element, parent)
            else:
                yield from self._end(element)
                self._stream.let_go(element)
        if not self._has_group:
            raise Unreadable("The document does not say which message it is about.")

    def _start(self, element: etree._Element, parent: etree._Element) -> None:
        match self._names[element.tag]:
            case "TxInfAndSts" if self._part is not None and parent is self._part.element:
                pass
            case "OrgnlPmtInfAndSts" if self._is_body(parent) and self._has_group:
                self._part = _Part(element)
            case "GrpHdr" | "OrgnlGrpInfAndSts" if self._is_body(parent) and not self._has_group:
                pass
            case _:
                name = etree.QName(element).localname
                raise Unreadable(f"{name} stands in the wrong place, at line {element.sourceline}.")

    def _is_body(self, element: etree._Element) -> bool:
        root = element.getparent()
        return self._names[element.tag] == "CstmrPmtStsRpt" and root is not None and root.getparent() is None

    def _end(self, element: etree._Element) -> Iterator[StatusEvent]:
        match self._names[element.tag]:
            case "GrpHdr":
                yield self._report(Parts(element, self._names))
            case "OrgnlGrpInfAndSts":
                self._has_group = True
                yield self._group(Parts(element, self._names))
            case "TxInfAndSts":
                assert self._part is not None, "its start was looked at"
                yield from self._tell(self._part, until=element)
                yield self._row(self._part, element)
            case _:
                assert self._part is not None, "its start was looked at"
                yield from self._tell(self._part, until=None)
                self._part = None

    def _report(self, header: Parts) -> ReportStarted:
        created = header.leaf("CreDtTm")
        return ReportStarted(
            version=self._stream.version,
            message_id=header.leaf("MsgId"),
            created_at=None if created is None else read_moment(created, self._time),
        )

    def _group(self, group: Parts) -> GroupStatus:
        return GroupStatus(
            message_id=group.required("OrgnlMsgId"),
            message_name=group.leaf("OrgnlMsgNmId"),
            status=_status(group, "GrpSts"),
            reasons=_reasons(group),
        )

    # --- one block ------------------------------------------------------------------------------------------

    def _tell(self, part: _Part, *, until: etree._Element | None) -> Iterator[PartStatus]:
        """The status of a block, once, when all that stands before its first payment is there."""
        self._let_go_before(part, until)
        if part.told:
            return
        part.told = True
        head = Parts.of(part.around, self._names)
        yield PartStatus(head.leaf("OrgnlPmtInfId"), _status(head, "PmtInfSts"), tuple(part.reasons))

    def _let_go_before(self, part: _Part, row: etree._Element | None) -> None:
        while (child := next(iter(part.element), None)) is not None and child is not row:
            name = self._names[child.tag]
            if name == "StsRsnInf" and len(part.reasons) < _REASONS_MAX:
                part.reasons.append(read_reason(Parts(child, self._names)))
            elif name in _AROUND:
                part.around.setdefault(name, child)
            part.element.remove(child)

    # --- one payment ----------------------------------------------------------------------------------------

    def _row(self, part: _Part, element: etree._Element) -> TransactionStatus | RejectedStatus:
        block = Parts.of(part.around, self._names).leaf("OrgnlPmtInfId")
        try:
            return self._status_of(Parts(element, self._names), block)
        except Unreadable as unreadable:
            return RejectedStatus(f"TxInfAndSts, line {element.sourceline}", str(unreadable))

    def _status_of(self, row: Parts, block: str | None) -> TransactionStatus:
        original = row.part("OrgnlTxRef")
        accepted, end_to_end_id = row.leaf("AccptncDtTm"), row.leaf("OrgnlEndToEndId")
        return TransactionStatus(
            payment_information_id=block,
            instruction_id=row.leaf("OrgnlInstrId"),
            end_to_end_id=None if end_to_end_id == NOT_PROVIDED else end_to_end_id,
            uetr=row.leaf("OrgnlUETR"),
            status=_status(row, "TxSts"),
            reasons=_reasons(row),
            bank_reference=row.leaf("AcctSvcrRef"),
            accepted_at=None if accepted is None else read_moment(accepted, self._time),
            amount=_amount(original.part("Amt")),
            creditor=read_party(original, "Cdtr", original),
            debtor=read_party(original, "Dbtr", original),
        )


def _status(parts: Parts, name: str) -> StatusCode | None:
    text = parts.leaf(name)
    if text is None:
        return None
    if text not in _CODES:
        raise Unreadable(f"{name} is a status that is not known.")
    return _CODES[text]


def _reasons(parts: Parts) -> tuple[GivenReason, ...]:
    return tuple(read_reason(given) for given in parts.every("StsRsnInf")[:_REASONS_MAX])


def _amount(choice: Parts) -> Amount | None:
    for parts, name in ((choice, "InstdAmt"), (choice.part("EqvtAmt"), "Amt")):
        if currency := parts.attribute(name, "Ccy"):
            return Amount(read_minor(parts.leaf(name), currency), currency)
    return None
