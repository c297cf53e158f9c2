"""A payout's file is signed as the adapter writes it, and in no other spelling: every byte of it is tried."""

import hashlib
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from enclave.bodies import BodyUnreadable, read_payment
from enclave.facts import PayoutRecord
from enclave.policy import Before, Conditions, Limits, refuse_payout
from enclave.protocol import BankProfile, BankScheme, PayoutRequest, Target
from partners.contract import Instruction, Rail
from partners.iso20022.orders import prepare
from tests.enclave.payouts import (
    AMOUNT_MINOR,
    NOW,
    ORDER,
    PAYOUT_ID,
    ROSTER,
    order_text,
    record_of,
    request_of,
)

DEBTOR_IBAN: Final = "NL91ABNA0417164300"
PROFILES: Final[dict[Rail, BankProfile]] = {Rail.SCT: "iso20022.sct", Rail.SCT_INST: "iso20022.sct_inst"}


def record(rail: Rail = Rail.SCT, **changes: object) -> PayoutRecord:
    said = {"debtor_iban": DEBTOR_IBAN, "rail": rail.value} | changes
    return record_of(order_text(**said), **said)  # type: ignore[arg-type]  # a test spoils columns


def instruction(rail: Rail = Rail.SCT, payout_id: str = PAYOUT_ID) -> Instruction:
    return Instruction(
        payout_id=payout_id,
        rail=rail,
        amount_minor=AMOUNT_MINOR,
        currency="EUR",
        creditor_name=str(ORDER["creditor_name"]),
        creditor_iban=str(ORDER["creditor_iban"]),
        debtor_name=str(ORDER["debtor_name"]),
        debtor_iban=DEBTOR_IBAN,
        end_to_end_id=str(ORDER["end_to_end_id"]),
        remittance=str(ORDER["remittance"]),
        ordered_at=NOW,
    )


def file(rail: Rail = Rail.SCT, payout_id: str = PAYOUT_ID) -> bytes:
    body = prepare(instruction(rail, payout_id)).body
    assert body is not None
    return body


def ask(
    body: bytes,
    *,
    rail: Rail = Rail.SCT,
    profile: BankProfile | None = None,
    scheme: BankScheme = "body_rsa_sha256",
    target: Target | None = None,
) -> PayoutRequest:
    return request_of(body, profile=profile or PROFILES[rail], scheme=scheme, target=target)


def judge(request: PayoutRequest, of: PayoutRecord, *, signed: bytes | None = None) -> str | None:
    digest = None if signed is None else hashlib.sha256(signed).hexdigest()
    refused = refuse_payout(
        request,
        of,
        before=Before(digest=digest),
        limits=Limits(),
        conditions=Conditions(),
        approvers=ROSTER,
        now=NOW,
    )
    return None if refused is None else refused.code


TRUE: Final = file()
TIMES: Final = {  # the digits that nothing in an order accounts for, and that move no money
    *range(TRUE.index(b"<CreDtTm>") + len("<CreDtTm>"), TRUE.index(b"</CreDtTm>")),
    *range(TRUE.index(b"<Dt>") + len("<Dt>"), TRUE.index(b"</Dt>")),
}


@pytest.mark.parametrize("rail", Rail)
def test_file_that_agrees_with_its_record_may_be_signed(rail: Rail) -> None:
    assert judge(ask(file(rail), rail=rail), record(rail)) is None


@pytest.mark.parametrize("rail", Rail)
def test_file_of_the_other_rail_is_refused(rail: Rail) -> None:
    (other,) = set(Rail) - {rail}

    assert judge(ask(file(rail), rail=rail), record(other)) == "rail_mismatch"
    assert judge(ask(file(other), rail=rail), record(rail)) == "body_unreadable"


@pytest.mark.parametrize("sign", [b"", b"0", b"A", b" ", b"<", b"&", b"\n", b"\xc3"])
def test_no_byte_can_be_another_or_none_or_have_one_beside_it(sign: bytes) -> None:
    for place in range(len(TRUE)):
        for rest in (place, place + 1):
            body = TRUE[:place] + sign + TRUE[rest:]
            if body != TRUE and place not in TIMES:
                assert judge(ask(body), record()) is not None, (place, body[place - 20 : place + 20])


@given(st.binary(max_size=40), st.integers(0, len(TRUE)), st.integers(0, 60))
@settings(max_examples=500)
def test_whatever_is_signed_says_the_same_to_an_xml_parser(piece: bytes, place: int, gone: int) -> None:
    body = TRUE[:place] + piece + TRUE[place + gone :]

    if judge(ask(body), record()) is None:
        assert said(body) == said(TRUE)


