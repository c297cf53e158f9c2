"""Cards on a real token, in a real process: no message of a caller makes the token fail, and none ends the enclave."""

import base64
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave import canonical
from enclave.keys import KeyAddress, KeyBackendFailure, Purpose
from enclave.log import EntryKind
from enclave.protocol import MANIFEST_BYTES_MAX, MESSAGE_BYTES_MAX, PublicKey, to_base64
from tests.enclave.cards import (
    PROCESSOR,
    PROCESSOR_KEY,
    PROGRAMME_ID,
    VISA,
    card_keys,
    encrypted_to,
    pem_of,
    seal_message,
)
from tests.enclave.modules import copy_of, printed, tokens_of
from tests.enclave.mutations import Members, altered_message, datagram
from tests.enclave.process import PIN, TOKEN_LABEL, RunningEnclave, SoftHsmToken
from tests.enclave.signing import ask_bank, signed

MUTATIONS = 2_000
SEED = 20_261_122
COORDINATE = slice(1, 33), slice(33, 65)
# What a caller can be told of a card, whatever he made of his message.
SAID_OF_CARDS = {
    "card_recipient_unknown",
    "card_unreadable",
    "card_key_unknown",
    "card_context_mismatch",
    "message_not_canonical",
    "message_fields_refused",
}


