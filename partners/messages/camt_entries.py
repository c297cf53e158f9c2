"""One `Ntry` of a camt message as a value. Money is read from `Ntry/Amt` alone, its sign from `CdtDbtInd` alone."""

from collections.abc import Iterator
from datetime import date, datetime

from partners.contract import Unreadable
from partners.messages.camt_details import (
    bank_code,
    read_amount,
    read_charges,
    read_detail,
    read_flag,
    read_sign,
)
from partners.messages.entries import Batch, Entry, EntryStatus
from partners.messages.parts import Parts
from partners.messages.wire_values import BankTime, read_date, read_day

_STATUSES = {status.value: status for status in EntryStatus if status is not EntryStatus.OWN}


def read_entry(entry: Parts, *, number: int, time: BankTime) -> Entry:
    """One entry. Raises: Unreadable."""
    amount, sign = read_amount(entry), read_sign(entry)
    booked_on, booked_at = _day(entry, "BookgDt", time)
    codes, around = entry.part("BkTxCd"), entry.every("NtryDtls")
    return Entry(
        number=number,
        status=_status(entry),
        amount_minor=sign * amount.minor,
        currency=amount.currency,
        reversal=read_flag(entry, "RvslInd") or False,
        booked_on=booked_on,
        booked_at=booked_at,
        value_on=_day(entry, "ValDt", time)[0],
        bank_reference=entry.leaf("AcctSvcrRef"),
        entry_reference=entry.leaf("NtryRef"),
        bank_code=bank_code(codes),
        own_code=codes.part("Prtry").leaf("Cd"),
        charges=read_charges(entry),
        batch=next(_batches(around), None),
        details=tuple(read_detail(tx, sign=sign) for part in around for tx in part.every("TxDtls")),
        additional=entry.leaf("AddtlNtryInf"),
    )


def _status(entry: Parts) -> EntryStatus:
    """The status, which was plain text before version 08."""
    choice = entry.part("Sts")
    printed = choice.leaf("Cd") or entry.leaf("Sts")
    if printed is None and choice.leaf("Prtry") is None:
        raise Unreadable("Sts is missing.")
    return _STATUSES.get(printed or "", EntryStatus.OWN)


def _day(entry: Parts, name: str, time: BankTime) -> tuple[date | None, datetime | None]:
    choice = entry.part(name)
    if not choice:
        return None, None
    try:
        if (text := choice.leaf("Dt")) is not None:
            return read_date(text), None
        return read_day(choice.required("DtTm"), time)
    except Unreadable as none:
        raise Unreadable(f"{name} is not a date.") from none


def _batches(around: list[Parts]) -> Iterator[Batch]:
    for part in around:
        if batch := part.part("Btch"):
            yield Batch(batch.leaf("MsgId"), batch.leaf("PmtInfId"), batch.leaf("NbOfTxs"))
