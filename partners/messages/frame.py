"""The frame that credit transfers and direct debits share: a header with totals, groups, and the items in them.

A file is gone through twice. The first time everything is checked and added up, because the number and the sum of the
items stand before them: so nothing is written of a file that has a fault, and totals and items cannot differ. The
second time it is written, some hundred items at once. Items may come from anywhere, as long as they can be had twice
in the same order. Totals given by the caller would have to be believed.

Pure; the same file always gives the same bytes. A document holds no comment, no byte order mark and no white space
between elements. Raises everywhere: InvalidValue, with the place in the file and never what stood there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from re import fullmatch
from typing import BinaryIO, Final, Generic, Protocol, TypeVar

from ledger.core.errors import InvalidValue
from partners.messages.dialects import Dialect, Edition
from partners.messages.fields import (
    NAME_MAX,
    amount_text,
    check_amount,
    check_moment,
    check_reference,
    check_text,
    moment_text,
)
from partners.messages.remittance import Remittance, check_remittance

AT_ONCE: Final = 256  # items that are written together: memory stays flat however long a file is


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which file it is, when it was made and by whom."""

    message_id: str
    created_at: datetime
    initiating_party: str
    initiating_party_id: str | None = None  # where the bank gave one out


@dataclass(frozen=True, slots=True)
class Totals:
    """How many items, and what they sum to. Units: minor units of euro."""

    count: int
    sum_minor: int


