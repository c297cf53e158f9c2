"""What the API keeps for itself: its clients, the keys that make its writes idempotent, and the test clock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ledger.core.ids import ProgrammeId
from ledger.store.rows import insert_rows, update_rows
from ledger.store.schema import clients, idempotency_keys, test_clock
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Client:
    """Who may call the API. Without a programme it is the operator's, which founds programmes and moves no money."""

    id: str
    programme_id: ProgrammeId | None
    secret_digest: bytes
    scopes: tuple[str, ...]


def insert_client(tx: Tx, client: Client) -> None:
    """Writes a client. Its secret was shown once and is kept as a digest only."""
    statement = sa.insert(clients).values(
        id=client.id,
        programme_id=client.programme_id,
        secret_digest=client.secret_digest,
        scopes=list(client.scopes),
        created_at=tx.now,
    )
    tx.run(statement)


def read_client(tx: Tx, client_id: str) -> Client | None:
    """One client."""
    columns = (clients.c.id, clients.c.programme_id, clients.c.secret_digest, clients.c.scopes)
    row = tx.row(sa.select(*columns).where(clients.c.id == client_id))
    if row is None:
        return None
    return Client(row["id"], row["programme_id"], bytes(row["secret_digest"]), tuple(row["scopes"]))


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use of an idempotency key: by whom, for what, and with which content."""

    client_id: str
    endpoint: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class KeptReply:
    """The answer that a key was given the first time, with the fingerprint of what was asked."""

    fingerprint: bytes
    status: int
    body: str


def claim_keys(tx: Tx, uses: Sequence[KeyUse]) -> None:
    """Claims keys that nobody has used. Waits while another transaction is using one of them."""
    rows = [
        {
            "client_id": use.client_id,
            "endpoint": use.endpoint,
            "key": use.key,
            "fingerprint": use.fingerprint,
            "created_at": tx.now,
        }
        for use in sorted(uses, key=_place)
    ]
    insert_rows(tx, idempotency_keys, rows, ignore_conflicts=True)


def kept_replies(tx: Tx, uses: Sequence[KeyUse]) -> dict[tuple[str, str, str], KeptReply]:
    """The first answers to these keys; a key that was claimed just now has none."""
    found = sa.tuple_(idempotency_keys.c.client_id, idempotency_keys.c.endpoint, idempotency_keys.c.key)
    query = sa.select(
        idempotency_keys.c.client_id,
        idempotency_keys.c.endpoint,
        idempotency_keys.c.key,
        idempotency_keys.c.fingerprint,
        idempotency_keys.c.status,
        idempotency_keys.c.body,
    ).where(found.in_([_place(use) for use in uses]), idempotency_keys.c.status.is_not(None))
    return {
        (row["client_id"], row["endpoint"], row["key"]): KeptReply(
            bytes(row["fingerprint"]), row["status"], row["body"]
        )
        for row in tx.rows(query)
    }


def keep_replies(tx: Tx, replies: Mapping[tuple[str, str, str], tuple[int, str]]) -> None:
    """Keeps the answers that were given, in the transaction of their effect."""
    rows = [
        {"client_id": client_id, "endpoint": endpoint, "key": key, "status": status, "body": body}
        for (client_id, endpoint, key), (status, body) in replies.items()
    ]
    update_rows(tx, idempotency_keys, ["client_id", "endpoint", "key"], rows)


def forget_keys(tx: Tx, places: Collection[tuple[str, str, str]]) -> None:
    """Gives back keys whose request was declined: nothing was done, so nothing is left behind."""
    if places:
        found = sa.tuple_(idempotency_keys.c.client_id, idempotency_keys.c.endpoint, idempotency_keys.c.key)
        tx.run(sa.delete(idempotency_keys).where(found.in_(sorted(places))))


def read_clock_offset_us(connection: sa.Connection) -> int:
    """How far the test clock is from the system's. Units: microseconds."""
    found = connection.execute(sa.select(test_clock.c.offset_us)).scalar_one_or_none()
    return int(found or 0)


def set_clock(tx: Tx, *, now: datetime, system_now: datetime) -> None:
    """Moves the test clock; it ticks on from there."""
    offset_us = int((now - system_now).total_seconds() * 1_000_000)
    statement = postgresql.insert(test_clock).values(only_row=True, offset_us=offset_us)
    tx.run(statement.on_conflict_do_update(index_elements=["only_row"], set_={"offset_us": offset_us}))


def _place(use: KeyUse) -> tuple[str, str, str]:
    return use.client_id, use.endpoint, use.key
