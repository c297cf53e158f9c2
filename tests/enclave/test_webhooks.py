"""Webhooks of ours: from the real token, checked as a receiver checks them, and while keys are being changed."""

import base64
import hmac
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave.backends.software import SoftwareKeys
from enclave.client import EnclaveClient, EnclaveRefused
from enclave.keyring import Keyring
from enclave.keys import KeyAddress, Purpose
from enclave.log import EntryKind, read_log
from enclave.protocol import SignedHeaders, WebhookSecret
from enclave.resolutions import EMPTY, KeyRecord, Register
from enclave.webhook_signatures import WebhookInvalid, public_key_text, verify_delivery
from tests.enclave.process import SoftHsmToken
from tests.enclave.soft_enclave import soft_enclave

ENDPOINT = "wep_" + "0f" * 16
OTHER_ENDPOINT = "wep_" + "1f" * 16
PAYLOAD = b'{"type":"payout.settled","amount_minor":5}'
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ask(client: EnclaveClient, message_id: str = "msg_1", payload: bytes = PAYLOAD) -> SignedHeaders:
    return client.webhook(endpoint_id=ENDPOINT, message_id=message_id, payload=payload)


def accepts(answer: SignedHeaders, *keys: str, now: datetime, payload: bytes = PAYLOAD) -> bool:
    try:
        verify_delivery(list(answer.headers.items()), payload, keys=keys, now=now)
    except WebhookInvalid:
        return False
    return True


def test_a_webhook_verifies_outside_our_code(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        secret, other = client.webhook_secret(ENDPOINT), client.webhook_secret(OTHER_ENDPOINT)
        answer = ask(client)

    now, pem = datetime.now(UTC), token.pem("webhook")
    v1, v1a = (entry.partition(",")[2] for entry in answer.headers["webhook-signature"].split(" "))
    content = f"msg_1.{answer.headers['webhook-timestamp']}.".encode() + PAYLOAD
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(base64.b64decode(v1a), content)
    raw = base64.b64decode(secret.secret.removeprefix("whsec_"))
    assert base64.b64decode(v1) == hmac.digest(raw, content, "sha256")
    assert openssl_agrees(tmp_path, pem=pem, signature=base64.b64decode(v1a), content=content)
    assert openssl_mac(tmp_path, raw, content) == base64.b64decode(v1)
    assert accepts(answer, secret.secret, now=now)
    assert accepts(answer, public_key_text(pem), now=now)
    assert not accepts(answer, other.secret, now=now)
    assert not accepts(answer, secret.secret, now=now, payload=PAYLOAD + b" ")
    assert (answer.key_id, secret.key_id) == ("webhook/v1", "webhook_secret/v1")


def openssl_agrees(directory: Path, *, pem: str, signature: bytes, content: bytes) -> bool:
    for name, data in (("key.pem", pem.encode()), ("signature", signature), ("content", content)):
        (directory / name).write_bytes(data)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]
    command += ["-in", "content", "-sigfile", "signature"]
    return subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode == 0


def openssl_mac(directory: Path, secret: bytes, content: bytes) -> bytes:
    (directory / "content").write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.hex()}", "-binary"]
    return subprocess.run([*command, "content"], cwd=directory, capture_output=True, check=True).stdout


