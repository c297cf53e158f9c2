"""Every reason for which a signature is refused, at its very edge, and that nothing slips between them."""

import hashlib
import json
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from enclave import policy
from enclave.facts import PayoutRecord
from enclave.notes import Checkpoint
from enclave.policy import (
    PAYMENT_LIMIT_MINOR_MAX,
    Before,
    Conditions,
    Limits,
    refuse_access_token,
    refuse_bank_message,
    refuse_bank_query,
    refuse_checkpoint,
    refuse_export,
    refuse_payout,
)
from enclave.protocol import (
    AccessTokenRequest,
    BankMessageRequest,
    BankQueryRequest,
    BankScheme,
    CheckpointRequest,
    Claims,
    ExportRequest,
    PayoutRequest,
    Target,
)
from enclave.refusals import Refusal, RefusalCode, refusal
from enclave.tree import Tree
from tests.enclave.logs import ORIGIN, leaves_of, root_of
from tests.enclave.payouts import (
    AMOUNT_MINOR,
    CREDIT_TRANSFER,
    INSTANT,
    NOW,
    ROSTER,
    STRICT,
    body_of,
    fit,
    good_record,
    order_text,
    record_of,
    request_of,
)

NOW_S = int(NOW.timestamp())
LIMITS = Limits()
UNCONDITIONAL = Conditions()
GOOD = request_of(body_of(CREDIT_TRANSFER))


def code_of(answer: Refusal | None) -> str | None:
    return None if answer is None else str(answer.code)


def judge(
    request: PayoutRequest = GOOD,
    record: PayoutRecord | None = None,
    *,
    signed_digest: str | None = None,
    signed_scheme: str | None = None,
    signed_target: str | None = None,
    last_hour_minor: int = 0,
    last_day_minor: int = 0,
    limits: Limits = LIMITS,
    conditions: Conditions = UNCONDITIONAL,
) -> str | None:
    return code_of(
        refuse_payout(
            request,
            good_record() if record is None else record,
            before=Before(
                digest=signed_digest,
                scheme=signed_scheme,
                target=signed_target,
                last_hour_minor=last_hour_minor,
                last_day_minor=last_day_minor,
            ),
            limits=limits,
            conditions=conditions,
            approvers=ROSTER,
            now=NOW,
        )
    )


def judge_body(body: bytes) -> str | None:
    return judge(request_of(body))


def test_a_payout_that_agrees_with_its_record_may_be_signed() -> None:
    assert judge() is None


def test_an_instant_payout_that_agrees_with_its_record_may_be_signed() -> None:
    request = request_of(body_of(INSTANT), profile="clearbank.sct_inst")

    assert judge(request, record_of(order_text(rail="SCT_INST"), rail="SCT_INST")) is None


@pytest.mark.parametrize("reference", [{}, {"reference": None}])
def test_an_instant_payout_without_remittance_may_leave_the_reference_out(reference: dict[str, None]) -> None:
    members = {name: value for name, value in INSTANT.items() if name != "reference"} | reference
    record = record_of(order_text(rail="SCT_INST", remittance=None), rail="SCT_INST", remittance=None)

    assert judge(request_of(body_of(members), profile="clearbank.sct_inst"), record) is None


@pytest.mark.parametrize("amount", ["1234.56", "1234.560", "123456e-2", "1.23456E+3"])
def test_the_same_amount_spelt_otherwise_is_the_same_amount(amount: str) -> None:
    assert judge_body(body_of(CREDIT_TRANSFER, amount=amount)) is None


def test_a_payout_that_the_database_does_not_hold_is_refused() -> None:
    answer = refuse_payout(
        GOOD, None, before=Before(), limits=LIMITS, conditions=UNCONDITIONAL, approvers=ROSTER, now=NOW
    )

    assert code_of(answer) == "payout_unknown"


def test_a_record_of_another_payout_counts_as_none() -> None:
    assert judge(record=good_record(payout_id="pay_" + "00" * 16)) == "payout_unknown"


