"""Orders as files: valid, the same every time, and leading back to their payout."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.contract import Accepted, Answer, Instruction, Rail, Signing, Unknown
from partners.host.adapters import faults_of, load_adapter
from partners.iso20022.adapter import Iso20022
from partners.iso20022.orders import request_id_of
from partners.sepa_text import is_sepa_text
from tests.partners.messages.judge import judged

BANK = Iso20022()
DIGITS = "0193a5f2c1d47a8e9b0c1d2e3f405162"
ORDER = Instruction(
    payout_id=f"pay_{DIGITS}",
    rail=Rail.SCT,
    amount_minor=123_45,
    currency="EUR",
    creditor_name="Bakery De Gouden Korst",
    creditor_iban="DE89370400440532013000",
    debtor_name="Pay Europe B.V.",
    debtor_iban="NL91ABNA0417164300",
    end_to_end_id="TS-1",
    remittance="Sales of 15 November",
    ordered_at=datetime(2026, 11, 22, 23, 30, tzinfo=UTC),
)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z '.,+()?:-]{0,60}[A-Za-z]", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9/ ]{0,130}[A-Za-z0-9]", fullmatch=True)
ORDERS = st.builds(
    Instruction,
    payout_id=st.uuids().map(lambda id_: f"pay_{id_.hex}"),
    rail=st.sampled_from(Rail),
    amount_minor=st.integers(1, 999_999_999_99),
    currency=st.just("EUR"),
    creditor_name=NAMES.filter(lambda name: is_sepa_text(name, max_length=70)),
    creditor_iban=st.just("DE89370400440532013000"),
    debtor_name=st.just("Pay Europe B.V."),
    debtor_iban=st.just("NL91ABNA0417164300"),
    end_to_end_id=st.from_regex(r"[A-Z0-9]{1,35}", fullmatch=True),
    remittance=WORDS.filter(lambda words: is_sepa_text(words, max_length=140)),
    ordered_at=st.datetimes(datetime(2025, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


def text(path: str, order: Instruction = ORDER) -> str | None:
    """What one element of the order's file holds."""
    body = BANK.prepare(order).body
    assert body is not None
    found = judged(body, "pain.001.001.09").find(
        path.replace("/", "/x:").replace("./x:/x:", ".//x:"),
        {"x": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"},
    )
    return None if found is None else found.text


def test_adapter_is_found_and_has_no_fault() -> None:
    assert isinstance(load_adapter("iso20022"), Iso20022)
    assert faults_of(BANK, name="iso20022") == ()


def test_order_is_a_file_named_by_its_payout() -> None:
    request = BANK.prepare(ORDER)

    assert (request.method, request.path, request.media_type) == ("PUT", f"/{DIGITS}.xml", "application/xml")
    assert (request.signing, request.profile) == (Signing.PAYOUT, "iso20022.sct")
    assert BANK.prepare(replace(ORDER, rail=Rail.SCT_INST)).profile == "iso20022.sct_inst"


@given(ORDERS)
def test_every_order_is_valid_and_always_the_same(order: Instruction) -> None:
    body = BANK.prepare(order).body

    assert body is not None
    judged(body, "pain.001.001.09")
    assert BANK.prepare(replace(order)).body == body


@pytest.mark.parametrize("path", [".//MsgId", ".//PmtInfId", ".//InstrId"])
def test_every_id_that_a_bank_may_name_leads_back_to_the_payout(path: str) -> None:
    assert request_id_of(text(path) or "") == ORDER.payout_id


def test_uetr_is_made_of_the_payouts_id() -> None:
    uetr = UUID(text(".//UETR") or "")

    assert (uetr.version, uetr.hex[:12], uetr.hex[20:]) == (4, DIGITS[:12], DIGITS[20:])


def test_file_is_made_when_the_payout_was_ordered_for_and_executed_on_that_day_in_frankfurt() -> None:
    assert text(".//CreDtTm") == "2026-11-22T23:30:00.000Z"
    assert text(".//ReqdExctnDt/Dt") == "2026-11-23"
    assert (
        text(".//ReqdExctnDt/Dt", replace(ORDER, ordered_at=ORDER.ordered_at - timedelta(hours=1)))
        == "2026-11-22"
    )


def test_only_instant_payments_say_so() -> None:
    assert text(".//LclInstrm/Cd") is None
    assert text(".//LclInstrm/Cd", replace(ORDER, rail=Rail.SCT_INST)) == "INST"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"payout_id": "pay_1"}, "payout_id"),
        ({"currency": "USD"}, "groups[0].payments[0].currency"),
        ({"amount_minor": 0}, "groups[0].payments[0].amount_minor"),
        ({"creditor_name": "Łódź"}, "groups[0].payments[0].creditor.name"),
        ({"creditor_iban": "DE00370400440532013000"}, "groups[0].payments[0].creditor.iban"),
        ({"remittance": "<Amt>"}, "groups[0].payments[0].remittance"),
        ({"end_to_end_id": "/x"}, "groups[0].payments[0].end_to_end_id"),
        ({"ordered_at": datetime(2026, 11, 23)}, "ordered_at"),  # noqa: DTZ001 - that is the fault
    ],
)
def test_order_that_cannot_be_said_is_refused_by_its_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        BANK.prepare(replace(ORDER, **changes))  # type: ignore[arg-type]  # a test names what it changes

    assert refused.value.field == field


def test_stored_file_is_accepted_under_its_name() -> None:
    assert BANK.interpret(ORDER, Answer(201, (), b"")) == Accepted((("file", f"{DIGITS}.xml"),))


@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 500])
def test_anything_else_settles_nothing(status: int) -> None:
    assert isinstance(BANK.interpret(ORDER, Answer(status, (), b"")), Unknown)


def test_foreign_message_id_leads_to_no_payout() -> None:
    assert [request_id_of(text) for text in ("", "M-1", DIGITS.upper(), f"{DIGITS}0")] == [None] * 4
