"""A till for cards: a programme with its API in this process, and an enclave that has keys for cards."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from api.app import build_app
from api.auth import new_secret
from api.parts import Parts, build_parts
from api.settings import read_settings
from api.store import Client, insert_client
from enclave.jwe import decrypt
from enclave.protocol import SealedCard
from ledger.core.card import Card
from ledger.core.ids import CardId, ProgrammeId
from ledger.store.cards import cards_not_under
from ledger.store.rows import Page
from tests.api.door import Door
from tests.api.talk import Json, Session
from tests.conftest import Database, make_programme
from tests.enclave.card_enclave import CardEnclave, card_enclave
from tests.enclave.cards import PROCESSOR, PROCESSOR_KEY, card_text, encrypted

URL = "http://tallystick.test"


@dataclass(frozen=True, slots=True)
class Till:
    """A programme that takes cards: its API, its enclave, its database."""

    home: Path
    environment: dict[str, str]
    parts: Parts
    http: Door
    enclave: CardEnclave
    database: Database
    programme_id: ProgrammeId

    @property
    def api(self) -> Session:
        return self.session(self.programme_id)

    def session(self, programme_id: ProgrammeId, scope: str = "payments") -> Session:
        secret, digest = new_secret()
        client = Client(f"cli_{secrets.token_hex(16)}", programme_id, digest, (scope,))
        with self.parts.transactions() as tx:
            insert_client(tx, client)
        answer = self.http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client.id, secret)
        )
        return Session(self.http, answer.json()["access_token"], client.id)

    def jwe(self, **changes: Any) -> Json:
        return {"jwe": encrypted(self.enclave.keys, card_text(**changes))}

    def cards(self) -> dict[CardId, Card]:
        with self.parts.transactions() as tx:
            return {card.id: card for card in cards_not_under(tx, None, Page(None, 10_000))}

    def number_of(self, card: Card) -> str:
        """The number as the processor reads it."""
        row = SealedCard(
            card_id=card.id,
            bin=card.bin,
            last_four=card.last_four,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
            fingerprint=card.fingerprint.hex(),
            key_id=card.key_id,
            sealed=card.sealed,
        )
        sent = self.parts.enclave.card_forward(programme_id=card.programme_id, card=row, recipient=PROCESSOR)
        return str(json.loads(decrypt(sent.jwe, agree_as_processor, key_id=PROCESSOR))["pan"])


def agree_as_processor(point: bytes) -> bytes:
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return PROCESSOR_KEY.exchange(ec.ECDH(), peer)


@contextmanager
def opened(home: Path, database: Database) -> Iterator[Till]:
    (home / "banks.json").write_text("{}")
    with card_enclave(home) as enclave:
        environment = {
            "TALLYSTICK_DATABASE_URL": database.url("tallystick_app"),
            "TALLYSTICK_ENCLAVE_SOCKET": str(enclave.socket_path),
            "TALLYSTICK_PUBLIC_URL": URL,
            "TALLYSTICK_BANKS_FILE": str(home / "banks.json"),
            "TALLYSTICK_EXPORTS_DIRECTORY": str(home / "exports"),
        }
        parts = build_parts(read_settings(environment))
        with Door(build_app(parts), URL) as http:
            with parts.transactions() as tx:
                programme_id = make_programme(tx)
            yield Till(home, environment, parts, http, enclave, database, programme_id)
