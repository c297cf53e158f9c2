"""A till for cards: a programme with its API in this process, its enclave, and the custodians of its token."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from api.app import build_app
from api.auth import new_secret
from api.operations import loaded_key_lines
from api.parts import Parts, build_parts
from api.settings import read_settings
from api.store import Client, insert_client
from api.trust import pin_enclave
from enclave.jwe import decrypt
from enclave.keys import Purpose
from enclave.protocol import PublicKey, SealedCard
from ledger.core.card import Card
from ledger.core.ids import CardId, ProgrammeId
from ledger.store.cards import cards_not_under
from ledger.store.rows import Page
from tests.api.door import Door
from tests.api.talk import Json, Session
from tests.conftest import Database, make_programme
from tests.enclave.cards import PROCESSOR, PROCESSOR_KEY, card_text, encrypted_to, pem_of
from tests.enclave.live_council import Council
from tests.enclave.modules import copy_of
from tests.enclave.process import RunningEnclave, SoftHsmToken

URL = "http://tallystick.test"


@dataclass(frozen=True, slots=True)
class Till:
    """A programme that takes cards: its API, its enclave, its database."""

    home: Path
    environment: dict[str, str]
    parts: Parts
    http: Door
    enclave: RunningEnclave
    council: Council
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
        return {"jwe": encrypted_to(self.intake, card_text(**changes))}

    @property
    def intake(self) -> PublicKey:
        return self.parts.enclave.public_keys()[Purpose.CARD_INTAKE]

    def rotate(self, purpose: Purpose = Purpose.CARD_VAULT) -> list[str]:
        """The custodians rotate a key, and the enclave takes it in by `keys load`; what that says."""
        self.council.rotate(purpose)
        return loaded_key_lines(self.parts)

    def retire(self, key_id: str, *, verify_until: datetime) -> None:
        self.council.retire(key_id, verify_until=verify_until)
        self.parts.enclave.load_keys()

    def resealed(self) -> int:
        """How often the enclave was asked to seal a card anew."""
        return (self.enclave.log_path.read_bytes()).count(b'"card_reseal"')

    def under(self) -> dict[str, int]:
        """How many cards there are under each key."""
        with self.database.owner_engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT key_id, count(*) FROM cards WHERE erased_at IS NULL GROUP BY key_id"
            )
            return {str(key_id): int(count) for key_id, count in rows}

    def cards(self) -> dict[CardId, Card]:
        with self.parts.transactions() as tx:
            return {card.id: card for card in cards_not_under(tx, None, Page(None, 10_000))}

    def number_of(self, card: Card) -> str:
        """The number as the processor reads it."""
        assert card.sealed is not None
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
def opened(home: Path, database: Database, token: SoftHsmToken) -> Iterator[Till]:
    """A till with a token of its own, so that its keys can be rotated."""
    (home / "enclave").mkdir(parents=True)
    (home / "banks.json").write_text("{}")
    (home / "processor.pem").write_text(pem_of(PROCESSOR_KEY))
    own = copy_of(token, home)
    council = Council(own, database.url("tallystick_custodian"), home / "draft.json")
    council.admit_first_keys()
    recipient = ("--card-recipient", f"{PROCESSOR}={home / 'processor.pem'}")
    url = database.url("tallystick_enclave")
    with own.serving(home / "enclave", more=recipient, database_url=url, resolutions=None) as enclave:
        pin_enclave(enclave.socket_path, home / "pins.json")
        environment = {
            "TALLYSTICK_DATABASE_URL": database.url("tallystick_app"),
            "TALLYSTICK_ENCLAVE_SOCKET": str(enclave.socket_path),
            "TALLYSTICK_ENCLAVE_PINS_FILE": str(home / "pins.json"),
            "TALLYSTICK_PUBLIC_URL": URL,
            "TALLYSTICK_BANKS_FILE": str(home / "banks.json"),
            "TALLYSTICK_EXPORTS_DIRECTORY": str(home / "exports"),
        }
        parts = build_parts(read_settings(environment))
        with Door(build_app(parts), URL) as http:
            with parts.transactions() as tx:
                programme_id = make_programme(tx)
            yield Till(home, environment, parts, http, enclave, council, database, programme_id)
