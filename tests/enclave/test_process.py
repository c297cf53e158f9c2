"""The enclave as a process of its own, with keys in a real SoftHSM2 token, asked through its socket."""

import base64
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave.client import EnclaveRefused, EnclaveUnavailable
from enclave.keys import Purpose, algorithm_of
from enclave.notes import verify_checkpoint
from enclave.tokens import verify_access_token
from tests.conftest import Database
from tests.enclave.logs import make_log, root_of
from tests.enclave.payouts import ATTEMPT_ID, CREDIT_TRANSFER, PAYOUT_ID, body_of
from tests.enclave.process import PIN, SO_PIN, RunningEnclave, SoftHsmToken
from tests.enclave.shop_token import issue_token
from tests.enclave.signing import openssl_verifies

NONCE = b'{"Nonce":3141592653}'
MANIFEST = b'{"format":"tallystick-export","files":[]}'


def test_it_says_when_it_is_ready_and_stops_when_told(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave:
        assert enclave.ready_line == f"enclave ready on {enclave.socket_path}\n"
        with enclave.client() as client:
            client.ping()
        assert enclave.terminate() == 0
        told = enclave.errors()

    assert not enclave.socket_path.exists()
    for step in ("dumpable=0", "no_new_privs=1", "core=0", "umask=077"):
        assert f"enclave: {step} done\n" in told


def test_it_really_gave_up_what_it_reports(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave:
        proc = Path("/proc") / str(enclave.process.pid)
        status = dict(
            line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
        )
        limits = (proc / "limits").read_text()

        assert status["NoNewPrivs"] == "1"
        assert status["Umask"] == "0077"
        # One for the token; and one that waits for the disk, where this user may have so many.
        assert status["Threads"].strip() in {"1", "2"}
        assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
        assert (proc / "environ").stat().st_uid == 0


def test_bank_signatures_verify_outside_our_code(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        answer = client.bank_message(profile="clearbank.webhook_ack", body=NONCE)

    key = load_pem_public_key(token.pem("bank").encode())
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    key.verify(answer.signature, NONCE, padding.PKCS1v15(), hashes.SHA256())
    told = openssl_verifies(tmp_path, pem=token.pem("bank"), signature=answer.signature, message=NONCE)
    assert told == "Verified OK\n"


def test_token_signatures_verify_outside_our_code(token: SoftHsmToken, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        issued = issue_token(client, now=now)

    message, _, encoded = issued.rpartition(".")
    raw = base64.urlsafe_b64decode(encoded + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    pem = token.pem("access_token")
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(der, message.encode(), ec.ECDSA(hashes.SHA256()))
    assert openssl_verifies(tmp_path, pem=pem, signature=der, message=message.encode()) == "Verified OK\n"
    claims = verify_access_token(issued, {"access_token/v1": pem}, issuer="us", audience="api", now=now)
    assert claims.client_id == "shop"


def test_checkpoints_and_exports_verify_outside_our_code(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    root, origin = root_of(3), make_log(database, 3)
    with (
        token.serving(tmp_path, database_url=database.url("tallystick_enclave")) as enclave,
        enclave.client() as client,
    ):
        note = client.checkpoint(origin=origin, size=3, root=root).note
        signature = client.export(manifest=MANIFEST).signature

    text, _, line = note.partition("\n\n")
    checkpoint_key = load_pem_public_key(token.pem("checkpoint").encode())
    export_key = load_pem_public_key(token.pem("report").encode())
    assert isinstance(checkpoint_key, Ed25519PublicKey)
    assert isinstance(export_key, Ed25519PublicKey)
    checkpoint_key.verify(base64.b64decode(line.split(" ")[2])[4:], f"{text}\n".encode())
    export_key.verify(signature, b"tallystick-export-v1\n" + MANIFEST)
    checkpoint = verify_checkpoint(note, origin=origin, public_key_pem=token.pem("checkpoint"))
    assert (checkpoint.size, checkpoint.root) == (3, root)


def test_the_enclave_hands_out_the_ceremonys_public_keys(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        keys = client.public_keys()

    assert {name: key.pem for name, key in keys.items()} == {name: token.pem(name) for name in keys}
    assert {key.key_id for key in keys.values()} == {
        f"{purpose}/v1" for purpose in Purpose if not algorithm_of(purpose).is_secret
    }


def test_without_a_database_payouts_are_refused(token: SoftHsmToken, tmp_path: Path) -> None:
    with (
        token.serving(tmp_path) as enclave,
        enclave.client() as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        client.payout(
            payout_id=PAYOUT_ID,
            attempt_id=ATTEMPT_ID,
            profile="clearbank.sct",
            body=body_of(CREDIT_TRANSFER),
        )
    assert refused.value.code == "mirror_unavailable"


def test_a_peer_that_is_not_named_is_refused(token: SoftHsmToken, tmp_path: Path) -> None:
    with (
        token.serving(tmp_path, allow_uid=str(os.geteuid() + 4242)) as enclave,
        enclave.client() as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
    assert refused.value.code == "peer_refused"


def test_a_full_disk_means_no_signature_until_there_is_room(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        _, hard = resource.prlimit(enclave.process.pid, resource.RLIMIT_FSIZE)
        room = enclave.log_path.stat().st_size + 100
        resource.prlimit(enclave.process.pid, resource.RLIMIT_FSIZE, (room, hard))
        with pytest.raises(EnclaveRefused) as refused:
            client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        resource.prlimit(enclave.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        client.bank_message(profile="clearbank.webhook_ack", body=NONCE)

    assert refused.value.code == "log_unavailable"
    assert audit(enclave.log_path).stdout.startswith("4 records, head ")


def test_killed_outright_it_starts_again_and_remembers(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    origin, url = make_log(database, 3), database.url("tallystick_enclave")
    with token.serving(tmp_path, database_url=url) as enclave, enclave.client() as client:
        client.checkpoint(origin=origin, size=3, root=root_of(3))
        enclave.process.kill()
        enclave.process.wait(timeout=30)
        with pytest.raises(EnclaveUnavailable):
            client.ping()

    with (
        token.serving(tmp_path, database_url=url) as enclave,
        enclave.client() as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        client.checkpoint(origin=origin, size=2, root=root_of(2))
    assert refused.value.code == "checkpoint_rewinds"


def audit(log_path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "enclave", "audit", "--log", str(log_path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_audit_counts_a_whole_log_and_names_a_broken_line(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        whole = audit(enclave.log_path)
    enclave.log_path.write_bytes(enclave.log_path.read_bytes().replace(b'"granted"', b'"refused"'))

    broken = audit(enclave.log_path)

    assert (whole.returncode, whole.stdout[:9]) == (0, "3 records")
    assert broken.returncode == 1
    assert broken.stderr.startswith("enclave: the log is broken at line 3 (from byte ")
    assert audit(tmp_path / "absent.log").returncode == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pin": "wrong-pin-0000000000"}, "the token does not take this PIN"),
        ({"token_label": "no-such-token"}, "there is no token labelled no-such-token"),
        ({"module": "/nonexistent.so"}, "the PKCS#11 module does not start"),
        ({"log": "/nonexistent/signing.log"}, "cannot open the log"),
        ({"log": "/dev/full"}, "the log is not a regular file"),
        ({"socket": "/nonexistent/enclave.sock"}, "cannot make the socket"),
        ({"socket": "/" + "s" * 120}, "cannot make the socket"),
        ({"key_backend": "software", "production": ""}, "software keys are not for production"),
        ({"pin_fd": "987"}, "cannot read a PIN"),
        ({"database_url_fd": "987", "database_url": None}, "cannot read the database URL"),
        ({"database_url": "no address"}, "it is written postgresql://ROLE@HOST:PORT/DATABASE"),
    ],
)
def test_whatever_is_wrong_at_the_start_ends_it_in_one_line(
    token: SoftHsmToken, tmp_path: Path, options: dict[str, str | None], told: str
) -> None:
    done = token.serve_and_fail(tmp_path, **options)

    complaints = [line for line in done.stderr.splitlines() if not line.endswith(" done")]
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(complaints) == 1
    assert told in complaints[0]


def test_a_broken_chain_keeps_it_from_starting(token: SoftHsmToken, tmp_path: Path) -> None:
    (tmp_path / "signing.log").write_text("not a record\n")

    done = token.serve_and_fail(tmp_path)

    assert done.returncode == 2
    assert "broken at line 1 (from byte 0 on): the line is not a record" in done.stderr


def test_two_enclaves_do_not_share_a_log(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave:
        done = token.serve_and_fail(tmp_path, socket=str(tmp_path / "second.sock"))

        assert done.returncode == 2
        assert "another enclave holds the log" in done.stderr
        with enclave.client() as client:
            client.ping()


def test_no_pin_shows_anywhere(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        proc = Path("/proc") / str(enclave.process.pid)
        seen = [(proc / "cmdline").read_bytes(), str(token.environment).encode()]
        enclave.terminate()
        seen += [enclave.errors().encode(), enclave.log_path.read_bytes()]
    failed = token.serve_and_fail(tmp_path, pin=PIN + "x")
    seen += [failed.stderr.encode(), failed.stdout.encode()]

    assert not any(secret.encode() in text for secret in (PIN, SO_PIN) for text in seen)


def test_software_keys_serve_without_a_token(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "enclave", "serve", "--key-backend", "software"]
    command += ["--socket", str(tmp_path / "enclave.sock"), "--log", str(tmp_path / "signing.log")]
    command += ["--database-url", "postgresql://127.0.0.1:1/nowhere"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        enclave = RunningEnclave(process=process, directory=tmp_path, ready_line=process.stdout.readline())
        with enclave.client() as client:
            client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        assert enclave.terminate() == 0


def test_callers_do_not_load_a_key_back_end() -> None:
    code = (
        "import sys, enclave.client, enclave.protocol, enclave.tokens\n"
        "import enclave.notes, enclave.softhsm, enclave.log\n"
        "print([name for name in sys.modules if name.startswith(('pkcs11', 'enclave.backends', 'psycopg'))])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"
