"""Who may call the bank, and which request ids they have used up."""

import hashlib

from partners.sandbox.store.database import Tx


def register_client(tx: Tx, *, token: str, public_key_pem: str, registered_at: str) -> None:
    """Let a token in, with the key that signs for it; registering it again replaces the key."""
    tx.execute(
        "INSERT INTO clients (token_digest, public_key_pem, registered_at) VALUES (?, ?, ?)"
        " ON CONFLICT (token_digest) DO UPDATE SET public_key_pem = excluded.public_key_pem",
        (_digest(token), public_key_pem, registered_at),
    )


def find_client_key(tx: Tx, token: str) -> str | None:
    """The public key that belongs to a token, or None for a token nobody registered."""
    row = tx.execute(
        "SELECT public_key_pem FROM clients WHERE token_digest = ?", (_digest(token),)
    ).fetchone()
    return None if row is None else str(row["public_key_pem"])


def list_client_keys(tx: Tx) -> list[str]:
    return [str(row["public_key_pem"]) for row in tx.execute("SELECT DISTINCT public_key_pem FROM clients")]


def use_up_request_id(tx: Tx, request_id: str, *, target: str, seen_at: str) -> None:
    """Take a request id for good."""
    tx.execute(
        "INSERT INTO requests (request_id, target, seen_at) VALUES (?, ?, ?)", (request_id, target, seen_at)
    )


def count_repeat(tx: Tx, request_id: str) -> bool:
    """Remember that a used-up request id came once more; False when it is new."""
    return (
        tx.execute("UPDATE requests SET repeats = repeats + 1 WHERE request_id = ?", (request_id,)).rowcount
        > 0
    )


def count_repeats(tx: Tx) -> dict[str, int]:
    """How often each request id came again after its first time."""
    rows = tx.execute("SELECT request_id, repeats FROM requests WHERE repeats > 0")
    return {str(row["request_id"]): int(row["repeats"]) for row in rows}


def forget_request_ids(tx: Tx, *, seen_before: str) -> None:
    """Drop old ids, except those of payment orders, which stay countable."""
    tx.execute(
        "DELETE FROM requests WHERE seen_at < ? AND request_id NOT IN (SELECT request_id FROM payments)",
        (seen_before,),
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
