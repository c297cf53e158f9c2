"""The operator: the first client, who can found programmes and nothing that moves money. Made at the command line."""

import secrets

from api.auth import Scope, new_secret
from api.parts import Parts
from api.store import Client, insert_client


def make_operator(parts: Parts) -> tuple[str, str]:
    """A new operator client: its id, and its secret, which is kept nowhere."""
    secret, digest = new_secret()
    client = Client(f"cli_{secrets.token_hex(16)}", None, digest, (Scope.OPERATE.value,))
    with parts.transactions() as tx:
        insert_client(tx, client)
    return client.id, secret
