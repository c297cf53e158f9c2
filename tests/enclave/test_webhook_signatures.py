"""Webhook signatures: the published examples, OpenSSL's opinion, changed keys, and deliveries that were changed."""

import base64
import hashlib
import hmac
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.webhook_signatures import (
    Delivery,
    WebhookInvalid,
    public_key_text,
    sign_delivery,
    verify_delivery,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PAYLOAD = '{"type":"payout.settled","data":{"id":"pay_1","name":"Müller"}}'.encode()
DELIVERY = Delivery(message_id="evt_01JD", sent_at=NOW, payload=PAYLOAD)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
KEY = Ed25519PrivateKey.generate()
OLD_KEY = Ed25519PrivateKey.generate()


def pem_of(key: Ed25519PublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PUBLIC, OLD_PUBLIC = public_key_text(pem_of(KEY.public_key())), public_key_text(pem_of(OLD_KEY.public_key()))
FIELDS = sign_delivery(DELIVERY, secrets=[SECRET], signers=[KEY.sign])
BY_SECRET = sign_delivery(DELIVERY, secrets=[SECRET])
BY_KEY = sign_delivery(DELIVERY, signers=[KEY.sign])


def verify(fields: dict[str, str], *keys: str, payload: bytes = PAYLOAD, now: datetime = NOW) -> Delivery:
    return verify_delivery(list(fields.items()), payload, keys=keys, now=now)


def refused(fields: dict[str, str], *keys: str, payload: bytes = PAYLOAD, now: datetime = NOW) -> bool:
    with pytest.raises(WebhookInvalid) as invalid:
        verify(fields, *keys, payload=payload, now=now)
    return str(invalid.value) == "the webhook and its signatures are not what they must be"


# The examples that the reference implementations of Standard Webhooks are tested with.
EXAMPLE = Delivery(
    message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    sent_at=datetime.fromtimestamp(1614265330, tz=UTC),
    payload=b'{"test": 2432232314}',
)
EXAMPLE_V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
EXAMPLE_V1A = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
EXAMPLE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE_KEY = Ed25519PrivateKey.from_private_bytes(
    base64.b64decode("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
)


def test_our_signatures_are_those_of_the_reference_implementations() -> None:
    fields = sign_delivery(EXAMPLE, secrets=[EXAMPLE_SECRET], signers=[EXAMPLE_KEY.sign])

    assert fields == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{EXAMPLE_V1} {EXAMPLE_V1A}",
    }


@pytest.mark.parametrize("signature", [EXAMPLE_V1, EXAMPLE_V1A])
def test_signatures_of_the_reference_implementations_verify(signature: str) -> None:
    keys = [EXAMPLE_SECRET, public_key_text(pem_of(EXAMPLE_KEY.public_key()))]
    fields = [
        ("Webhook-Id", EXAMPLE.message_id),
        ("Webhook-Timestamp", "1614265330"),
        ("Webhook-Signature", signature),
    ]

    assert verify_delivery(fields, EXAMPLE.payload, keys=keys, now=EXAMPLE.sent_at) == EXAMPLE


def test_a_signature_is_over_id_time_and_payload() -> None:
    content = f"evt_01JD.{int(NOW.timestamp())}.".encode() + PAYLOAD
    by_secret, by_key = (
        base64.b64decode(entry.partition(",")[2]) for entry in FIELDS["webhook-signature"].split(" ")
    )

    assert by_secret == hmac.digest(bytes(range(32)), content, hashlib.sha256)
    KEY.public_key().verify(by_key, content)


def test_openssl_verifies_our_signature(tmp_path: Path) -> None:
    content = f"evt_01JD.{int(NOW.timestamp())}.".encode() + PAYLOAD
    signature = base64.b64decode(BY_KEY["webhook-signature"].removeprefix("v1a,"))

    assert openssl_verifies(tmp_path, content, signature) == "Signature Verified Successfully\n"
    assert openssl_verifies(tmp_path, content + b" ", signature) == "Signature Verification Failure\n"


def openssl_verifies(directory: Path, message: bytes, signature: bytes) -> str:
    (directory / "key.pem").write_text(pem_of(KEY.public_key()))
    (directory / "message").write_bytes(message)
    (directory / "signature").write_bytes(signature)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "message"]
    done = subprocess.run(
        [*command, "-sigfile", "signature"], cwd=directory, capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize("key", [SECRET, PUBLIC], ids=["secret", "public"])
def test_a_delivery_verifies_with_either_kind_of_key(key: str) -> None:
    assert verify(FIELDS, key) == DELIVERY


def test_while_a_key_is_changed_old_and_new_both_verify() -> None:
    fields = sign_delivery(DELIVERY, secrets=[SECRET, OLD_SECRET], signers=[KEY.sign, OLD_KEY.sign])

    for key in (SECRET, OLD_SECRET, PUBLIC, OLD_PUBLIC):
        assert verify(fields, key) == DELIVERY


def test_a_receiver_may_trust_old_and_new_at_once() -> None:
    assert verify(BY_SECRET, OLD_SECRET, SECRET) == DELIVERY
    assert verify(BY_KEY, OLD_PUBLIC, OLD_SECRET, PUBLIC) == DELIVERY


@pytest.mark.parametrize("key", [OLD_SECRET, OLD_PUBLIC], ids=["secret", "public"])
def test_another_key_does_not_verify(key: str) -> None:
    assert refused(FIELDS, key)


def test_signatures_of_other_schemes_are_passed_over() -> None:
    fields = {**BY_KEY, "webhook-signature": f"v2,??? {BY_KEY['webhook-signature']} v1b,x"}

    assert verify(fields, PUBLIC) == DELIVERY


@pytest.mark.parametrize("scheme", ["v1", "v2", "v1b", "V1A", "v01a", ""])
def test_a_signature_counts_for_its_own_scheme_only(scheme: str) -> None:
    fields = {**BY_KEY, "webhook-signature": BY_KEY["webhook-signature"].replace("v1a", scheme)}

    assert refused(fields, PUBLIC)
    assert refused(fields, PUBLIC, SECRET)


@pytest.mark.parametrize("scheme", ["v1a", "v2", "V1", ""])
def test_a_mac_counts_for_its_own_scheme_only(scheme: str) -> None:
    fields = {**BY_SECRET, "webhook-signature": BY_SECRET["webhook-signature"].replace("v1", scheme)}

    assert refused(fields, SECRET)


def test_a_public_key_never_serves_as_a_secret() -> None:
    content = f"evt_01JD.{int(NOW.timestamp())}.".encode() + PAYLOAD
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    for scheme in ("v1", "v1a"):
        forged = base64.b64encode(hmac.digest(raw, content, hashlib.sha256)).decode()

        assert refused({**BY_KEY, "webhook-signature": f"{scheme},{forged}"}, PUBLIC)


@settings(max_examples=400, deadline=None)
@given(
    case=st.sampled_from([(BY_SECRET, SECRET), (BY_KEY, PUBLIC)]),
    name=st.sampled_from(sorted(FIELDS)),
    place=st.integers(0, 10_000),
    character=st.characters(codec="utf-8"),
)
def test_no_character_of_a_field_can_change(
    case: tuple[dict[str, str], str], name: str, place: int, character: str
) -> None:
    fields, key = case
    text = fields[name]
    place %= len(text)
    spoilt = text[:place] + character + text[place + 1 :]

    if spoilt == text:
        assert verify({**fields, name: spoilt}, key) == DELIVERY
    else:
        assert refused({**fields, name: spoilt}, key)


@settings(max_examples=200, deadline=None)
@given(
    case=st.sampled_from([(BY_SECRET, SECRET), (BY_KEY, PUBLIC)]),
    place=st.integers(0, len(PAYLOAD) - 1),
    byte=st.integers(0, 255),
)
def test_no_byte_of_the_payload_can_change(case: tuple[dict[str, str], str], place: int, byte: int) -> None:
    fields, key = case
    payload = PAYLOAD[:place] + bytes([byte]) + PAYLOAD[place + 1 :]

    if payload == PAYLOAD:
        assert verify(fields, key, payload=payload) == DELIVERY
    else:
        assert refused(fields, key, payload=payload)


@settings(max_examples=100, deadline=None)
@given(
    message_id=st.from_regex(r"[0-9A-Za-z_-]{1,128}", fullmatch=True),
    payload=st.binary(max_size=300),
    moment=st.integers(0, 2**37),
)
def test_every_delivery_reads_back(message_id: str, payload: bytes, moment: int) -> None:
    sent_at = datetime.fromtimestamp(moment, tz=UTC)
    delivery = Delivery(message_id=message_id, sent_at=sent_at, payload=payload)

    fields = sign_delivery(delivery, secrets=[SECRET], signers=[KEY.sign])

    assert verify(fields, PUBLIC, payload=payload, now=sent_at) == delivery
    assert verify(fields, SECRET, payload=payload, now=sent_at) == delivery


@pytest.mark.parametrize("side", [1, -1])
def test_a_delivery_is_refused_five_minutes_from_now_either_way(side: int) -> None:
    tolerance, tick = timedelta(minutes=5), timedelta(microseconds=1)

    assert verify(FIELDS, PUBLIC, now=NOW + side * tolerance) == DELIVERY
    assert refused(FIELDS, PUBLIC, now=NOW + side * (tolerance + tick))


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "é", "a\n", "a" * 129])
def test_an_id_that_could_be_read_in_two_ways_is_refused(message_id: str) -> None:
    with pytest.raises(WebhookInvalid):
        Delivery(message_id=message_id, sent_at=NOW, payload=PAYLOAD)
    assert refused({**FIELDS, "webhook-id": message_id}, PUBLIC)


