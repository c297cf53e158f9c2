"""Asking a running enclave for something small, and looking whether it was signed."""

import subprocess
from pathlib import Path

from enclave.keys import Purpose, verifies
from tests.enclave.process import RunningEnclave, SoftHsmToken

NONCE = b'{"Nonce":3141592653}'
MANIFEST = b'{"format":"tallystick-export","files":[]}'


def ask_bank(enclave: RunningEnclave) -> bytes:
    """A signature with the bank's key over `NONCE`."""
    with enclave.client() as client:
        return client.bank_message(profile="clearbank.webhook_ack", body=NONCE).signature


def signed(token: SoftHsmToken, signature: bytes) -> bool:
    """Whether that is one by the token's key for the bank."""
    return verifies(Purpose.BANK, token.pem("bank"), message=NONCE, signature=signature)


def openssl_verifies(tmp_path: Path, *, pem: str, signature: bytes, message: bytes) -> str:
    """What OpenSSL says of an RSA or ECDSA signature over SHA-256."""
    for name, content in (("key.pem", pem.encode()), ("signature", signature), ("message", message)):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
