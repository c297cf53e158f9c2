"""Keys rotated while everybody goes on asking: real enclave, token and database, and an API that is not restarted.

A process of its own makes keys on the token from which the enclave serves, custodians sign by openssl, and what they
resolved is registered in the database, as the guide says.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from api.custodians import NAMES
from api.embedded import EmbeddedPostgres
from api.jobs import Jobs
from api.operator import make_operator
from enclave.__main__ import main
from enclave.client import EnclaveClient
from enclave.drafts import read_draft
from enclave.keys import KeyAddress, Purpose, verifies
from enclave.notes import verify_checkpoint
from enclave.registration import put_in_force
from enclave.resolutions import instant_text
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions
from enclave.tokens import key_id_of, verify_access_token
from ledger.core.merkle import GrowingTree
from tests.api.installation import PUBLIC_URL, Installation, installed
from tests.api.talk import Session
from tests.api.world import open_shop
from tests.conftest import Database
from tests.enclave.logs import leaf_of, make_log
from tests.enclave.modules import copy_of
from tests.enclave.payouts import ATTEMPT_ID, CREDIT_TRANSFER, PAYOUT_ID, body_of, good_record
from tests.enclave.process import (
    PIN,
    TOKEN_LABEL,
    RunningEnclave,
    SoftHsmToken,
    eventually,
    secret_on_a_descriptor,
)
from tests.enclave.signing import NONCE
from tests.enclave.stock import make_table, store_row
from tests.partners.sandbox.bank_process import BankProcess

TALLYSTICK = Path(sys.executable).with_name("tallystick")
ROTATED = (Purpose.PAYOUT, Purpose.BANK, Purpose.ACCESS_TOKEN, Purpose.CHECKPOINT)
AHEAD = timedelta(seconds=10)
PAUSE_S = 0.01
"""Between two requests of one caller, so that two processors are enough for the custodians' commands as well."""
LEAVES = 50_000
PAYMENT = body_of(CREDIT_TRANSFER)


class RegisteredToken(SoftHsmToken):
    """A token whose first resolution is in the database, not in a directory."""

    @contextmanager
    def serving(self, enclave_directory: Path, **options: object) -> Iterator[RunningEnclave]:
        url = str(options["database_url"])
        with DatabaseResolutions(custodians_url(url)) as resolutions:
            members = read_roster(self.custodians.read_bytes())
            put_in_force(resolutions, read_draft(self.resolutions / "0001.json"), members)
        with super().serving(enclave_directory, resolutions=None, database_url=url) as enclave:
            yield enclave


def custodians_url(url: str) -> str:
    return url.replace("tallystick_enclave", "tallystick_custodian").replace(
        "tallystick_app", "tallystick_custodian"
    )


@pytest.fixture
def at(tmp_path: Path, postgres: EmbeddedPostgres, token: SoftHsmToken) -> Iterator[Installation]:
    copied = copy_of(token, tmp_path / "own")
    own = RegisteredToken(copied.module, copied.configuration, copied.directory)
    home = tmp_path / "api"
    home.mkdir()
    with installed(home, postgres, own, BankProcess(instant_delay_seconds=0.0)) as made:
        yield made


def enclave(*arguments: str | Path) -> None:
    """A command of the enclave's that needs no token, without a process for it."""
    assert main([str(argument) for argument in arguments]) == 0