def test_id_and_time_cannot_be_shifted_into_the_payload() -> None:
    """The same content split at another full stop would be another delivery."""
    inner = Delivery(message_id="evt_1", sent_at=NOW, payload=b"1795339800.{}")
    fields = sign_delivery(inner, signers=[KEY.sign])

    shifted = {**fields, "webhook-id": f"evt_1.{fields['webhook-timestamp']}"}

    assert refused(shifted, PUBLIC, payload=b"{}")


@pytest.mark.parametrize(
    "timestamp", ["", "+1795339800", "01795339800", "1795339800.0", "1e9", "-1", "9" * 12]
)
def test_a_time_in_another_spelling_is_refused(timestamp: str) -> None:
    content = f"evt_01JD.{timestamp}.".encode() + PAYLOAD
    genuine = base64.b64encode(KEY.sign(content)).decode()
    fields = {**BY_KEY, "webhook-timestamp": timestamp, "webhook-signature": f"v1a,{genuine}"}

    assert refused(fields, PUBLIC)


@pytest.mark.parametrize("moment", [datetime(1969, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)])
def test_a_time_that_is_no_time_is_refused(moment: datetime) -> None:
    with pytest.raises(WebhookInvalid):
        replace(DELIVERY, sent_at=moment)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_no_field_may_be_missing_or_come_twice(name: str) -> None:
    lines = list(FIELDS.items())
    twice = [*lines, (name.title(), FIELDS[name])]
    missing = [line for line in lines if line[0] != name]

    for spoilt in (twice, missing, [(name, "x"), *lines]):
        with pytest.raises(WebhookInvalid):
            verify_delivery(spoilt, PAYLOAD, keys=[PUBLIC], now=NOW)


