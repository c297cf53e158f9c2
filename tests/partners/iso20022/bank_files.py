"""Files as a bank leaves them: status reports, notifications and statements about one account of ours."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from partners.messages.account_reports import Balance, StatementId
from partners.messages.details import Account, Detail, GivenReason, Party
from partners.messages.entries import Entry, EntryStatus
from tests.partners.messages.camt_files import Written, write_camt

OURS = "NL91ABNA0417164300"
THEIRS = "DE89370400440532013000"
DAY = date(2026, 11, 23)


def detail(end_to_end_id: str | None = "TS-1", **changes: object) -> Detail:
    """One payment of an entry."""
    said: dict[str, object] = {
        "end_to_end_id": end_to_end_id,
        "debtor": Party("Anna Bakker", Account(THEIRS)),
        "creditor": Party("Tally Pay BV", Account(OURS)),
        "remittance": ("Invoice 17",),
    }
    return Detail(**(said | changes))  # type: ignore[arg-type]  # a test names what it changes


def entry(minor: int = 10_00, *details: Detail, **changes: object) -> Entry:
    """One entry, booked."""
    said: dict[str, object] = {
        "number": 1,
        "status": EntryStatus.BOOKED,
        "amount_minor": minor,
        "currency": "EUR",
        "reversal": False,
        "booked_on": DAY,
        "booked_at": None,
        "value_on": DAY,
        "bank_reference": "B-1",
        "entry_reference": None,
        "bank_code": "PMNT/RCDT/ESCT",
        "own_code": None,
        "charges": (),
        "batch": None,
        "details": details,
        "additional": None,
    }
    return Entry(**(said | changes))  # type: ignore[arg-type]  # a test names what it changes


def statement(
    entries: Sequence[Entry],
    *,
    opening: int = 100_00,
    closing: int | None = None,
    iban: str = OURS,
    window: tuple[datetime, datetime] | None = None,
    days: tuple[date | None, date | None] = (DAY, DAY),
) -> Written:
    """One statement; without a closing balance, the one that its entries lead to."""
    end = (
        opening + sum(item.amount_minor for item in entries if item.is_booked) if closing is None else closing
    )
    starts_at, ends_at = window or (None, None)
    return Written(
        StatementId("ST-1", None, None, Account(iban), "EUR", starts_at, ends_at),
        (Balance("OPBD", opening, "EUR", days[0]), Balance("CLBD", end, "EUR", days[1])),
        entries,
    )


def statements(*written: Written) -> bytes:
    """A camt.053."""
    return write_camt(written)


def notification(*entries: Entry, iban: str = OURS) -> bytes:
    """A camt.054."""
    identity = StatementId("N-1", None, None, Account(iban), "EUR", None, None)
    return write_camt([Written(identity, (), entries)], name="camt.054")


def status_report(
    message_id: str, *, group: str | None = None, rows: str = "", part: str | None = None
) -> bytes:
    """A pain.002 about one file of ours."""
    of_group = "" if group is None else f"<GrpSts>{group}</GrpSts>"
    of_part = "" if part is None else f"<PmtInfSts>{part}</PmtInfSts>"
    block = (
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{message_id}</OrgnlPmtInfId>{of_part}{rows}</OrgnlPmtInfAndSts>"
    )
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>R-1</MsgId><CreDtTm>2026-11-23T09:00:00Z</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id}</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{of_group}</OrgnlGrpInfAndSts>"
        f"{block if rows or part else ''}</CstmrPmtStsRpt></Document>"
    ).encode()


def row(status: str, end_to_end_id: str = "TS-1", *, reason: str = "", instruction_id: str = "I-1") -> str:
    """One payment of a status report."""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    return (
        f"<TxInfAndSts><OrgnlInstrId>{instruction_id}</OrgnlInstrId>"
        f"<OrgnlEndToEndId>{end_to_end_id}</OrgnlEndToEndId><TxSts>{status}</TxSts>{why}</TxInfAndSts>"
    )


RETURNED = GivenReason("AC04", None, ())
WINDOW = (datetime(2026, 11, 22, 23, tzinfo=UTC), datetime(2026, 11, 23, 23, tzinfo=UTC))