@dataclass(frozen=True)
class Custodian:
    """The people who decide, at the command line."""

    at: Installation

    @property
    def url(self) -> str:
        return custodians_url(self.at.environment["TALLYSTICK_DATABASE_URL"])

    def tallystick(self, *arguments: str | Path, pin: bool = False) -> str:
        return self._run(str(TALLYSTICK), *arguments, pin=pin)

    def _run(self, *command: str | Path, pin: bool = False) -> str:
        token = self.at.token
        with ExitStack() as stack:
            at_token: list[str] = []
            if pin:
                fd = stack.enter_context(secret_on_a_descriptor(PIN))
                at_token = ["--module", str(token.module), "--token-label", TOKEN_LABEL, "--pin-fd", str(fd)]
            done = subprocess.run(
                [*map(str, command), *at_token],
                env=self.at.environment | token.environment,
                cwd=self.at.home,
                pass_fds=(fd,) if pin else (),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rotate(self, purpose: Purpose, not_before: datetime) -> None:
        """The next version is made, endorsed, registered and taken in."""
        self.tallystick(
            *("keys", "rotate", "--purpose", purpose, "--not-before", instant_text(not_before)),
            *("--public-keys", self.at.token.public_keys, *self._drafting),
            pin=True,
        )
        self._put_into_force()

    def retire(self, key_id: str) -> None:
        enclave("retire", "--key", key_id, *self._drafting)
        self._put_into_force()

    @property
    def _draft(self) -> Path:
        return self.at.home / "draft.json"

    @property
    def _drafting(self) -> list[str | Path]:
        roster: list[str | Path] = ["--custodians", self.at.token.custodians]
        return [*roster, "--database-url", self.url, "--draft", self._draft]

    def _put_into_force(self) -> None:
        text, signature = self.at.home / "text", self.at.home / "signature"
        enclave("read", "--draft", self._draft, "--signed-text", text)
        for name in NAMES:
            key = self.at.token.custodians_home / f"{name}.pem"
            openssl = ["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, text]
            subprocess.run(openssl, check=True, capture_output=True)
            endorse = ("endorse", "--draft", self._draft, "--custodian", name)
            enclave(*endorse, "--custodians", self.at.token.custodians, "--signature", signature)
        register = ("keys", "register", "--draft", self._draft, "--custodians", self.at.token.custodians)
        self.tallystick(*register, "--database-url", self.url)
        self._draft.unlink()
        self.at.parts.enclave.load_keys()


@dataclass(frozen=True, slots=True)
class Signed:
    """One answer: when it was asked for and there, the key it names, and whether a key's signature is sound."""

    asked_at: datetime
    answered_at: datetime
    key_id: str
    is_sound: Callable[[str], bool]


@dataclass(slots=True)
class Crowd:
    """Callers who ask without pause, each in a thread of his own, until they are stopped or one is refused."""

    found: dict[Purpose, list[Signed]] = field(default_factory=lambda: {purpose: [] for purpose in ROTATED})
    refusals: list[BaseException] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self, purpose: Purpose, once: Callable[[], tuple[str, Callable[[str], bool]]]) -> None:
        while not self.stopped.is_set():
            asked_at = datetime.now(UTC)
            try:
                key_id, is_sound = once()
            except BaseException as refused:  # noqa: BLE001  # whatever it is, the test names it
                self.refusals.append(refused)
                self.stopped.set()
                return
            self.found[purpose].append(Signed(asked_at, datetime.now(UTC), key_id, is_sound))
            self.stopped.wait(PAUSE_S)

    @contextmanager
    def asking(
        self, callers: dict[Purpose, Callable[[], tuple[str, Callable[[str], bool]]]]
    ) -> Iterator[None]:
        threads = [threading.Thread(target=self.ask, args=each) for each in callers.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(timeout=60)


def callers(
    at: Installation, client: EnclaveClient, origin: str
) -> dict[Purpose, Callable[[], tuple[str, Callable[[str], bool]]]]:
    """Who asks for what: three of them the enclave, one the API."""
    tree = GrowingTree()
    operator, first = make_operator(at.parts), at.operator

    def pay() -> tuple[str, Callable[[str], bool]]:
        signed = client.payout(
            payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=PAYMENT
        )
        return signed.key_id, lambda pem: verifies(
            Purpose.PAYOUT, pem, message=PAYMENT, signature=signed.signature
        )

    def write() -> tuple[str, Callable[[str], bool]]:
        signed = client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        return signed.key_id, lambda pem: verifies(
            Purpose.BANK, pem, message=NONCE, signature=signed.signature
        )

    def note() -> tuple[str, Callable[[str], bool]]:
        tree.append(leaf_of(tree.size))
        size, root = tree.size, tree.root()
        signed = client.checkpoint(origin=origin, size=size, root=root)
        return (
            signed.key_id,
            lambda pem: verify_checkpoint(signed.note, origin=origin, public_key_pem=pem).size == size,
        )

    def log_in() -> tuple[str, Callable[[str], bool]]:
        fresh = at.session(*operator)
        for session in (fresh, first):
            assert session.get("/v1/test-clock").status_code == 200
        key_id = key_id_of(fresh.token) or ""
        now = datetime.now(UTC)
        return key_id, lambda pem: bool(
            verify_access_token(fresh.token, {key_id: pem}, issuer=PUBLIC_URL, audience=PUBLIC_URL, now=now)
        )

    return {
        Purpose.PAYOUT: pay,
        Purpose.BANK: write,
        Purpose.ACCESS_TOKEN: log_in,
        Purpose.CHECKPOINT: note,
    }


@pytest.mark.slow
def test_keys_are_rotated_under_load_and_nobody_is_refused(
    at: Installation, postgres: EmbeddedPostgres
) -> None:
    name = str(conninfo_to_dict(at.environment["TALLYSTICK_DATABASE_URL"])["dbname"])
    database = Database(postgres, name, at.owner, at.owner)
    make_table(database)
    origin = make_log(database, LEAVES)
    store_row(database, good_record())
    custodian, crowd, begins = Custodian(at), Crowd(), {}
    socket = Path(at.environment["TALLYSTICK_ENCLAVE_SOCKET"])

    with EnclaveClient(socket) as client, crowd.asking(callers(at, client, origin)):
        for purpose in ROTATED:
            begins[purpose] = datetime.now(UTC).replace(microsecond=0) + AHEAD
            custodian.rotate(purpose, begins[purpose])
            assert datetime.now(UTC) < begins[purpose], "the machine is too slow for a switch that lies ahead"
        assert eventually(lambda: switched(crowd) or crowd.stopped.is_set())
        for purpose in ROTATED:
            custodian.retire(f"{purpose}/v1")
        counts = {purpose: len(found) for purpose, found in crowd.found.items()}
        assert eventually(lambda: crowd.stopped.is_set() or goes_on(crowd, counts))

    assert crowd.refusals == []
    assert f"{len(Purpose) + len(ROTATED)} keys are ready" in custodian.tallystick("keys", "load")
    for purpose in ROTATED:
        check(crowd.found[purpose], begins[purpose], public_keys(at.token, purpose))
    assert_tokens_of_both_versions_open_the_api(at)


def switched(crowd: Crowd) -> bool:
    return all(found[-1].key_id == f"{purpose}/v2" for purpose, found in crowd.found.items())


def goes_on(crowd: Crowd, counts: dict[Purpose, int]) -> bool:
    return all(len(found) > counts[purpose] + 3 for purpose, found in crowd.found.items())


def public_keys(token: SoftHsmToken, purpose: Purpose) -> dict[str, str]:
    return {
        str(KeyAddress(purpose, version)): (token.public_keys / f"{purpose}-v{version}.pem").read_text()
        for version in (1, 2)
    }


def check(found: list[Signed], begin: datetime, pems: dict[str, str]) -> None:
    """Each is signed by the key that it names, and that is the one whose time it was."""
    first, second = pems
    assert {signed.key_id for signed in found} == {first, second}
    assert all(signed.is_sound(pems[signed.key_id]) for signed in found)
    # Tokens are dated by the API's clock and signed by the enclave's: both are this machine's.
    assert {signed.key_id for signed in found if signed.answered_at < begin} == {first}
    assert {signed.key_id for signed in found if signed.asked_at >= begin} == {second}


def assert_tokens_of_both_versions_open_the_api(at: Installation) -> None:
    old, new = at.operator, at.session(*make_operator(at.parts))

    assert [key_id_of(session.token) for session in (old, new)] == ["access_token/v1", "access_token/v2"]
    for session in (old, new):
        assert session.get("/v1/test-clock").status_code == 200
    strange = Session(at.http, new.token.replace(".", ".A", 1), "nobody")
    assert strange.get("/v1/test-clock").status_code == 401


# Checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoints_of_before_and_after_a_rotation_verify(at: Installation, tmp_path: Path) -> None:
    shop, custodian = open_shop(at).fund(50_000), Custodian(at)
    pems = []
    for _ in range(2):
        Jobs(at.parts).seal_checkpoints()
        package = Path(custodian.tallystick("export", "--programme", shop.name).strip().splitlines()[-1])
        pems.append((package / "checkpoint-key.pem").read_text())
        custodian.tallystick("verify", package, "--key", at.token.public_keys / "report-v1.pem")
        if len(pems) == 1:
            custodian.rotate(Purpose.CHECKPOINT, datetime.now(UTC))
            shop.fund(1_000)

    assert pems == list(public_keys(at.token, Purpose.CHECKPOINT).values())
    both = tmp_path / "both.pem"
    both.write_text("".join(pems))
    url = at.environment["TALLYSTICK_DATABASE_URL"].replace("tallystick_app", "tallystick_auditor")
    told = custodian.tallystick("verify", "--database", url, "--checkpoint-key", both)
    assert "2 checkpoints" in told
    assert "verified:" in told