def test_a_list_of_signatures_in_another_spelling_is_refused() -> None:
    entry = BY_SECRET["webhook-signature"]
    encoded = entry.removeprefix("v1,")
    # Two bits of the last character are spare: a lenient decoder reads this one as the same bytes.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sibling = alphabet[alphabet.index(encoded[-2]) ^ 1]

    for respelt in (
        "",
        "v1",
        "v1,",
        encoded,
        f" {entry}",
        f"{entry} ",
        f"{entry}  {entry}",
        f"{entry},{entry}",
        f"{entry}\t{entry}",
        f"v1,{encoded.rstrip('=')}",
        f"v1,{encoded}=",
        f"v1,{encoded[:-2]}{sibling}=",
        f"v1,{encoded[:10]}",
        " ".join([entry] * 17),
        f"{entry} v2,{'x' * 5000}",
    ):
        assert refused({**BY_SECRET, "webhook-signature": respelt}, SECRET)
    assert verify({**BY_SECRET, "webhook-signature": " ".join([entry] * 16)}, SECRET) == DELIVERY


def test_a_shortened_signature_is_refused() -> None:
    mac = base64.b64decode(BY_SECRET["webhook-signature"].removeprefix("v1,"))

    for length in (0, 1, 16, 31):
        entry = f"v1,{base64.b64encode(mac[:length]).decode()}"

        assert refused({**BY_SECRET, "webhook-signature": entry}, SECRET)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        SECRET.replace("whsec_", "whsk_"),
        SECRET.replace("whsec_", "whpk_")[:-4],
        SECRET + "=",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        PUBLIC.replace("whpk_", "whsec_") + "=",
        PUBLIC.removeprefix("whpk_"),
        "whpk_é",
    ],
    ids=map(str, range(11)),
)
def test_a_malformed_key_is_refused_even_beside_a_good_one(key: str) -> None:
    assert refused(FIELDS, key)
    assert refused(FIELDS, SECRET, key)
    if not key.startswith("whpk_"):
        with pytest.raises(WebhookInvalid):
            sign_delivery(DELIVERY, secrets=[key])


def test_without_a_key_nothing_verifies_and_nothing_is_signed() -> None:
    assert refused(FIELDS)
    assert refused(FIELDS, *[PUBLIC] * 17)
    with pytest.raises(WebhookInvalid):
        sign_delivery(DELIVERY)
    with pytest.raises(WebhookInvalid):
        sign_delivery(DELIVERY, secrets=[SECRET] * 17)


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(WebhookInvalid):
        sign_delivery(DELIVERY, secrets=[PUBLIC])


@pytest.mark.parametrize("answer", [b"", b"x" * 63, b"x" * 65])
def test_an_answer_that_is_no_signature_is_not_sent(answer: bytes) -> None:
    with pytest.raises(WebhookInvalid):
        sign_delivery(DELIVERY, signers=[lambda _: answer])


def test_a_public_key_is_given_out_as_its_bytes_in_base64() -> None:
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    assert "whpk_" + base64.b64encode(raw).decode() == PUBLIC
    for other in (pem_of(ec.generate_private_key(ec.SECP256R1()).public_key()), "no key"):
        with pytest.raises(WebhookInvalid):
            public_key_text(other)


def test_an_error_never_quotes_the_key_or_the_fields() -> None:
    with pytest.raises(WebhookInvalid) as invalid:
        verify(FIELDS, "whsec_%%%")

    assert invalid.value.__cause__ is None
    assert invalid.value.__suppress_context__