def other_digest() -> bytes:
    return hashlib.sha256(b"another order").digest()


def ordered_and_stored(**change: str) -> PayoutRecord:
    """A payout whose order and row say the same, and something else than the body."""
    return record_of(order_text(**change), **change)


RECORD_REFUSALS = [
    (good_record(state="approved"), "state_not_submitted"),
    (good_record(state="Submitted"), "state_not_submitted"),
    (good_record(open_attempt_id=None), "attempt_not_open"),
    (good_record(open_attempt_id="att_" + "c4" * 16), "attempt_not_open"),
    (good_record(attempts_possibly_sent=1), "already_sent"),
    (good_record(order_digest=other_digest()), "order_digest_mismatch"),
    (good_record(order_canonical=order_text() + " "), "order_digest_mismatch"),
    (good_record(cleared_digest=None), "not_cleared"),
    (good_record(cleared_digest=None, order_canonical=None), "not_cleared"),
    (good_record(order_canonical=None), "order_digest_mismatch"),
    (good_record(cleared_digest=other_digest()), "clearance_for_other_order"),
    (good_record(cleared_digest=b""), "clearance_for_other_order"),
    (record_of(order_text(rail="SCT_INST"), rail="SCT_INST"), "rail_mismatch"),
    (good_record(debtor_iban="NL91CLRB0417164301"), "order_fields_differ"),
    (good_record(debtor_name="Universal Pay BV"), "order_fields_differ"),
    (good_record(end_to_end_id="PAY-5A5A5A5B"), "order_fields_differ"),
    (good_record(remittance="Settlement week 48"), "order_fields_differ"),
    (good_record(remittance=None), "order_fields_differ"),
    (ordered_and_stored(debtor_iban="NL91CLRB0417164301"), "body_debtor_differs"),
    (ordered_and_stored(debtor_name="Universal Pay BV"), "body_debtor_differs"),
    (ordered_and_stored(end_to_end_id="PAY-5A5A5A5B"), "body_reference_differs"),
    (ordered_and_stored(remittance="Settlement week 48"), "body_reference_differs"),
]


@pytest.mark.parametrize(("record", "code"), RECORD_REFUSALS)
def test_a_record_that_does_not_bear_the_payout_out_is_refused(record: PayoutRecord, code: str) -> None:
    assert judge(record=record) == code


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": AMOUNT_MINOR + 1},
        {"currency": "USD"},
        {"creditor_iban": "DE89370400440532013001"},
        {"creditor_name": "Blumen Becker"},
        {"rail": "SCT_INST"},
        {"payout_id": "pay_" + "00" * 16},
        {"programme_id": "prg_other"},
        {"amount_minor": str(AMOUNT_MINOR)},
        {"end_to_end_id": "PAY-OTHER"},
        {"debtor_iban": "NL91CLRB0417164301"},
    ],
)
def test_an_order_that_says_something_else_than_the_payout_is_refused(change: dict[str, str | int]) -> None:
    assert judge(record=record_of(order_text(**change))) == "order_fields_differ"


@pytest.mark.parametrize("order", ["", "[]", "null", '{"amount_minor":123456}', "{", '{"a":1,"a":1}'])
def test_an_order_that_cannot_be_read_is_refused(order: str) -> None:
    assert judge(record=record_of(order)) == "order_fields_differ"


def test_true_is_not_the_amount_one() -> None:
    record = record_of(order_text(amount_minor=True), amount_minor=1)

    assert judge(request_of(body_of(CREDIT_TRANSFER, amount="0.01")), record) == "order_fields_differ"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf" + body_of(CREDIT_TRANSFER),
        body_of(CREDIT_TRANSFER, amount=None),
        body_of(CREDIT_TRANSFER, amount='"1234.56"'),
        body_of(CREDIT_TRANSFER, amount="true"),
        body_of(CREDIT_TRANSFER, amount="NaN"),
        body_of(CREDIT_TRANSFER, amount="Infinity"),
        body_of(CREDIT_TRANSFER, amount="1e99999999999999999999999"),
        body_of(CREDIT_TRANSFER, amount="1234.56, " + '"amount": 1234.56'),
        body_of({**CREDIT_TRANSFER, "creditor": "DE89370400440532013000"}),
        body_of({**CREDIT_TRANSFER, "debtor": None}),
        body_of({**CREDIT_TRANSFER, "endToEndId": 7}),
        b"[" * 16_000,
    ],
)
def test_a_body_that_is_no_payment_is_refused(body: bytes) -> None:
    assert judge_body(body) == "body_unreadable"


