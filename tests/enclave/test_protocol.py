"""The messages: exactly these fields, spelt exactly so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave import canonical
from enclave.protocol import (
    MANIFEST_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    CheckpointRequest,
    PayoutRequest,
    PingRequest,
    Pong,
    Signature,
    read_request,
    to_base64,
    write_answer,
)
from enclave.refusals import Refusal, RefusalCode, refusal

PAYOUT: dict[str, object] = {
    "purpose": "payout",
    "payout_id": "pay_" + "5a" * 16,
    "attempt_id": "att_" + "c3" * 16,
    "profile": "clearbank.sct",
    "scheme": "body_rsa_sha256",
    "target": None,
    "body": "e30=",
}
CHECKPOINT: dict[str, object] = {
    "purpose": "checkpoint",
    "origin": "ledger.example",
    "size": 7,
    "root": to_base64(b"r" * 32),
}
CLAIMS = {
    "client_id": "shop",
    "programme_id": None,
    "scopes": ["a:b"],
    "audience": "api",
    "issuer": "us",
    "issued_at": 1,
    "expires_at": 2,
    "token_id": "t",
}
MESSAGES: list[dict[str, object]] = [
    PAYOUT,
    CHECKPOINT,
    {
        "purpose": "bank_query",
        "profile": "clearbank.statement_page",
        "scheme": "body_rsa_sha256",
        "method": "GET",
        "authority": None,
        "path_with_query": "/v1",
        "request_id": "req_" + "0f" * 16,
        "request_time": "1795339800",
    },
    {
        "purpose": "bank_message",
        "profile": "clearbank.webhook_ack",
        "scheme": "detached_jws",
        "target": None,
        "body": "e30=",
    },
    {"purpose": "webhook", "endpoint_id": "wep_" + "0f" * 16, "message_id": "msg_1", "payload": "e30="},
    {"purpose": "webhook_secret", "endpoint_id": "wep_" + "0f" * 16},
    {"purpose": "access_token", "claims": CLAIMS},
    {"purpose": "export", "manifest": "e30="},
    {"purpose": "attestation", "nonce": to_base64(bytes(32))},
    {"purpose": "public_keys"},
    {"purpose": "ping"},
]


def spell(message: object) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode()


def refused(message: object) -> str:
    answer = read_request(spell(message))
    assert isinstance(answer, Refusal)
    return str(answer.code)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_purpose_is_read(message: dict[str, object]) -> None:
    request = read_request(spell(message))

    assert not isinstance(request, Refusal)
    assert request.purpose == message["purpose"]


@pytest.mark.parametrize("message", MESSAGES)
def test_one_field_more_is_refused(message: dict[str, object]) -> None:
    assert refused({**message, "amount": 1}) == "message_fields_refused"


@pytest.mark.parametrize("message", MESSAGES)
def test_one_field_less_is_refused(message: dict[str, object]) -> None:
    for name in message:
        assert (
            refused({key: value for key, value in message.items() if key != name}) == "message_fields_refused"
        )


@pytest.mark.parametrize(
    "change",
    [
        {"payout_id": "pay_" + "5A" * 16},
        {"payout_id": "pay_" + "5a" * 16 + "\n"},
        {"payout_id": "pay_" + "5a" * 15},
        {"attempt_id": "pay_" + "5a" * 16},
        {"profile": "clearbank.webhook_ack"},
        {"body": ""},
        {"body": "e30"},
        {"body": "e31="},
        {"body": "e30=\n"},
        {"body": to_base64(b"x" * (16 * 1024 + 1))},
        {"body": 7},
        {"purpose": "PAYOUT"},
        {"purpose": ["payout"]},
    ],
)
def test_a_field_of_another_form_is_refused(change: dict[str, object]) -> None:
    assert refused({**PAYOUT, **change}) == "message_fields_refused"


@pytest.mark.parametrize(
    "endpoint_id", ["", "wep_" + "0F" * 16, "wep_" + "0f" * 15, "0f" * 16, "wep_" + "0f" * 16 + "\n"]
)
@pytest.mark.parametrize("purpose", ["webhook", "webhook_secret"])
def test_an_endpoint_has_an_id_in_one_spelling(purpose: str, endpoint_id: str) -> None:
    (message,) = [message for message in MESSAGES if message["purpose"] == purpose]

    assert refused({**message, "endpoint_id": endpoint_id}) == "message_fields_refused"


@pytest.mark.parametrize("scheme", ["", "none", "RS256", "BODY_RSA_SHA256", None, 1, ["http_message"]])
@pytest.mark.parametrize("purpose", ["payout", "bank_message", "bank_query"])
def test_a_scheme_is_one_of_those_that_there_are(purpose: str, scheme: object) -> None:
    (message,) = [message for message in MESSAGES if message["purpose"] == purpose]

    assert refused({**message, "scheme": scheme}) == "message_fields_refused"


@pytest.mark.parametrize("size", [True, False, "7", -1, 2**63, None])
def test_a_size_is_an_integer_and_nothing_else(size: object) -> None:
    assert refused({**CHECKPOINT, "size": size}) == "message_fields_refused"


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\n", "ä", "a" * 201])
def test_an_origin_can_be_the_name_of_a_key(origin: str) -> None:
    assert refused({**CHECKPOINT, "origin": origin}) == "message_fields_refused"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_has_32_bytes(length: int) -> None:
    assert refused({**CHECKPOINT, "root": to_base64(b"r" * length)}) == "message_fields_refused"


@pytest.mark.parametrize(
    "change", [{"issued_at": True}, {"issued_at": 1.0}, {"scopes": "a:b"}, {"scopes": ["A"]}]
)
def test_claims_are_as_strict_as_messages(change: dict[str, object]) -> None:
    message = {"purpose": "access_token", "claims": {**CLAIMS, **change}}

    assert refused(message) in {"message_fields_refused", "message_not_canonical"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"\xff",
        b'{"purpose": "ping"}',
        b'{"purpose":"ping"}\n',
        b'{"purpose":"ping","purpose":"ping"}',
        '{"purpose":"é"}'.encode(),
        b'{"purpose":"\\u0070ing"}',
        b'{"purpose":"ping","a":1.0}',
        b'{"purpose":"ping","a":1e3}',
        b'{"purpose":"ping","a":NaN}',
        b"[" * 60_000,
    ],
)
def test_another_spelling_of_json_is_refused(data: bytes) -> None:
    assert read_request(data) == refusal(RefusalCode.MESSAGE_NOT_CANONICAL)


def test_the_largest_manifest_fits_and_a_byte_more_does_not() -> None:
    fits = {"purpose": "export", "manifest": to_base64(b"x" * MANIFEST_BYTES_MAX)}
    over = {"purpose": "export", "manifest": to_base64(b"x" * (MANIFEST_BYTES_MAX + 1))}

    assert not isinstance(read_request(spell(fits)), Refusal)
    assert refused(over) == "message_fields_refused"


def test_a_message_over_the_limit_is_not_even_parsed() -> None:
    assert read_request(b"x" * (MESSAGE_BYTES_MAX + 1)) == refusal(RefusalCode.MESSAGE_TOO_LARGE)


def test_a_refusal_names_fields_and_never_what_they_held() -> None:
    answer = read_request(spell({**PAYOUT, "payout_id": "DE89370400440532013000"}))

    assert isinstance(answer, Refusal)
    assert "payout_id" in answer.detail
    assert "DE89" not in answer.detail


def test_requests_are_frozen() -> None:
    request = read_request(spell(CHECKPOINT))

    assert isinstance(request, CheckpointRequest)
    with pytest.raises(ValueError, match="frozen"):
        request.size = 8


@given(data=st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(data: bytes) -> None:
    assert isinstance(read_request(data), Refusal | PingRequest)


@given(place=st.integers(0, len(spell(PAYOUT)) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_valid_request(place: int, value: int) -> None:
    data = bytearray(spell(PAYOUT))
    data[place] = value

    answer = read_request(bytes(data))
    assert isinstance(answer, Refusal | PayoutRequest)


def test_answers_are_canonical_too() -> None:
    signature = write_answer(Signature(signature=b"abc", key_id="bank/v1", digest="00"))

    assert signature == b'{"digest":"00","key_id":"bank/v1","ok":true,"signature":"YWJj"}'
    assert write_answer(Pong()) == b'{"ok":true}'
    assert json.loads(write_answer(refusal(RefusalCode.INTERNAL)))["refusal"] == "internal"


def test_canonical_json_has_no_fractions() -> None:
    with pytest.raises(TypeError):
        canonical.encode({"amount": canonical.parse(b"1.5")})