class Item(Protocol):
    """What is true of a payment and of a collection alike."""

    @property
    def instruction_id(self) -> str: ...
    @property
    def end_to_end_id(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def remittance(self) -> Remittance: ...


class Group(Protocol):
    """What is true of every group of items."""

    @property
    def group_id(self) -> str: ...
    @property
    def batch_booking(self) -> bool: ...


ItemT = TypeVar("ItemT", bound=Item)
GroupT = TypeVar("GroupT", bound=Group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Generic[GroupT, ItemT]):
    """One kind of file, by all that is its own."""

    name: Mapping[Edition, str]
    root: str
    method: str
    items_name: str
    items: Callable[[GroupT], Sequence[ItemT]]
    check_group: Callable[[GroupT, Dialect], None]
    check_item: Callable[[GroupT, ItemT, Dialect], None]
    group_xml: Callable[[GroupT, Dialect], str]
    item_xml: Callable[[ItemT, Dialect], str]

    def write(self, header: Header, groups: Sequence[GroupT], *, out: BinaryIO, dialect: Dialect) -> None:
        """Checks the whole file, then writes it piece by piece."""
        totals = _Check(self, dialect).totals(header, groups)
        whole = Totals(sum(part.count for part in totals), sum(part.sum_minor for part in totals))
        out.write(self._opening(header, whole, dialect))
        for group, part in zip(groups, totals, strict=True):
            out.write(_bytes(f"<PmtInf>{_group_opening(self.method, group, part, dialect)}"))
            out.write(_bytes(self.group_xml(group, dialect)))
            self._write_items(group, part, out=out, dialect=dialect)
            out.write(b"</PmtInf>")
        out.write(_bytes(f"</{self.root}></Document>\n"))

    def _opening(self, header: Header, whole: Totals, dialect: Dialect) -> bytes:
        namespace = f"urn:iso:std:iso:20022:tech:xsd:{self.name[dialect.edition]}"
        return _bytes(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{namespace}"><{self.root}>'
            f"{_header_xml(header, whole)}"
        )

    def _write_items(self, group: GroupT, part: Totals, *, out: BinaryIO, dialect: Dialect) -> None:
        count = sum_minor = 0
        for batch in _batches(iter(self.items(group))):
            out.write(_bytes("".join([self.item_xml(item, dialect) for item in batch])))
            count += len(batch)
            sum_minor += sum([item.amount_minor for item in batch])
        assert Totals(count, sum_minor) == part, "items have to be the same when they are gone through again"


class _Check(Generic[GroupT, ItemT]):
    """The first time through a file. The same group or item twice in it is money sent twice."""

    def __init__(self, message: Message[GroupT, ItemT], dialect: Dialect) -> None:
        self._message = message
        self._dialect = dialect
        self._group_ids: set[str] = set()
        self._instruction_ids: set[str] = set()

    def totals(self, header: Header, groups: Sequence[GroupT]) -> list[Totals]:
        """What each group comes to."""
        _check_header(header, self._dialect)
        totals = [self._group(group, place=f"groups[{index}]") for index, group in enumerate(groups)]
        if not totals:
            raise InvalidValue("A file without items says nothing.", field="groups")
        return totals

    def _group(self, group: GroupT, *, place: str) -> Totals:
        try:
            _check_once(group.group_id, self._group_ids, field="group_id")
            _check_booking(group, self._dialect)
            self._message.check_group(group, self._dialect)
        except InvalidValue as refused:
            raise _placed(refused, place) from refused
        items_place = f"{place}.{self._message.items_name}"
        part = self._items(group, place=items_place)
        if not part.count:
            raise InvalidValue("A group without items says nothing.", field=items_place)
        return part

    def _items(self, group: GroupT, *, place: str) -> Totals:
        count = sum_minor = 0
        for item in self._message.items(group):
            try:
                self._item(group, item)
            except InvalidValue as refused:
                raise _placed(refused, f"{place}[{count}]") from refused
            count += 1
            sum_minor += item.amount_minor
            if len(self._instruction_ids) > self._dialect.payments_max:
                raise InvalidValue(
                    f"This bank takes {self._dialect.payments_max} payments a file.", field=place
                )
        return Totals(count, sum_minor)

    def _item(self, group: GroupT, item: ItemT) -> None:
        _check_once(item.instruction_id, self._instruction_ids, field="instruction_id")
        check_reference(item.end_to_end_id, field="end_to_end_id")
        check_amount(item.amount_minor, item.currency)
        check_remittance(item.remittance)
        self._message.check_item(group, item, self._dialect)


def amount_xml(item: Item) -> str:
    """The amount of one item."""
    return f'<InstdAmt Ccy="{item.currency}">{amount_text(item.amount_minor)}</InstdAmt>'


def _check_once(key: str, seen: set[str], *, field: str) -> None:
    check_reference(key, field=field)
    if key in seen:
        raise InvalidValue("This stands twice in the file.", field=field)
    seen.add(key)


def _check_booking(group: Group, dialect: Dialect) -> None:
    if group.batch_booking and not dialect.batch_booking:
        raise InvalidValue("This bank is not asked for batch booking.", field="batch_booking")


def _check_header(header: Header, dialect: Dialect) -> None:
    check_reference(header.message_id, field="message_id")
    if not fullmatch(dialect.message_id_pattern, header.message_id):
        raise InvalidValue("This bank wants other message ids.", field="message_id")
    check_moment(header.created_at, field="created_at")
    check_text(header.initiating_party, field="initiating_party", length_max=NAME_MAX)
    if header.initiating_party_id is not None:
        check_reference(header.initiating_party_id, field="initiating_party_id")


def _header_xml(header: Header, whole: Totals) -> str:
    given = header.initiating_party_id
    identity = "" if given is None else f"<Id><OrgId><Othr><Id>{given}</Id></Othr></OrgId></Id>"
    return (
        f"<GrpHdr><MsgId>{header.message_id}</MsgId><CreDtTm>{moment_text(header.created_at)}</CreDtTm>"
        f"{_totals_xml(whole)}<InitgPty><Nm>{header.initiating_party}</Nm>{identity}</InitgPty></GrpHdr>"
    )


def _group_opening(method: str, group: Group, part: Totals, dialect: Dialect) -> str:
    booking = f"<BtchBookg>{str(group.batch_booking).lower()}</BtchBookg>" if dialect.batch_booking else ""
    return f"<PmtInfId>{group.group_id}</PmtInfId><PmtMtd>{method}</PmtMtd>{booking}{_totals_xml(part)}"


def _totals_xml(totals: Totals) -> str:
    return f"<NbOfTxs>{totals.count}</NbOfTxs><CtrlSum>{amount_text(totals.sum_minor)}</CtrlSum>"


def _placed(refused: InvalidValue, place: str) -> InvalidValue:
    return InvalidValue(refused.detail, field=f"{place}.{refused.field}")


def _batches(items: Iterator[ItemT]) -> Iterator[list[ItemT]]:
    while batch := list(islice(items, AT_ONCE)):
        yield batch


def _bytes(text: str) -> bytes:
    return text.encode("ascii")  # as every text here has been found to be