@pytest.mark.parametrize(
    "amount",
    [
        "1234.57",
        "1234.55",
        "1234.5600000000000000000000000000001",
        "123456",
        "12.3456",
        "-1234.56",
        "0",
        "1e400",
    ],
)
def test_another_amount_in_the_body_is_refused(amount: str) -> None:
    assert judge_body(body_of(CREDIT_TRANSFER, amount=amount)) == "body_amount_differs"


def test_another_currency_in_the_body_is_refused() -> None:
    assert judge_body(body_of({**CREDIT_TRANSFER, "currency": "USD"})) == "body_currency_differs"


def test_a_payout_in_another_currency_than_the_rails_is_refused() -> None:
    record = record_of(order_text(currency="USD"), currency="USD")

    assert (
        judge(request_of(body_of({**CREDIT_TRANSFER, "currency": "USD"})), record) == "body_currency_differs"
    )


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (
            {"creditor": {"name": "Blumen Becker", "accountIban": "DE89370400440532013000"}},
            "body_creditor_differs",
        ),
        ({"creditor": {"name": "Blumen Becker GmbH", "accountIban": "DE02"}}, "body_creditor_differs"),
        ({"debtor": {"name": "Universal Pay", "accountIban": "NL91CLRB0417164300"}}, "body_debtor_differs"),
        ({"debtor": {"name": "Universal Pay B.V.", "accountIban": "NL00"}}, "body_debtor_differs"),
        ({"endToEndId": "PAY-5A5A5A5"}, "body_reference_differs"),
        ({"remittanceInformationUnstructured": "Other words"}, "body_reference_differs"),
        ({"creditorAgent": {"bic": "DEUTDEFF"}}, "body_unknown_field"),
        ({"Amount": 1}, "body_unknown_field"),
        (
            {
                "creditor": {
                    "name": "Blumen Becker GmbH",
                    "accountIban": "DE89370400440532013000",
                    "postalAddress": {"townName": "Bonn", "country": "DE"},
                }
            },
            "body_unknown_field",
        ),
    ],
)
def test_a_body_that_says_something_else_is_refused(members: dict[str, object], code: str) -> None:
    body = json.dumps({**CREDIT_TRANSFER, **members, "amount": "@"}).replace('"@"', "1234.56").encode()

    assert judge_body(body) == code


@pytest.mark.parametrize("minor", [0, -1])
def test_an_amount_that_is_not_positive_is_refused(minor: int) -> None:
    body = body_of(CREDIT_TRANSFER, amount=str(Decimal(minor).scaleb(-2)))
    record = record_of(order_text(amount_minor=minor), amount_minor=minor)

    assert judge(request_of(body), record) == "amount_not_positive"


def test_the_limit_itself_may_be_paid_and_a_cent_more_may_not() -> None:
    assert judge(limits=Limits(per_payment_minor=AMOUNT_MINOR)) is None
    assert judge(limits=Limits(per_payment_minor=AMOUNT_MINOR - 1)) == "over_payment_limit"


def test_the_sum_of_an_hour_may_reach_its_limit_and_not_pass_it() -> None:
    limits = Limits(per_hour_minor=AMOUNT_MINOR + 500)

    assert judge(limits=limits, last_hour_minor=500) is None
    assert judge(limits=limits, last_hour_minor=501) == "over_hour_limit"


