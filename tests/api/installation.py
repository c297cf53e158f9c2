"""One installation for tests: a database, an enclave process, a sandbox bank, and the API in this process.

Nothing is replaced: what a caller would send over the network is sent through the same door, and jobs are kept by the
worker's own methods, one after another and in this process, so that a test knows when they are done. The bank has no
address to send its notices to; a test takes them from the bank's log and delivers them, signed with the bank's key.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import httpx
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import FastAPI

from api.app import build_app
from api.bank_desk import OpenedAccount, open_account
from api.database import engine
from api.embedded import EmbeddedPostgres
from api.operator import make_operator
from api.parts import Parts, build_parts
from api.settings import Settings, read_settings
from api.trust import pin_enclave
from tests.api.door import Door
from tests.api.promises import keep_promises
from tests.api.talk import Json, Session
from tests.conftest import MONDAY_MORNING, TEMPLATE
from tests.enclave.process import SoftHsmToken
from tests.partners.sandbox.bank_process import BankProcess, wait_for

PUBLIC_URL = "http://tallystick.test"
BANK = "sandbox"
Rows = dict[str, tuple[int, int]]


class SettableClock:
    """The machine's time, moved by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(slots=True)
class Bank:
    """The bank's own desk, and its post."""

    http: httpx.Client
    key: rsa.RSAPrivateKey
    token: str
    socket: Path
    events: list[Json] = field(default_factory=list)

    def set_clock(self, now: datetime) -> None:
        self.http.post("/sandbox/clock", json={"now": now.isoformat()}).raise_for_status()

    def open_account(self, kind: str, label: str) -> OpenedAccount:
        return open_account(
            bank_url=str(self.http.base_url).rstrip("/"),
            token=self.token,
            enclave_socket=self.socket,
            label=label,
            owner="Pay EU B.V.",
            kind=kind,
        )

    def order(self, path: str, order: Json, *, amount_minor: int) -> Json:
        """An order at the desk; its amount is written in euros, never computed as a float."""
        amount = f"{amount_minor // 100}.{amount_minor % 100:02d}"
        content = json.dumps(order)[:-1] + f', "amount": {amount}}}'
        answer = self.http.post(path, content=content, headers={"Content-Type": "application/json"})
        return dict(answer.raise_for_status().json())

    def pay_in(self, iban: str, amount_minor: int, *, debtor_name: str = "Ana Moreau") -> bytes:
        """Money from another bank arrives; the notice that says so."""
        end_to_end_id = f"IN-{secrets.token_hex(8)}"
        order = {
            "creditorIban": iban,
            "endToEndId": end_to_end_id,
            "reference": "Top up",
            "debtorName": debtor_name,
            "debtorIban": "FR1420041010050500013M02606",
        }
        self.order("/sandbox/inbound", order, amount_minor=amount_minor)
        return self.notice("Sepa.Ct.InboundPayment.Completed", end_to_end_id)

    def notice(self, type_: str, end_to_end_id: str | None = None, *, after: int = 0) -> bytes:
        """The newest notice of a type (about a payment), once the bank has written it behind a place in its log."""
        return wait_for(f"{type_} about {end_to_end_id}", lambda: self._find(type_, end_to_end_id, after))

    def written(self) -> int:
        """How far the bank's log of notices reaches."""
        last = self.events[-1]["seq"] if self.events else 0
        self.events += self.http.get(f"/sandbox/events?after={last}").raise_for_status().json()["events"]
        return int(self.events[-1]["seq"]) if self.events else 0

    def sign(self, body: bytes) -> str:
        return base64.b64encode(self.key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()

    def _find(self, type_: str, end_to_end_id: str | None, after: int) -> bytes | None:
        self.written()
        for event in reversed(self.events):
            if event["seq"] <= after:
                return None
            if event["type"] == type_ and end_to_end_id in {None, event["endToEndId"]}:
                return str(event["body"]).encode()
        return None


@dataclass(slots=True)
class Installation:
    """Everything a test may look at or speak to."""

    home: Path
    settings: Settings
    environment: dict[str, str]
    parts: Parts
    app: FastAPI
    http: Door
    bank: Bank
    clock: SettableClock
    owner: sa.Engine
    token: SoftHsmToken
    operator: Session = field(init=False)

    def __post_init__(self) -> None:
        self.operator = self.session(*make_operator(self.parts))

    def session(self, client_id: str, secret: str, scope: str = "") -> Session:
        """A client's session, with a fresh token."""
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        answer = self.http.post("/oauth/token", data=form, auth=(client_id, secret))
        assert answer.status_code == 200, answer.text
        return Session(self.http, answer.json()["access_token"], client_id)

    def deliver(self, body: bytes, *, signature: str | None = None) -> httpx.Response:
        """The bank's notice at our door."""
        headers = {"DigitalSignature": signature or self.bank.sign(body), "Content-Type": "application/json"}
        return self.http.post(f"/webhooks/banks/{BANK}", content=body, headers=headers)

    def hear(self, body: bytes) -> None:
        """A notice is delivered, and all that follows from it is done."""
        assert self.deliver(body).status_code == 200
        keep_promises(self.parts)

    def set_clock(self, now: datetime) -> None:
        """Moves the business time of the book and of the bank."""
        self.bank.set_clock(now)
        assert self.operator.post("/v1/test-clock", {"now": now.isoformat()}).status_code == 200

    def next_morning(self) -> date:
        """Turns both clocks to six o'clock of the next day; the day that is over then, in the bank's calendar."""
        today = self.now().date()
        self.set_clock(datetime.combine(today + timedelta(days=1), time(6), UTC))
        return today

    def now(self) -> datetime:
        """Business time."""
        return datetime.fromisoformat(self.operator.get("/v1/test-clock").json()["now"])

    def rows(self) -> Rows:
        """Every table: how many rows it has, and a sum over their contents."""
        with self.owner.connect() as connection:
            names = connection.execute(
                sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ).scalars()
            each = [
                f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)"
                f' FROM "{name}" t'
                for name in names
            ]
            found = connection.execute(sa.text(" UNION ALL ".join(each)))
            return {name: (int(count), int(content)) for name, count, content in found}

    @contextmanager
    def only_changes(self, *tables: str) -> Iterator[None]:
        """What happens inside adds, changes or removes no row of any table but these; and does touch each of them."""
        before = self.rows()
        yield
        after = self.rows()
        # The enclave keeps its log's head by itself, a second after any signature.
        changed = {name for name in after if after[name] != before.get(name)} - {"enclave_heads"}
        assert changed == set(tables)

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """What happens inside leaves every row of every table as it was."""
        with self.only_changes():
            yield


