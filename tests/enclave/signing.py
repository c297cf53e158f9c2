"""Asking a running enclave for something small, and looking whether it was signed."""

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