def test_the_sum_of_a_day_may_reach_its_limit_and_not_pass_it() -> None:
    limits = Limits(per_day_minor=AMOUNT_MINOR + 500)

    assert judge(limits=limits, last_hour_minor=501, last_day_minor=500) is None
    assert judge(limits=limits, last_day_minor=501) == "over_day_limit"


def test_signing_the_same_body_again_counts_against_no_limit_a_second_time() -> None:
    limits = Limits(per_hour_minor=AMOUNT_MINOR, per_day_minor=AMOUNT_MINOR)
    signed = hashlib.sha256(GOOD.body).hexdigest()

    assert judge(limits=limits, signed_digest=signed, last_hour_minor=AMOUNT_MINOR) is None
    assert judge(limits=limits, last_hour_minor=AMOUNT_MINOR) == "over_hour_limit"


def test_nothing_over_the_schemes_own_maximum_is_signed_by_default() -> None:
    minor = PAYMENT_LIMIT_MINOR_MAX + 1
    record = record_of(order_text(amount_minor=minor), amount_minor=minor)

    assert judge(request_of(body_of(CREDIT_TRANSFER, amount="1000000000.00")), record) == "over_payment_limit"


def test_the_same_body_may_be_signed_again_and_another_may_not() -> None:
    same = hashlib.sha256(GOOD.body).hexdigest()
    other = hashlib.sha256(GOOD.body + b" ").hexdigest()

    assert judge(signed_digest=same) is None
    assert judge(signed_digest=other) == "signed_other_body"


PATHS: dict[str, str] = {
    "clearbank.sct": "/payments/sepa-ct/v1/customer-payments",
    "clearbank.statement_request": "/v1/statementrequests",
    "clearbank.virtual_account": "/mccy/v1/VirtualAccounts",
    "clearbank.account": "/mccy/v2/Accounts",
    "clearbank.payee": "/open-banking/vop/v1/payees/single",
}


def target_of(path: str = PATHS["clearbank.sct"], **changes: str) -> Target:
    said = {"method": "POST", "authority": "bank.example", "path_with_query": path}
    return Target.model_validate(said | changes)


BY_HEADERS = request_of(GOOD.body, scheme="http_message", target=target_of())
OTHER_TARGETS = (
    *[target_of(path) for path in PATHS.values() if path != PATHS["clearbank.sct"]],
    *[target_of(f"{PATHS['clearbank.sct']}{tail}") for tail in ("/", "?", "?a=1", "#a", "%20")],
    *[target_of("/v1/payments/sepa-instant"), target_of("/"), target_of("x")],
    *[target_of(method=method) for method in ("PUT", "GET", "DELETE")],
)


def test_a_payout_goes_where_its_profile_goes_and_nowhere_else() -> None:
    assert judge(BY_HEADERS) is None
    for target in (*OTHER_TARGETS, None):
        request = request_of(GOOD.body, scheme="http_message", target=target)
        assert judge(request) == "target_refused", target


@pytest.mark.parametrize("scheme", ["body_rsa_sha256", "detached_jws"])
def test_a_target_that_nobody_signs_is_not_named(scheme: BankScheme) -> None:
    assert judge(request_of(GOOD.body, scheme=scheme)) is None
    with pytest.raises(ValidationError):
        request_of(GOOD.body, scheme=scheme, target=target_of())


def test_a_payout_is_signed_again_by_its_own_scheme_and_by_no_other() -> None:
    digest, target = hashlib.sha256(GOOD.body).hexdigest(), target_of().digest()
    jws = request_of(GOOD.body, scheme="detached_jws")

    def again(request: PayoutRequest, scheme: str, signed_target: str | None) -> str | None:
        return judge(request, signed_digest=digest, signed_scheme=scheme, signed_target=signed_target)

    assert again(BY_HEADERS, "http_message", target) is None
    assert again(GOOD, "body_rsa_sha256", None) is None
    assert again(jws, "detached_jws", None) is None
    assert again(GOOD, "http_message", target) == "signed_other_scheme"
    assert again(BY_HEADERS, "body_rsa_sha256", None) == "signed_other_scheme"
    assert again(jws, "body_rsa_sha256", None) == "signed_other_scheme"


