"""A client with pins: it talks to the enclave that was pinned, and to nobody else; not to its successor either."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enclave import canonical
from enclave.attestation import pins_of, read_attestation
from enclave.client import EnclaveClient, EnclaveRefused, EnclaveUnavailable, EnclaveUntrusted
from enclave.keys import fingerprint
from enclave.log import read_log
from enclave.pinned_hashes import Pins
from enclave.protocol import MESSAGE_BYTES_MAX, write_answer
from enclave.refusals import RefusalCode, refusal
from tests.enclave.attesting import (
    MEASUREMENT,
    NONCE,
    OTHER_KEYRING,
    STATEMENT,
    attestation_of,
    attesting_enclave,
    keys_of,
    pinned_client,
    pins,
)
from tests.enclave.process import RunningEnclave, SoftHsmToken

ACK = b'{"Nonce":1}'


def purposes_asked(directory: Path) -> list[str]:
    records = read_log(directory / "signing.log")
    return [record.entry.purpose for record in records if record.entry.purpose not in {"enclave", "keys"}]


def test_the_pinned_enclave_is_asked_what_it_is_once_a_connection(tmp_path: Path) -> None:
    with attesting_enclave(tmp_path) as socket_path, pinned_client(socket_path) as client:
        for _ in range(3):
            client.bank_message(profile="clearbank.webhook_ack", body=ACK)
        client.close()
        client.bank_message(profile="clearbank.webhook_ack", body=ACK)

    assert purposes_asked(tmp_path) == [
        "attestation", "bank_message", "bank_message", "bank_message", "attestation", "bank_message",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["code_sha256", "libraries_sha256", "configuration_sha256", "policy_sha256", "identity_sha256"],
)
def test_an_enclave_that_differs_in_one_hash_is_asked_nothing_else(tmp_path: Path, name: str) -> None:
    with (
        attesting_enclave(tmp_path) as socket_path,
        pinned_client(socket_path, pins(**{name: "00" * 32})) as client,
    ):
        for _ in range(2):
            with pytest.raises(EnclaveUntrusted, match=name.removesuffix("_sha256")):
                client.bank_message(profile="clearbank.webhook_ack", body=ACK)

    assert purposes_asked(tmp_path) == ["attestation", "attestation"]


def test_an_enclave_that_was_exchanged_is_noticed_at_the_next_connection(tmp_path: Path) -> None:
    other = replace(MEASUREMENT, policy_sha256="00" * 32)
    with pinned_client(tmp_path / "enclave.sock") as client:
        with attesting_enclave(tmp_path):
            client.ping()
        with attesting_enclave(tmp_path, measurement=other), pytest.raises(EnclaveUntrusted, match="policy"):
            client.bank_message(profile="clearbank.webhook_ack", body=ACK)
        with (
            attesting_enclave(tmp_path, keyring=OTHER_KEYRING),
            pytest.raises(EnclaveUntrusted, match="identity"),
        ):
            client.bank_message(profile="clearbank.webhook_ack", body=ACK)
        with attesting_enclave(tmp_path):
            client.ping()

    assert "bank_message" not in purposes_asked(tmp_path)


def test_an_enclave_that_was_not_measured_is_not_trusted(tmp_path: Path) -> None:
    with (
        attesting_enclave(tmp_path, measurement=None) as socket_path,
        pinned_client(socket_path) as client,
        pytest.raises(EnclaveUntrusted, match="not_measured"),
    ):
        client.ping()


class StandIn:
    """A process of the same user on the enclave's socket, which answers as it was told and hears what is asked."""

    def __init__(self, listener: socket.socket, answers: Sequence[bytes]) -> None:
        self._listener = listener
        self._answers = answers
        self.heard: list[bytes] = []

    def serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            for answer in self._answers:
                self.heard.append(connection.recv(MESSAGE_BYTES_MAX))
                connection.send(answer)
            self.heard.append(connection.recv(MESSAGE_BYTES_MAX))


@contextmanager
def standing_in(path: Path, *answers: bytes) -> Iterator[StandIn]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        stand_in = StandIn(listener, answers)
        thread = threading.Thread(target=stand_in.serve)
        thread.start()
        try:
            yield stand_in
        finally:
            thread.join(timeout=10)
            assert not thread.is_alive()