def test_a_secret_is_always_the_same_and_never_in_the_log(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        secrets = {client.webhook_secret(ENDPOINT).secret for _ in range(2)}
        ask(client)
        assert enclave.terminate() == 0
        told = enclave.errors()

    (secret,) = secrets
    log = enclave.log_path.read_text()
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(raw) == 32
    for spelling in (secret.removeprefix("whsec_"), raw.hex(), "whsec_"):
        assert spelling not in log
        assert spelling not in told
    granted = [record.entry for record in enclave.records() if record.entry.kind is EntryKind.GRANTED]
    assert [entry.purpose for entry in granted] == ["webhook_secret", "webhook_secret", "webhook"]
    assert {entry.facts["endpoint_id"] for entry in granted} == {ENDPOINT}
    assert secret not in repr(WebhookSecret(secret=secret, key_id="webhook_secret/v1"))


@pytest.mark.parametrize("payload", [b"[]", b"1", b"{", b'{"a":1,"a":2}', b"\xff"])
def test_only_a_json_object_is_signed_as_a_webhook(tmp_path: Path, payload: bytes) -> None:
    with (
        soft_enclave(tmp_path, Versions().keyring()) as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        ask(client, payload=payload)

    assert refused.value.code == "webhook_payload_refused"


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a" * 129, "a\n"])
def test_a_message_id_is_read_in_one_way(tmp_path: Path, message_id: str) -> None:
    with (
        soft_enclave(tmp_path, Versions().keyring()) as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        ask(client, message_id)

    assert refused.value.code == "message_fields_refused"


# While keys are being changed -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Versions:
    """A registrar of webhook keys, version by version: from when each signs, until when, and until when it counts."""

    spans: Sequence[tuple[datetime, datetime | None, datetime | None]] = ((NOW - HOUR, None, None),)
    keys: SoftwareKeys = field(default_factory=SoftwareKeys)

    def register(self) -> Register:
        records: dict[KeyAddress, KeyRecord] = {}
        for purpose in (Purpose.WEBHOOK, Purpose.WEBHOOK_SECRET):
            for version, (not_before, sign_until, verify_until) in enumerate(self.spans, start=1):
                identity = self.keys.make(KeyAddress(purpose, version))
                records[identity.address] = KeyRecord(
                    address=identity.address,
                    sha256=identity.sha256,
                    public_key_pem=identity.public_key_pem,
                    not_before=not_before,
                    sign_until=sign_until,
                    verify_until=verify_until,
                    endorsers=frozenset(),
                )
        return replace(EMPTY, keys=records)

    def keyring(self) -> Keyring:
        return Keyring(self.keys, self)


LONG_AGO, JUST_NOW, SOON = (NOW - 9 * HOUR, None, None), (NOW - HOUR, None, None), (NOW + HOUR, None, None)


@pytest.mark.parametrize(
    ("spans", "signing"),
    [
        ([LONG_AGO], [1]),
        ([LONG_AGO, SOON], [1]),
        ([LONG_AGO, JUST_NOW], [2, 1]),
        ([LONG_AGO, LONG_AGO, JUST_NOW], [3, 2]),
        ([LONG_AGO, JUST_NOW, SOON], [2, 1]),
        ([(NOW - 9 * HOUR, NOW - HOUR, None), JUST_NOW], [2]),
        ([(NOW - 9 * HOUR, None, NOW - HOUR), JUST_NOW], [2]),
        ([LONG_AGO, (NOW - 9 * HOUR, NOW, None), JUST_NOW], [3, 1]),
    ],
)
def test_the_new_key_and_the_one_before_sign_side_by_side(
    tmp_path: Path,
    spans: Sequence[tuple[datetime, datetime | None, datetime | None]],
    signing: Sequence[int],
) -> None:
    keyring = Versions(spans).keyring()
    with soft_enclave(tmp_path, keyring, clock=lambda: NOW) as client:
        answer, secret = ask(client), client.webhook_secret(ENDPOINT)

    assert len(answer.headers["webhook-signature"].split(" ")) == 2 * len(signing)
    assert answer.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    for version in range(1, len(spans) + 1):
        for key in keys_of_receivers(keyring, version).values():
            assert accepts(answer, key, now=NOW) == (version in signing), version
    assert secret.key_id == f"webhook_secret/v{signing[0]}"
    assert secret.secret == keys_of_receivers(keyring, signing[0])["v1"]
    (entry,) = [
        record.entry
        for record in read_log(tmp_path / "signing.log")
        if (record.entry.kind, record.entry.purpose) == (EntryKind.GRANTED, "webhook")
    ]
    named = [str(entry.facts["key_id"]), *str(entry.facts["further_key_ids"]).split(" ")]
    assert named == [
        f"{purpose}/v{version}" for purpose in ("webhook", "webhook_secret") for version in signing
    ]


def keys_of_receivers(keyring: Keyring, version: int) -> Mapping[str, str]:
    """What a receiver holds who was given his keys when this version was the current one."""
    pem = keyring.identity(KeyAddress(Purpose.WEBHOOK, version)).public_key_pem
    assert pem is not None
    made = keyring.backend.mac(
        KeyAddress(Purpose.WEBHOOK_SECRET, version), b"tallystick-webhook-endpoint-v1\n" + ENDPOINT.encode()
    )
    return {"v1": f"whsec_{base64.b64encode(made).decode()}", "v1a": public_key_text(pem)}