def test_a_payout_is_signed_again_for_its_own_host_and_for_no_other() -> None:
    digest, other = hashlib.sha256(GOOD.body).hexdigest(), target_of(authority="other.example").digest()

    told = judge(BY_HEADERS, signed_digest=digest, signed_scheme="http_message", signed_target=other)

    assert told == "signed_other_target"


@pytest.mark.parametrize(
    "authority", ["", "Bank.example", "me@bank.example", "bank.example/", "bank.example:", "b\n", "-", "b:0"]
)
def test_an_authority_has_one_spelling(authority: str) -> None:
    with pytest.raises(ValidationError):
        target_of(authority=authority)


def test_refusals_are_looked_for_in_the_order_of_their_codes() -> None:
    looked_for = [code for code, _ in policy._PAYOUT_RULES]

    assert looked_for == [code for code in RefusalCode if code in looked_for]


def test_every_refusal_has_its_own_sentence() -> None:
    details = [refusal(code).detail for code in RefusalCode]

    assert all(details)
    assert len(set(details)) == len(details)


# One record column spoilt: every column counts.
SPOILT_COLUMNS = st.sampled_from([field.name for field in fields(PayoutRecord)])
SPOILT_VALUES = st.one_of(
    st.none(), st.text(max_size=40), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40)
)


@given(name=SPOILT_COLUMNS, value=SPOILT_VALUES)
def test_no_column_can_change_unnoticed(name: str, value: object) -> None:
    record = fit(good_record())
    kind = type(getattr(record, name))
    spoilt = replace(record, **{name: value}) if isinstance(value, kind) else record

    assert (judge(record=spoilt, conditions=STRICT) is None) == (spoilt == record)


