"""An access token, as a shop would have it issued."""

from datetime import datetime, timedelta

from enclave.client import EnclaveClient


def issue_token(client: EnclaveClient, *, now: datetime, lifetime_s: int = 600) -> str:
    """The token that the enclave issues to the client `shop`."""
    return client.access_token(
        client_id="shop",
        programme_id="prg_universal",
        scopes=["checkouts:write"],
        audience="api",
        issuer="us",
        issued_at=now,
        expires_at=now + timedelta(seconds=lifetime_s),
        token_id="tok_1",
    ).token
