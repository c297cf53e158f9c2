"""What a bank's files mean: status reports, notifications, statements, and whether they are the bank's."""

import base64
from datetime import UTC, date, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from partners.contract import (
    BadSignature,
    Informational,
    MoneyArrived,
    NoticeMeaning,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
    RequestAdvanced,
    StatementArrived,
    Unreadable,
)
from partners.iso20022.adapter import Iso20022
from partners.messages.details import Account, Party
from partners.messages.entries import EntryStatus
from partners.messages.wire_values import Amount
from tests.partners.iso20022.bank_files import (
    OURS,
    RETURNED,
    THEIRS,
    WINDOW,
    detail,
    entry,
    notification,
    row,
    statement,
    statements,
    status_report,
)

BANK = Iso20022()
DIGITS = "0193a5f2c1d47a8e9b0c1d2e3f405162"
PAYOUT = f"pay_{DIGITS}"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def meanings(body: bytes) -> tuple[NoticeMeaning, ...]:
    return BANK.parse_notice(body).meanings


# --- status reports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(
            (code, PaymentState.PENDING)
            for code in ("RCVD", "PDNG", "ACTC", "PATC", "ACCP", "ACWC", "ACSP", "ACWP")
        ),
        *((code, PaymentState.SETTLED) for code in ("ACSC", "ACCC")),
    ],
)
def test_status_of_a_payment_moves_it_on(status: str, state: PaymentState) -> None:
    assert meanings(status_report(DIGITS, rows=row(status))) == (
        PayoutAdvanced("TS-1", "I-1", state, None, None),
    )


@pytest.mark.parametrize("status", ["RJCT", "CANC"])
def test_rejected_payment_fails_for_its_reason(status: str) -> None:
    (told,) = meanings(status_report(DIGITS, rows=row(status, reason="AC04")))

    assert isinstance(told, PayoutAdvanced)
    assert told.reason is not None
    assert (told.state, told.reason.code, told.reason.fault) == (PaymentState.FAILED, "AC04", "payee")


def test_rejected_file_fails_the_payout_that_it_ordered() -> None:
    (told,) = meanings(status_report(DIGITS, group="RJCT"))

    assert isinstance(told, RequestAdvanced)
    assert (told.request_id, told.state) == (PAYOUT, PaymentState.FAILED)


def test_rejected_block_fails_the_payout_that_it_ordered() -> None:
    (told,) = meanings(status_report(DIGITS, part="RJCT"))

    assert isinstance(told, RequestAdvanced)
    assert (told.request_id, told.state) == (PAYOUT, PaymentState.FAILED)


def test_reason_of_the_payment_comes_before_that_of_its_file() -> None:
    told = meanings(status_report(DIGITS, group="RJCT", part="RJCT", rows=row("RJCT", reason="AM04")))

    assert [type(meaning) for meaning in told] == [PayoutAdvanced, RequestAdvanced, RequestAdvanced]


def test_payment_without_our_end_to_end_id_is_known_by_its_instruction() -> None:
    told = meanings(status_report(DIGITS, rows=row("ACSC", "NOTPROVIDED", instruction_id=DIGITS)))

    assert told == (RequestAdvanced(PAYOUT, PaymentState.SETTLED, None),)


@pytest.mark.parametrize(
    "body",
    [
        status_report("M-1", group="RJCT"),
        status_report("M-1", part="ACSC"),
        status_report("M-1", rows=row("ACSC", "NOTPROVIDED")),
    ],
)
def test_foreign_files_move_nothing(body: bytes) -> None:
    assert [type(meaning) for meaning in meanings(body)] == [Informational]


def test_status_that_cannot_be_read_keeps_no_other_back() -> None:
    told = meanings(status_report(DIGITS, rows=row("WHAT", "TS-9") + row("ACSC")))

    assert isinstance(told[0], Informational)
    assert "TS-9" not in told[0].about
    assert told[1] == PayoutAdvanced("TS-1", "I-1", PaymentState.SETTLED, None, None)


# --- notifications ------------------------------------------------------------------------------------------


def test_credit_is_money_that_arrived() -> None:
    assert meanings(notification(entry(10_00, detail()))) == (
        MoneyArrived("B-1", "TS-1", 10_00, "EUR", OURS, "Anna Bakker", THEIRS, "Invoice 17", OURS),
    )


