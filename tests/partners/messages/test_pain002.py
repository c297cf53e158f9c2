"""Status reports: what holds for a file, a block or a payment is given where it was printed."""

from datetime import UTC, datetime

import pytest

from partners.contract import Unreadable
from partners.messages.details import Account, GivenReason, Party
from partners.messages.pain002 import read_pain002, read_pain002_tolerantly
from partners.messages.payment_statuses import (
    GroupStatus,
    PartStatus,
    RejectedStatus,
    ReportStarted,
    StatusCode,
    TransactionStatus,
)
from partners.messages.wire_values import Amount

REASON = (
    "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>Closed</AddtlInf><AddtlInf>for good</AddtlInf></StsRsnInf>"
)


def report(*blocks: str, group: str = "", version: str = "10") -> bytes:
    """A whole report."""
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>R-1</MsgId><CreDtTm>2026-11-17T02:00:00+01:00</CreDtTm></GrpHdr>"
        "<OrgnlGrpInfAndSts><OrgnlMsgId>M-1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{group}</OrgnlGrpInfAndSts>{''.join(blocks)}</CstmrPmtStsRpt></Document>"
    ).encode()


def block(*rows: str, status: str = "<PmtInfSts>PART</PmtInfSts>", id_: str = "P-1") -> str:
    return (
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{id_}</OrgnlPmtInfId>{status}{''.join(rows)}</OrgnlPmtInfAndSts>"
    )


def row(status: str = "ACSC", *, end_to_end_id: str = "PO-1", inner: str = "") -> str:
    return (
        f"<TxInfAndSts><StsId>S</StsId><OrgnlInstrId>I-1</OrgnlInstrId>"
        f"<OrgnlEndToEndId>{end_to_end_id}</OrgnlEndToEndId>"
        f"<OrgnlUETR>8a562c67-ca16-48ba-b074-65581be6f001</OrgnlUETR><TxSts>{status}</TxSts>{inner}</TxInfAndSts>"
    )


def test_report_gives_every_status_in_its_order() -> None:
    original = (
        "<AccptncDtTm>2026-11-17T01:59:00Z</AccptncDtTm><AcctSvcrRef>B-9</AcctSvcrRef><OrgnlTxRef>"
        '<Amt><InstdAmt Ccy="EUR">12.30</InstdAmt></Amt>'
        "<CdtrAgt><FinInstnId><BICFI>ABNANL2A</BICFI></FinInstnId></CdtrAgt><Cdtr><Pty><Nm>Anna</Nm></Pty></Cdtr>"
        "<CdtrAcct><Id><IBAN>NL73ABNA0529451824</IBAN></Id></CdtrAcct></OrgnlTxRef>"
    )

    assert list(read_pain002(report(block(row(inner=original), row("RJCT", inner=REASON))))) == [
        ReportStarted(10, "R-1", datetime(2026, 11, 17, 1, tzinfo=UTC)),
        GroupStatus("M-1", "pain.001.001.09", None, ()),
        PartStatus("P-1", StatusCode.PARTLY, ()),
        TransactionStatus(
            payment_information_id="P-1",
            instruction_id="I-1",
            end_to_end_id="PO-1",
            uetr="8a562c67-ca16-48ba-b074-65581be6f001",
            status=StatusCode.DEBITED,
            reasons=(),
            bank_reference="B-9",
            accepted_at=datetime(2026, 11, 17, 1, 59, tzinfo=UTC),
            amount=Amount(1230, "EUR"),
            creditor=Party("Anna", Account("NL73ABNA0529451824"), "ABNANL2A"),
            debtor=None,
        ),
        TransactionStatus(
            payment_information_id="P-1",
            instruction_id="I-1",
            end_to_end_id="PO-1",
            uetr="8a562c67-ca16-48ba-b074-65581be6f001",
            status=StatusCode.REJECTED,
            reasons=(GivenReason("AC04", None, ("Closed", "for good")),),
            bank_reference=None,
            accepted_at=None,
            amount=None,
            creditor=None,
            debtor=None,
        ),
    ]


def test_rejected_group_rejects_all_and_no_payment_is_made_up() -> None:
    reason = "<StsRsnInf><Rsn><Prtry>DU01</Prtry></Rsn></StsRsnInf>"

    found = list(read_pain002(report(group=f"<GrpSts>RJCT</GrpSts>{reason}")))

    assert found[1:] == [
        GroupStatus("M-1", "pain.001.001.09", StatusCode.REJECTED, (GivenReason(None, "DU01", ()),))
    ]
    assert isinstance(found[1], GroupStatus)
    assert found[1].rejects_all


def test_rejected_block_rejects_all_of_it() -> None:
    whole = report(block(status=f"<PmtInfSts>RJCT</PmtInfSts>{REASON}"), block(row(), id_="P-2"))

    parts = [event for event in read_pain002(whole) if isinstance(event, PartStatus)]

    assert [(part.payment_information_id, part.rejects_all) for part in parts] == [
        ("P-1", True),
        ("P-2", False),
    ]
    assert parts[0].reasons == (GivenReason("AC04", None, ("Closed", "for good")),)


@pytest.mark.parametrize("code", [code.value for code in StatusCode])
def test_every_status_is_known(code: str) -> None:
    found = list(read_pain002(report(block(row(code)), group=f"<GrpSts>{code}</GrpSts>")))

    assert [getattr(event, "status", None) for event in found] == [None, code, "PART", code]


def test_status_not_printed_is_that_of_the_block() -> None:
    found = list(read_pain002(report(block(row().replace("<TxSts>ACSC</TxSts>", "")))))

    assert isinstance(found[-1], TransactionStatus)
    assert found[-1].status is None


@pytest.mark.parametrize("version", ["03", "08", "10", "14"])
def test_versions_do_not_matter_and_old_parties_are_read(version: str) -> None:
    old = "<OrgnlTxRef><Cdtr><Nm>Anna</Nm></Cdtr></OrgnlTxRef>"

    found = list(read_pain002(report(block(row(inner=old, end_to_end_id="NOTPROVIDED")), version=version)))

    assert isinstance(found[-1], TransactionStatus)
    assert (found[-1].end_to_end_id, found[-1].creditor) == (None, Party("Anna"))


@pytest.mark.parametrize("version", ["02", "15"])
def test_other_version_is_refused(version: str) -> None:
    with pytest.raises(Unreadable, match=r"pain\.002 of version 03 to 14"):
        list(read_pain002(report(version=version)))


def test_unknown_status_is_rejected_alone_or_refused() -> None:
    whole = report(block(row(), row("HUHU"), row("RJCT")))

    found = list(read_pain002_tolerantly(whole))

    assert [type(event) for event in found[3:]] == [TransactionStatus, RejectedStatus, TransactionStatus]
    with pytest.raises(Unreadable, match="TxSts") as unreadable:
        list(read_pain002(whole))
    assert "HUHU" not in str(unreadable.value)


@pytest.mark.parametrize(
    "document",
    [
        report(row()),
        report(block(block(row()))),
        report(group=row()),
        report(block(row(inner=row()))),
        report().replace(b"OrgnlMsgId>", b"X>"),
        report().replace(b"OrgnlGrpInfAndSts>", b"X>"),
    ],
)
def test_what_stands_in_the_wrong_place_or_is_missing_is_refused(document: bytes) -> None:
    with pytest.raises(Unreadable):
        list(read_pain002_tolerantly(document))


def test_report_cut_short_is_refused() -> None:
    whole = report(block(row(inner=REASON)))

    for length in range(len(whole) - 1):
        with pytest.raises(Unreadable):
            list(read_pain002(whole[:length]))