def heard_by_a_stand_in(directory: Path, answer: bytes, error: type[Exception]) -> list[bytes]:
    path = directory / "stand-in.sock"
    with standing_in(path, answer) as stand_in, pinned_client(path) as client, pytest.raises(error):
        client.bank_message(profile="clearbank.webhook_ack", body=ACK)
    return stand_in.heard


def forged(directory: Path, kind: str) -> bytes:
    match kind:
        case "replay":
            with attesting_enclave(directory) as socket_path, EnclaveClient(socket_path) as client:
                return write_answer(client.attest(NONCE))
        case "own key":
            statement = replace(STATEMENT, keys=keys_of(OTHER_KEYRING))
            return write_answer(attestation_of(statement, keyring=OTHER_KEYRING))
        case "no signature":
            return write_answer(replace(attestation_of(), signature=b""))
        case "refusal":
            return write_answer(refusal(RefusalCode.PAYOUT_UNKNOWN))
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["replay", "own key", "no signature", "refusal"])
def test_a_stand_in_hears_a_nonce_and_nothing_else(tmp_path: Path, kind: str) -> None:
    first, then = heard_by_a_stand_in(tmp_path, forged(tmp_path, kind), EnclaveUntrusted)

    assert canonical.parse_object(first)["purpose"] == "attestation"
    assert then == b""


@pytest.mark.parametrize("answer", [b"", b"junk", b'{"ok":true}', b'{"ok":true,"note":"x"}'])
def test_a_stand_in_whose_answer_cannot_be_read_hears_nothing_else(tmp_path: Path, answer: bytes) -> None:
    first, then = heard_by_a_stand_in(tmp_path, answer, EnclaveUnavailable)

    assert canonical.parse_object(first)["purpose"] == "attestation"
    assert then == b""


def test_each_connection_has_a_nonce_of_its_own(tmp_path: Path) -> None:
    with attesting_enclave(tmp_path) as socket_path:
        for _ in range(5):
            with pinned_client(socket_path) as client:
                client.ping()
    facts = [record.entry.facts for record in read_log(tmp_path / "signing.log")]

    assert len({entry["nonce"] for entry in facts if "nonce" in entry}) == 5


def test_a_refusal_to_attest_is_not_taken_for_the_refusal_of_a_payout(tmp_path: Path) -> None:
    with (
        attesting_enclave(tmp_path, measurement=None) as socket_path,
        pinned_client(socket_path) as client,
        pytest.raises(EnclaveUntrusted) as error,
    ):
        client.payout(payout_id="pay_" + "0" * 32, attempt_id="att_" + "0" * 32, profile="x", body=ACK)
    assert not isinstance(error.value, EnclaveRefused)


def pins_of_process(enclave: RunningEnclave) -> Pins:
    with enclave.client() as client:
        attestation = client.attest(NONCE)
    return pins_of(attestation, read_attestation(attestation, nonce=NONCE, now=datetime.now(UTC)))


def differing(pinned: Pins, found: Pins) -> set[str]:
    return {phrase.partition(" ")[0] for phrase in pinned.differences(found)}


def test_a_process_with_another_limit_or_name_is_noticed_and_the_same_again_is_trusted(
    token: SoftHsmToken, tmp_path: Path
) -> None:
    with token.serving(tmp_path) as enclave:
        pinned = pins_of_process(enclave)
        client = EnclaveClient(enclave.socket_path, pins=pinned)
        client.ping()
        enclave.terminate()

    with client:
        with token.serving(tmp_path, per_day_limit_minor="1000") as enclave:
            with pytest.raises(EnclaveUntrusted, match=r"configuration .* policy "):
                client.bank_message(profile="clearbank.webhook_ack", body=ACK)
            assert differing(pinned, pins_of_process(enclave)) == {"configuration", "policy"}
        with token.serving(tmp_path, name="other"), pytest.raises(EnclaveUntrusted, match="configuration"):
            client.ping()
        with token.serving(tmp_path):
            client.ping()


def test_a_process_with_another_token_is_noticed(
    token: SoftHsmToken, bare_token: SoftHsmToken, tmp_path: Path
) -> None:
    assert bare_token.hold_ceremony().returncode == 0
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    with token.serving(first) as enclave:
        pinned = pins_of_process(enclave)
    with bare_token.serving(second) as enclave:
        found = pins_of_process(enclave)

    assert pinned.identity_sha256 == fingerprint(token.pem("identity"))
    assert differing(pinned, found) == {"identity", "configuration"}, "other keys, and other custodians"