def test_debit_is_a_payout_that_settled() -> None:
    assert meanings(notification(entry(-10_00, detail()))) == (
        PayoutAdvanced("TS-1", "TS-1", PaymentState.SETTLED, "B-1", None),
    )


def test_credit_with_a_return_reason_is_a_payout_that_came_back_as_far_as_it_says() -> None:
    (told,) = meanings(notification(entry(4_00, detail(returned=RETURNED))))

    assert isinstance(told, PayoutReturned)
    assert (told.end_to_end_id, told.transaction_id, told.amount_minor) == ("TS-1", "B-1", 4_00)
    assert told.reason.code == "AC04"


@pytest.mark.parametrize("changes", [{"reversal": True}, {"bank_code": "PMNT/ICDT/RRTN"}])
def test_reversed_debit_is_a_payout_that_came_back(changes: dict[str, object]) -> None:
    (told,) = meanings(notification(entry(4_00, detail(), **changes)))

    assert isinstance(told, PayoutReturned)


def test_return_of_a_payment_that_nobody_can_name_is_money_on_our_own_account() -> None:
    payee = Party("Payee", Account(THEIRS))

    (told,) = meanings(notification(entry(4_00, detail(None, returned=RETURNED, creditor=payee))))

    assert isinstance(told, MoneyArrived)
    assert told.creditor_iban == OURS


@pytest.mark.parametrize(
    "kept",
    [
        entry(10_00, detail(), status=EntryStatus.PENDING),
        entry(-10_00, detail(), reversal=True),
        entry(-10_00, detail(returned=RETURNED)),
        entry(-1_50, detail(None)),
        entry(-1_50),
        entry(10_00, detail(), bank_reference=None),
    ],
)
def test_entry_that_cannot_be_acted_on_is_information(kept: object) -> None:
    assert [type(meaning) for meaning in meanings(notification(kept))] == [Informational]  # type: ignore[arg-type]


def test_batch_is_its_payments() -> None:
    batch = entry(
        -30_00, detail("TS-1", amount=Amount(-10_00, "EUR")), detail("TS-2", amount=Amount(-20_00, "EUR"))
    )

    assert meanings(notification(batch)) == (
        PayoutAdvanced("TS-1", "TS-1", PaymentState.SETTLED, "B-1/1", None),
        PayoutAdvanced("TS-2", "TS-2", PaymentState.SETTLED, "B-1/2", None),
    )


def test_batch_that_does_not_add_up_is_one_movement() -> None:
    batch = entry(
        30_00, detail("TS-1", amount=Amount(10_00, "EUR")), detail("TS-2", amount=Amount(10_00, "EUR"))
    )

    (told,) = meanings(notification(batch))

    assert isinstance(told, MoneyArrived)
    assert (told.amount_minor, told.transaction_id, told.debtor_name) == (30_00, "B-1", "")


def test_entry_that_cannot_be_read_keeps_no_other_back() -> None:
    good, bad = entry(10_00, detail()), entry(77_77, detail(), bank_reference="B-2")
    body = notification(bad, good).replace(b"77.77", b"77.777")

    told = meanings(body)

    assert [type(meaning) for meaning in told] == [Informational, MoneyArrived]
    assert isinstance(told[0], Informational)
    assert "77.777" not in told[0].about


# --- statements ---------------------------------------------------------------------------------------------


def test_statement_arrives_whole_with_a_line_for_each_payment() -> None:
    batch = entry(
        -30_00, detail("TS-1", amount=Amount(-10_00, "EUR")), detail("TS-2", amount=Amount(-20_00, "EUR"))
    )
    fee = entry(-1_00, bank_reference=None, bank_code="")

    (told,) = meanings(statements(statement([batch, fee])))

    assert isinstance(told, StatementArrived)
    (read,) = told.statements
    assert (read.iban, read.opening_minor, read.closing_minor) == (OURS, 100_00, 69_00)
    assert [(line.transaction_id, line.end_to_end_id, line.amount_minor) for line in read.lines] == [
        ("B-1/1", "TS-1", -10_00), ("B-1/2", "TS-2", -20_00), ("entry 2.1", None, -1_00),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "printed",
    [
        None,
        WINDOW,
        (WINDOW[0], datetime(2026, 11, 23, 22, 59, 59, tzinfo=UTC)),
        (datetime(2026, 11, 23), datetime(2026, 11, 23, 23, 59, 59)),  # noqa: DTZ001 - as banks print them
    ],
)
def test_window_is_the_day_however_it_is_printed(printed: tuple[datetime, datetime] | None) -> None:
    (read,) = BANK.parse_statement(statements(statement([entry()], window=printed)))

    assert (read.starts_at, read.ends_at) == WINDOW