def point_on(curve: ec.EllipticCurve, spelling: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return ec.generate_private_key(curve).public_key().public_bytes(Encoding.X962, spelling)


GOOD = point_on(ec.SECP256R1())
NO_POINTS = {
    "off the curve": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "nowhere": b"\x04" + bytes(64),
    "beyond the field": b"\x04" + b"\xff" * 64,
    "infinity": b"\x00",
    "infinity at length": bytes(65),
    "nothing": b"",
    "compressed": point_on(ec.SECP256R1(), PublicFormat.CompressedPoint),
    "hybrid": bytes([6 + GOOD[-1] % 2]) + GOOD[1:],
    "in DER": b"\x04\x41" + GOOD,
    "cut short": GOOD[:-1],
    "too long": GOOD + b"\x00",
    "P-384": point_on(ec.SECP384R1()),
    "P-521": point_on(ec.SECP521R1()),
    "secp256k1": point_on(ec.SECP256K1()),
    "brainpool": point_on(ec.BrainpoolP256R1()),
}
AGREE = f"""
import json, os, sys
from pathlib import Path
from enclave.backends.pkcs11 import Pkcs11Keys
from enclave.keys import KeyAddress, KeyBackendFailure, Purpose
from enclave.pin import Pin
keys = Pkcs11Keys.log_in_to(Path("{{module}}"), token_label="{TOKEN_LABEL}", pin=Pin("{PIN}"))
intake = KeyAddress(Purpose.CARD_INTAKE, version=1)
keys.open(intake)
asked = []
use = keys._using
keys._using = lambda address, using: asked.append(address) or use(address, using)
for point in {json.dumps([point.hex() for point in (*NO_POINTS.values(), GOOD)])}:
    try:
        print(len(keys.agree(intake, bytes.fromhex(point))))
    except Exception as error:
        print(type(error).__name__)
print(len(asked))
"""


def test_no_token_is_given_what_is_no_point_of_the_curve(token: SoftHsmToken) -> None:
    *told, last, asked = printed(token, AGREE)

    assert told == ["KeyBackendFailure"] * len(NO_POINTS)
    assert (last, asked) == ("32", "1")


@pytest.mark.parametrize("point", NO_POINTS.values(), ids=NO_POINTS)
def test_software_keys_take_no_other_points_either(point: bytes) -> None:
    with pytest.raises(KeyBackendFailure):
        card_keys().agree(KeyAddress(Purpose.CARD_INTAKE, version=1), point)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a socket, who says what he likes."""

    enclave: RunningEnclave
    connection: socket.socket

    def told(self, data: bytes) -> Members:
        self.connection.send(data)
        answer: Members = json.loads(self.connection.recv(MESSAGE_BYTES_MAX))
        return answer

    def code(self, data: bytes) -> object:
        """What a message is refused for; None if it is answered."""
        return self.told(data).get("refusal")

    @property
    def intake(self) -> PublicKey:
        with self.enclave.client() as client:
            return client.public_keys()["card_intake"]

    def sealed(self) -> Members:
        """A card that was taken in, as a message brings it."""
        row = self.told(datagram(seal_message(encrypted_to(self.intake))))
        assert row.pop("ok")
        return row


@contextmanager
def called(token: SoftHsmToken, directory: Path) -> Iterator[Caller]:
    (directory / "processor.pem").write_text(pem_of(PROCESSOR_KEY))
    recipient = ("--card-recipient", f"{PROCESSOR}={directory / 'processor.pem'}")
    with (
        token.serving(directory, more=recipient) as enclave,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
    ):
        connection.settimeout(30)
        connection.connect(str(enclave.socket_path))
        yield Caller(enclave, connection)


@pytest.fixture(scope="module")
def caller(token: SoftHsmToken, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Somebody who calls one enclave, over and over."""
    with called(token, tmp_path_factory.mktemp("enclave")) as made:
        yield made


@pytest.fixture
def goes_on(caller: Caller, token: SoftHsmToken) -> Iterator[None]:
    """Whatever the test says to it: afterwards the enclave is there, signs and seals, and nothing has failed in it."""
    yield
    assert signed(token, ask_bank(caller.enclave))
    assert caller.sealed()["last_four"] == "1111"
    assert caller.enclave.process.poll() is None
    assert EntryKind.FAILED not in caller.enclave.kinds()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwe_with(point: bytes, intake: PublicKey) -> str:
    """A JWE whose sender says that this is his point."""
    x, y = (b64(point[place]) for place in COORDINATE)
    epk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    header = canonical.encode({"alg": "ECDH-ES", "enc": "A256GCM", "epk": epk, "kid": intake.key_id})
    nonce = os.urandom(12)
    sealed = AESGCM(bytes(32)).encrypt(nonce, b"{}", b64(header).encode())
    return ".".join([b64(header), "", b64(nonce), b64(sealed[:-16]), b64(sealed[-16:])])


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("point", [*NO_POINTS.values(), GOOD], ids=[*NO_POINTS, "good"])
def test_a_card_from_a_point_that_is_none_is_unreadable(caller: Caller, point: bytes) -> None:
    assert caller.code(datagram(seal_message(jwe_with(point, caller.intake)))) == "card_unreadable"


TAMPERED: dict[str, object] = {
    "card_id": f"crd_{2:032x}",
    "bin": "411112",
    "last_four": "1112",
    "expiry_month": 11,
    "expiry_year": 2029,
    "fingerprint": "0" * 64,
    "sealed": to_base64(bytes(47)),
}


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("purpose", ["card_reseal", "card_forward"])
@pytest.mark.parametrize("name", TAMPERED)
def test_a_row_that_was_tampered_with_does_not_open_on_the_token(
    caller: Caller, purpose: str, name: str
) -> None:
    card = caller.sealed()
    said: Members = {"purpose": purpose, "programme_id": PROGRAMME_ID}
    said |= {"recipient": PROCESSOR} if purpose == "card_forward" else {}
    assert caller.code(datagram(said | {"card": card})) is None

    assert caller.code(datagram(said | {"card": card | {name: TAMPERED[name]}})) == "card_context_mismatch"


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("length", [1, 11, 12, 13, 28, 29, 46])
def test_a_seal_that_was_cut_does_not_open_on_the_token(caller: Caller, length: int) -> None:
    card = caller.sealed()
    card["sealed"] = to_base64(os.urandom(length))
    said: Members = {"purpose": "card_reseal", "programme_id": PROGRAMME_ID, "card": card}

    assert caller.code(datagram(said)) == "card_context_mismatch"


@pytest.mark.usefixtures("goes_on")
def test_no_spoilt_message_about_a_card_makes_the_token_fail(caller: Caller) -> None:
    dice = Random(SEED)
    seal, card = seal_message(encrypted_to(caller.intake)), caller.sealed()
    about: Members = {"programme_id": PROGRAMME_ID, "card": card}
    forward = about | {"purpose": "card_forward", "recipient": PROCESSOR}
    told: Counter[str] = Counter()

    for _ in range(MUTATIONS):
        good = dice.choice((seal, about | {"purpose": "card_reseal"}, forward))
        # An empty datagram is how a caller hangs up.
        answer = caller.told(altered_message(dice, good) or b"{}")
        assert VISA not in json.dumps(answer)
        told[str(answer.get("refusal"))] += 1

    assert set(told) - {"None"} <= SAID_OF_CARDS, told
    assert {"card_context_mismatch", "card_unreadable"} <= set(told), told


@pytest.mark.usefixtures("goes_on")
def test_the_longest_messages_are_signed_and_longer_ones_refused(caller: Caller) -> None:
    manifest = b'{"format":"tallystick-export","files":["' + b"x" * MANIFEST_BYTES_MAX
    longest = manifest[: MANIFEST_BYTES_MAX - 3] + b'"]}'

    said: Members = {"purpose": "export", "manifest": to_base64(longest)}
    assert caller.code(datagram(said)) is None
    assert caller.code(datagram(said | {"manifest": to_base64(longest + b" ")})) == "message_fields_refused"
    assert caller.code(b"[" * MESSAGE_BYTES_MAX) == "message_not_canonical"
    assert caller.code(b"[" * (MESSAGE_BYTES_MAX + 1)) == "message_too_large"


@pytest.mark.usefixtures("goes_on")
@pytest.mark.parametrize("depth", [*range(50, 250, 25), *range(900, 1100, 10), 20_000])
def test_no_depth_of_a_message_ends_the_enclave(caller: Caller, depth: int) -> None:
    deep = b'{"purpose":"card_seal","x":' + b"[" * depth + b"]" * depth + b"}"

    assert caller.code(deep) in {"message_fields_refused", "message_not_canonical"}


@pytest.mark.parametrize("purpose", ["card_seal", "card_reseal", "card_forward"])
def test_a_token_that_is_gone_ends_the_enclave_and_is_no_broken_seal(
    token: SoftHsmToken, tmp_path: Path, purpose: str
) -> None:
    own = copy_of(token, tmp_path)
    (tmp_path / "enclave").mkdir()
    with called(own, tmp_path / "enclave") as caller:
        about: Members = {"purpose": purpose, "programme_id": PROGRAMME_ID, "card": caller.sealed()}
        messages: dict[str, Members] = {
            "card_seal": seal_message(encrypted_to(caller.intake)),
            "card_reseal": about,
            "card_forward": about | {"recipient": PROCESSOR},
        }
        assert caller.code(datagram(messages[purpose])) is None
        tokens_of(own).rename(tmp_path / "elsewhere")

        assert caller.code(datagram(messages[purpose])) == "internal"
        assert caller.enclave.complaint().startswith("enclave: the token is lost (")
        last = caller.enclave.records()[-1].entry
        assert (last.kind, last.purpose, last.facts["error"]) == (EntryKind.FAILED, purpose, "TokenLost")