@contextmanager
def installed(
    home: Path, postgres: EmbeddedPostgres, token: SoftHsmToken, bank: BankProcess, **conditions: str
) -> Iterator[Installation]:
    """A fresh installation at a fresh bank, on a Monday morning, with an operator and nobody else.

    `conditions` are options of the enclave.
    """
    name = f"api_{secrets.token_hex(6)}"
    postgres.create_database(name, template=TEMPLATE)
    owner = engine(postgres.url("tallystick_owner", name), pool_size=1)
    enclave_home = home / "enclave"
    enclave_home.mkdir()
    with (
        bank.start(home / "bank"),
        token.serving(
            enclave_home, database_url=postgres.url("tallystick_enclave", name), **conditions
        ) as enclave,
        httpx.Client(base_url=bank.url, trust_env=False, timeout=20) as bank_http,
    ):
        desk = _introduce(bank_http, home, token, enclave.socket_path)
        desk.set_clock(MONDAY_MORNING)
        environment = {
            "TALLYSTICK_DATABASE_URL": postgres.url("tallystick_app", name),
            "TALLYSTICK_ENCLAVE_SOCKET": str(enclave.socket_path),
            "TALLYSTICK_ENCLAVE_PINS_FILE": str(home / "enclave-pins.json"),
            "TALLYSTICK_PUBLIC_URL": PUBLIC_URL,
            "TALLYSTICK_BANKS_FILE": str(home / "banks.json"),
            "TALLYSTICK_EXPORTS_DIRECTORY": str(home / "exports"),
            "TALLYSTICK_CLOCK": "test",
        }
        settings = read_settings(environment)
        pin_enclave(enclave.socket_path, home / "enclave-pins.json")
        clock = SettableClock()
        parts = build_parts(settings, wall_clock=clock)
        app = build_app(parts)
        with Door(app, PUBLIC_URL) as http:
            made = Installation(home, settings, environment, parts, app, http, desk, clock, owner, token)
            made.set_clock(MONDAY_MORNING)
            yield made
    owner.dispose()
    postgres.drop_database(name)


def _introduce(http: httpx.Client, home: Path, token: SoftHsmToken, socket: Path) -> Bank:
    """The bank learns our key and we learn its; the settings then name both."""
    words = secrets.token_urlsafe(16)
    payout_words = secrets.token_urlsafe(16)
    for purpose, said in {"bank": words, "payout": payout_words}.items():
        client = {"token": said, "publicKeyPem": token.pem(purpose)}
        http.post("/sandbox/clients", json=client).raise_for_status()
        (home / f"{purpose}-token").write_text(said)
    (home / "bank-key.pem").write_bytes(http.get("/sandbox/public-key").raise_for_status().content)
    reached = {
        "adapter": "clearbank",
        "base_url": str(http.base_url).rstrip("/"),
        "token_file": str(home / "bank-token"),
        "payout_token_file": str(home / "payout-token"),
        "webhook_key_file": str(home / "bank-key.pem"),
    }
    (home / "banks.json").write_text(json.dumps({BANK: reached}))
    key = load_pem_private_key((home / "bank" / "webhook-key.pem").read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Bank(http, key, words, socket)