def test_day_on_which_clocks_change_has_its_own_length() -> None:
    sunday = date(2026, 10, 25)

    (read,) = BANK.parse_statement(statements(statement([], days=(sunday, sunday))))

    assert (read.ends_at - read.starts_at).total_seconds() == 25 * 3600


def test_statement_that_does_not_add_up_is_refused_and_the_next_one_taken() -> None:
    told = meanings(statements(statement([entry()], closing=0), statement([entry()], iban=THEIRS)))

    assert isinstance(told[0], StatementArrived)
    assert [item.iban for item in told[0].statements] == [THEIRS]
    assert isinstance(told[1], Informational)
    assert "statement 1" in told[1].about


def test_statement_of_a_window_that_was_had_in_the_same_file_is_refused() -> None:
    told = meanings(statements(statement([entry()]), statement([entry(5_00)])))

    assert [type(meaning) for meaning in told] == [StatementArrived, Informational]


def test_statement_given_by_hand_is_whole_or_unreadable() -> None:
    with pytest.raises(Unreadable, match="statement 1"):
        BANK.parse_statement(statements(statement([entry()], closing=0)))


def test_statement_with_an_entry_that_cannot_be_read_is_refused_whole() -> None:
    body = statements(statement([entry(), entry(77_77)])).replace(b"77.77", b"77.777")

    assert [type(meaning) for meaning in meanings(body)] == [Informational]


def test_pending_entries_are_no_lines() -> None:
    (read,) = BANK.parse_statement(statements(statement([entry(status=EntryStatus.PENDING)])))

    assert read.lines == ()


# --- files --------------------------------------------------------------------------------------------------


def test_same_bytes_are_the_same_notice() -> None:
    first, again = BANK.parse_notice(notification(entry())), BANK.parse_notice(notification(entry()))

    assert first == again
    assert first.type == "camt.054.001.08"
    assert first.key != BANK.parse_notice(notification(entry(10_01))).key


def test_interim_report_is_information() -> None:
    body = notification(entry()).replace(b"camt.054", b"camt.052").replace(b"DbtCdtNtfctn", b"AcctRpt")

    assert meanings(body.replace(b"Ntfctn>", b"Rpt>")) == (Informational("an interim report"),)


@pytest.mark.parametrize(
    "body", [b"", b"<a/>", b"x", notification(entry())[:-20], b'<!DOCTYPE d [<!ENTITY a "b">]><d/>']
)
def test_file_that_is_no_whole_message_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        BANK.parse_notice(body)


def test_only_messages_are_notices() -> None:
    assert [BANK.is_notice(name) for name in ("a.xml", "B.XML", "a.pdf", "a.xml.sig", "a")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def signed(body: bytes) -> str:
    return base64.b64encode(KEY.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def test_signature_of_exactly_this_file_is_believed() -> None:
    BANK.verify_notice(headers=[("Signature", signed(b"file"))], body=b"file", public_key_pem=PEM)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], PEM),
        ([("signature", signed(b"file"))], b""),
        ([("signature", signed(b"another"))], PEM),
        ([("signature", signed(b"file"))] * 2, PEM),
        ([("signature", "é")], PEM),
        ([("digitalsignature", signed(b"file"))], PEM),
    ],
)
def test_anything_else_is_not(headers: list[tuple[str, str]], key: bytes) -> None:
    with pytest.raises(BadSignature):
        BANK.verify_notice(headers=headers, body=b"file", public_key_pem=key)


@pytest.mark.parametrize(("code", "fault"), [("AC04", "payee"), ("AM04", "payer"), ("XX99", "unknown")])
def test_codes_have_words_and_a_fault(code: str, fault: str) -> None:
    reason = BANK.explain(code)

    assert (reason.code, reason.fault) == (code, fault)
    assert reason.text