def meaning_of(body: bytes) -> object:
    """What any reader would take the body to say, or None; shares no code with the enclave."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    try:
        return json.loads(body.decode(), object_pairs_hook=once, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, ArithmeticError):
        return None


BYTE_CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=1000)
@given(changes=BYTE_CHANGES)
def test_no_mutated_body_is_signed_unless_it_means_the_same(changes: list[tuple[float, int, int]]) -> None:
    good = body_of(CREDIT_TRANSFER)
    body = bytearray(good)
    for place, kind, value in changes:
        at = int(place * len(body))
        body[at : at + (kind != 1)] = bytes([value]) if kind else b""

    if body and judge_body(bytes(body)) is None:
        assert meaning_of(bytes(body)) == meaning_of(good)


@settings(max_examples=500)
@given(
    name=st.sampled_from([*CREDIT_TRANSFER, "amount", "creditorAgent", "extra"]),
    value=st.recursive(
        st.none() | st.booleans() | st.text(max_size=20) | st.integers() | st.sampled_from([1234.56, 1234.5]),
        lambda inner: st.dictionaries(
            st.sampled_from(["name", "accountIban", "bic", "x"]), inner, max_size=3
        ),
        max_leaves=4,
    ),
)
def test_no_exchanged_field_is_signed_unless_it_means_the_same(name: str, value: object) -> None:
    members = {**json.loads(body_of(CREDIT_TRANSFER)), name: value}
    body = json.dumps(members).encode()

    if judge_body(body) is None:
        assert meaning_of(body) == meaning_of(body_of(CREDIT_TRANSFER))


REQUEST_ID = "req_" + "7e" * 16
TRANSACTIONS = (
    "/mccy/v1/Accounts/1f0c-22/transactions?Currency=EUR&PageNumber=1&PageSize=1000"
    "&StartDateTime=2026-11-21T00:00:00Z&EndDateTime=2026-11-23T00:00:00Z"
)
PAGE = "/v1/statements/CAMT053_20261121_a-1?pageNumber=1"
QUERIES = (("clearbank.transactions", TRANSACTIONS), ("clearbank.statement_page", PAGE))


def query(**changes: str) -> BankQueryRequest:
    return BankQueryRequest.model_validate(
        {
            "purpose": "bank_query",
            "profile": "clearbank.transactions",
            "scheme": "body_rsa_sha256",
            "method": "GET",
            "authority": None,
            "path_with_query": TRANSACTIONS,
            "request_id": REQUEST_ID,
            "request_time": str(NOW_S),
            **changes,
        }
    )


@pytest.mark.parametrize(("profile", "path"), QUERIES)
def test_a_profile_asks_its_own_path_and_no_other(profile: str, path: str) -> None:
    others = [
        *[other for name, other in QUERIES if name != profile],
        *[path + tail for tail in ("0x", "/", "&a=1", "#a", "\n", " ", "%00")],
        *["", "mccy/v1", "/mccy/v1/Accounts", f"//evil.example{path}", path.replace("/v1", "/v2")],
        *[path.replace("=1", value) for value in ("=", "=0", "=-1", "=1.5", "=1;DELETE", "=%31")],
        *[path.replace("/v1", "/../v1"), path.replace("/v1", "/v1/x/.."), path.replace("?", "%3F")],
    ]

    assert refuse_bank_query(query(profile=profile, path_with_query=path), now=NOW) is None
    for other in others:
        request = query(profile=profile).model_copy(update={"path_with_query": other})
        assert code_of(refuse_bank_query(request, now=NOW)) == "query_path_refused", other


@pytest.mark.parametrize(("profile", "path"), QUERIES)
def test_a_query_only_reads(profile: str, path: str) -> None:
    request = query(profile=profile, path_with_query=path, method="DELETE")

    assert code_of(refuse_bank_query(request, now=NOW)) == "query_path_refused"


@given(
    page=st.integers(1, 999_999_999),
    request_id=st.from_regex(r"\Areq_[0-9a-f]{32}\Z"),
    request_time=st.integers(10**9, 10**10 - 1),
)
def test_the_text_of_a_query_comes_apart_in_one_way(page: int, request_id: str, request_time: int) -> None:
    path = PAGE.replace("=1", f"={page}")
    text = (
        query(
            profile="clearbank.statement_page",
            path_with_query=path,
            request_id=request_id,
            request_time=str(request_time),
        )
        .text()
        .decode()
    )

    method, slash, rest = text.partition("/")
    assert (method, slash + rest[:-46], rest[-46:-10], rest[-10:]) == (
        "GET",
        path,
        request_id,
        str(request_time),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "1req_" + "7e" * 16},
        {"request_id": "req_" + "7e" * 15},
        {"request_id": "r-1"},
        {"request_time": "179533980"},
        {"request_time": "17953398000"},
        {"request_id": None},
        {"request_time": None},
        {"authority": "bank.example"},
        {"scheme": "http_message"},
        {"scheme": "detached_jws"},
    ],
)
def test_a_query_has_exactly_what_its_scheme_signs(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        query(**change)


@pytest.mark.parametrize("skew_s", [-120, 0, 120])
def test_a_query_within_two_minutes_of_our_clock_may_be_signed(skew_s: int) -> None:
    assert refuse_bank_query(query(request_time=str(NOW_S + skew_s)), now=NOW) is None


@pytest.mark.parametrize("skew_s", [-121, 121])
def test_a_query_further_from_our_clock_is_refused(skew_s: int) -> None:
    answer = refuse_bank_query(query(request_time=str(NOW_S + skew_s)), now=NOW)

    assert code_of(answer) == "query_time_refused"


def message(
    profile: str, body: bytes, scheme: str = "body_rsa_sha256", target: Target | None = None
) -> BankMessageRequest:
    said = {"purpose": "bank_message", "profile": profile, "scheme": scheme, "target": target, "body": body}
    return BankMessageRequest.model_validate(said)


GOOD_MESSAGES = [
    ("clearbank.webhook_ack", b'{"Nonce":3141592653}'),
    (
        "clearbank.statement_request",
        b'{"startDateTimeUtc":"2026-11-21T00:00:00Z","endDateTimeUtc":"2026-11-22T00:00:00Z"}',
    ),
    ("clearbank.virtual_account", b'{"accountId":"a-1","virtualAccount":{"owner":"Ada Lovelace"}}'),
    (
        "clearbank.virtual_account",
        b'{"accountId":"a-1","virtualAccount":{"owner":"Ada","identifiers":[{"identifier":"NL1","kind":"IBAN"}]}}',
    ),
    (
        "clearbank.account",
        b'{"label":"l","owner":"o","kind":"GeneralSegregated","currencies":["EUR"],"bankIdentifierCode":"CLRBNL2A"}',
    ),
    (
        "clearbank.payee",
        (
            b'{"party":{"name":"Ada"},"partyAccount":{"iban":"NL73ABNA0529451824"},'
            b'"partyAgent":{"financialInstitutionId":{"bicfi":"ABNANL2A"}}}'
        ),
    ),
]


@pytest.mark.parametrize(("profile", "body"), GOOD_MESSAGES)
def test_a_message_of_a_known_shape_may_be_signed(profile: str, body: bytes) -> None:
    request = message(profile, body)

    assert refuse_bank_message(request) is None


@pytest.mark.parametrize(("profile", "body"), GOOD_MESSAGES)
def test_a_message_goes_where_its_profile_goes_and_nowhere_else(profile: str, body: bytes) -> None:
    right = target_of(PATHS[profile]) if profile in PATHS else None
    wrong = [target_of(path) for name, path in PATHS.items() if name != profile]

    assert refuse_bank_message(message(profile, body, "http_message", right)) is None
    for target in (*wrong, None if right else target_of("/")):
        request = message(profile, body, "http_message", target)
        assert code_of(refuse_bank_message(request)) == "target_refused", target


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        *[(profile, body_of(CREDIT_TRANSFER)) for profile, _ in GOOD_MESSAGES],
        *[(profile, body_of(INSTANT)) for profile, _ in GOOD_MESSAGES],
        ("clearbank.webhook_ack", b'{"Nonce":1,"amount":5}'),
        ("clearbank.webhook_ack", b'{"Nonce":1,"Nonce":1}'),
        ("clearbank.webhook_ack", b'{"Nonce":true}'),
        ("clearbank.webhook_ack", b'{"Nonce":{"amount":5}}'),
        ("clearbank.webhook_ack", b'{"nonce":1}'),
        ("clearbank.webhook_ack", b"{}"),
        ("clearbank.webhook_ack", b"1"),
        ("clearbank.statement_request", b'{"startDateTimeUtc":"2026-11-21T00:00:00Z"}'),
        ("clearbank.virtual_account", b'{"accountId":"a-1","virtualAccount":{"owner":"Ada","amount":1}}'),
        ("clearbank.account", GOOD_MESSAGES[2][1]),
        ("clearbank.payee", b'{"party":{"name":"Ada"},"partyAccount":{"iban":"NL73ABNA0529451824"}}'),
        (
            "clearbank.payee",
            (
                b'{"party":{"name":"Ada","amount":1},"partyAccount":{"iban":"NL73ABNA0529451824"},'
                b'"partyAgent":{"financialInstitutionId":{"bicfi":"ABNANL2A"}}}'
            ),
        ),
    ],
)
def test_a_message_of_any_other_shape_is_refused(profile: str, body: bytes) -> None:
    request = message(profile, body)

    assert code_of(refuse_bank_message(request)) == "message_shape_refused"


def token_request(*, issued_at: int, lifetime_s: int) -> AccessTokenRequest:
    claims = Claims(
        client_id="shop",
        programme_id="prg_universal",
        scopes=("checkouts:write",),
        audience="https://api.example",
        issuer="https://api.example",
        issued_at=issued_at,
        expires_at=issued_at + lifetime_s,
        token_id="tok_1",
    )
    return AccessTokenRequest(purpose="access_token", claims=claims)


@pytest.mark.parametrize(
    ("lifetime_s", "code"),
    [
        (1, None),
        (3600, None),
        (0, "token_lifetime_refused"),
        (-1, "token_lifetime_refused"),
        (3601, "token_lifetime_refused"),
    ],
)
def test_a_token_lives_from_one_second_to_one_hour(lifetime_s: int, code: str | None) -> None:
    answer = refuse_access_token(token_request(issued_at=NOW_S, lifetime_s=lifetime_s), now=NOW)

    assert code_of(answer) == code


@pytest.mark.parametrize(
    ("skew_s", "code"),
    [(-120, None), (120, None), (-121, "token_clock_refused"), (121, "token_clock_refused")],
)
def test_a_token_is_issued_at_our_own_time(skew_s: int, code: str | None) -> None:
    answer = refuse_access_token(token_request(issued_at=NOW_S + skew_s, lifetime_s=600), now=NOW)

    assert code_of(answer) == code


TREE = Tree().with_leaves(leaves_of(7))
LAST = Checkpoint(ORIGIN, 7, root_of(7))


def checkpoint_request(size: int, root: bytes) -> CheckpointRequest:
    return CheckpointRequest(purpose="checkpoint", origin=ORIGIN, size=size, root=root)


@pytest.mark.parametrize("tree", [None, TREE], ids=["nothing read", "read"])
@pytest.mark.parametrize(
    ("size", "root", "code"),
    [
        (7, root_of(7), None),
        (6, root_of(6), "checkpoint_rewinds"),
        (7, root_of(7, history=1), "checkpoint_forks"),
    ],
)
def test_up_to_the_last_checkpoint_what_was_signed_decides(
    size: int, root: bytes, code: str | None, tree: Tree | None
) -> None:
    assert code_of(refuse_checkpoint(checkpoint_request(size, root), last=LAST, tree=tree)) == code


@pytest.mark.parametrize("last", [None, LAST], ids=["the first", "the next"])
@pytest.mark.parametrize(
    ("tree", "code"),
    [
        (TREE.with_leaves(leaves_of(9)[7:]), None),
        (None, "checkpoint_beyond_log"),
        (TREE, "checkpoint_forks"),
        (TREE.with_leaves(leaves_of(9, history=1)[7:]), "checkpoint_forks"),
        (Tree().with_leaves(leaves_of(9, history=1)), "checkpoint_forks"),
    ],
)
def test_a_larger_checkpoint_is_signed_over_the_leaves_that_are_there(
    tree: Tree | None, last: Checkpoint | None, code: str | None
) -> None:
    assert code_of(refuse_checkpoint(checkpoint_request(9, root_of(9)), last=last, tree=tree)) == code


def test_what_was_signed_over_other_leaves_is_not_gone_on_from() -> None:
    other = Tree().with_leaves(leaves_of(7, history=1))

    assert code_of(refuse_checkpoint(checkpoint_request(9, root_of(9)), last=LAST, tree=other)) == (
        "checkpoint_forks"
    )


def test_an_empty_log_has_a_checkpoint() -> None:
    assert refuse_checkpoint(checkpoint_request(0, root_of(0)), last=None, tree=Tree()) is None


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b'{"format":"tallystick-export","files":[]}', None),
        (b'{"files":[]}', "manifest_format_refused"),
        (b'{"format":"tallystick-export"}', "manifest_format_refused"),
        (b'{"format":"Tallystick-export","files":[]}', "manifest_format_refused"),
        (b'{"format":"x","format":"tallystick-export","files":[]}', "manifest_unreadable"),
        (b"[]", "manifest_unreadable"),
        (b"not json", "manifest_unreadable"),
    ],
)
def test_only_an_export_manifest_is_signed_as_one(manifest: bytes, code: str | None) -> None:
    assert code_of(refuse_export(ExportRequest(purpose="export", manifest=manifest))) == code