def said(body: bytes) -> list[tuple[str, dict[str, str], str | None]]:
    """Everything in a document but its times."""
    return [
        (str(node.tag), {str(name): str(value) for name, value in node.attrib.items()}, node.text)
        for node in etree.fromstring(body).iter()
        if etree.QName(node).localname not in {"CreDtTm", "Dt"}
    ]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"1234.56", b"1234.57", "body_amount_differs"),
        (b"1234.56", b"123456.00", "body_amount_differs"),
        (b"Blumen Becker GmbH", b"Blumen Backer GmbH", "body_creditor_differs"),
        (b"DE89370400440532013000", b"NL20INGB0001234567", "body_creditor_differs"),
        (b"Universal Pay B.V.", b"Universal Pay", "body_debtor_differs"),
        (b"NL91ABNA0417164300", b"NL20INGB0001234567", "body_debtor_differs"),
        (b"PAY-5A5A5A5A", b"PAY-5A5A5A5B", "body_reference_differs"),
        (b"Settlement week 47", b"Settlement week 48", "body_reference_differs"),
        (b'Ccy="EUR"', b'Ccy="USD"', "body_unreadable"),
        (b"SLEV", b"DEBT", "body_unreadable"),
        (b"1234.56", b"01234.56", "body_unreadable"),
        (b"<CdtTrfTxInf>", b"<CdtTrfTxInf><!-- -->", "body_unreadable"),
        (
            b"<Cdtr>",
            b"<CdtrAgt><FinInstnId><BICFI>INGBNL2A</BICFI></FinInstnId></CdtrAgt><Cdtr>",
            "body_unreadable",
        ),
        (b"</CdtTrfTxInf>", b"</CdtTrfTxInf><CdtTrfTxInf></CdtTrfTxInf>", "body_unreadable"),
        (b"Blumen Becker", b"Blumen&#32;Becker", "body_unreadable"),
        (b"UTF-8", b"UTF-7", "body_unreadable"),
        (b"</Document>\n", b"</Document>", "body_unreadable"),
        (b"</Document>\n", b"</Document>\n\n", "body_unreadable"),
        (b".09", b".03", "body_unreadable"),
    ],
)
def test_file_that_says_something_else_is_refused(old: bytes, new: bytes, code: str) -> None:
    assert old in TRUE
    assert judge(ask(TRUE.replace(old, new)), record()) == code


@pytest.mark.parametrize("element", [b"NbOfTxs", b"CtrlSum", b"MsgId", b"PmtInfId", b"InstrId", b"UETR"])
def test_what_stands_twice_is_the_same_twice(element: bytes) -> None:
    start = TRUE.rindex(b"<%s>" % element) + len(element) + 2
    other = b"7" if TRUE[start : start + 1] != b"7" else b"8"

    assert judge(ask(TRUE[:start] + other + TRUE[start + 1 :]), record()) == "body_unreadable"


def test_another_payouts_file_is_refused_though_all_else_is_the_same() -> None:
    assert judge(ask(file(payout_id="pay_" + "6b" * 16)), record()) == "body_reference_differs"


@pytest.mark.parametrize("days", [-1, 2, 400])
def test_day_of_execution_is_the_one_that_it_was_ordered_for(days: int) -> None:
    today, other = NOW.date(), NOW.date() + timedelta(days=days)

    body = TRUE.replace(b"<Dt>%s<" % str(today).encode(), b"<Dt>%s<" % str(other).encode())

    assert judge(ask(body), record()) == "body_unreadable"


def test_second_file_of_one_payout_is_refused_though_it_differs_in_its_time_only() -> None:
    later = TRUE.replace(b"09:30:00.000Z", b"09:30:01.000Z")

    assert judge(ask(later), record()) is None
    assert judge(ask(later), record(), signed=TRUE) == "signed_other_body"


@pytest.mark.parametrize("profile", ["clearbank.sct", "iso20022.sct"])
def test_file_is_no_request_and_a_request_no_file(profile: BankProfile) -> None:
    body = TRUE if profile == "clearbank.sct" else b'{"endToEndId":"PAY-5A5A5A5A"}'

    assert judge(ask(body, profile=profile), record()) == "body_unreadable"


def test_file_goes_to_no_target() -> None:
    target = Target(method="PUT", authority="bank.example", path_with_query=f"/{'5a' * 16}.xml")

    assert judge(ask(TRUE, scheme="http_message", target=target), record()) == "target_refused"
    assert judge(ask(TRUE, scheme="http_message"), record()) == "target_refused"


def test_what_is_no_ascii_is_no_file() -> None:
    with pytest.raises(BodyUnreadable, match="ASCII"):
        read_payment("iso20022.sct", TRUE.replace(b"Becker", "Bäcker".encode()))
