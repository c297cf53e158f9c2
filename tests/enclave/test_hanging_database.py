"""A database that hangs or crawls: who needs it is refused before long, and who does not need it is answered."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from api.jobs import origin
from enclave.client import EnclaveClient, EnclaveRefused
from enclave.database import COMMAND_S
from enclave.facts import FactsUnavailable
from enclave.keyring import Custodians, Keyring
from enclave.log import LogHead
from enclave.logbook import Logbook
from enclave.mirror import HeadsUnavailable, Mirror
from enclave.patience import QUICK_S, ROUND_S, Patience
from enclave.policy import Conditions, Limits
from enclave.registration import put_in_force
from enclave.resolutions import ResolutionsUnavailable, SignedResolution
from enclave.server import Server
from enclave.store import DatabaseFacts, DatabaseHeads, DatabaseLeaves, DatabaseResolutions
from tests.conftest import Database
from tests.enclave.council import TRIO, Minutes, approver
from tests.enclave.hanging import backends, held, postmaster, silent_database, slow_database
from tests.enclave.logs import make_log, root_of
from tests.enclave.payouts import ATTEMPT_ID, CREDIT_TRANSFER, PAYOUT_ID, body_of
from tests.enclave.process import eventually
from tests.enclave.rings import software_keyring
from tests.enclave.shop_token import issue_token
from tests.enclave.test_keyring import Vault

pytestmark = pytest.mark.slow

SOON_S = 8
"""More than any request may have to wait for the database, with much to spare; a hanging one hangs for good."""
TIMES = 20
LATE_S = 0.3
ORIGIN = origin("pay-eu")
HEAD = LogHead(count=1, hash="0" * 64)
UNANSWERED = (FactsUnavailable, HeadsUnavailable, ResolutionsUnavailable)
FACTS, LEAVES = "tallystick enclave", "tallystick enclave leaves"
HEADS, RESOLUTIONS = "tallystick enclave heads", "tallystick enclave resolutions"


@contextmanager
def serving(
    directory: Path, database_url: str, keyring: Keyring | None = None, patience: Patience | None = None
) -> Iterator[Path]:
    """The socket of an enclave in this process, with software keys and everything else as it is."""

    def now() -> datetime:
        return datetime.now(UTC)

    patience = patience or Patience()
    with (
        Logbook.open(directory / "signing.log", now=now()) as logbook,
        DatabaseFacts(database_url, patience=patience) as facts,
        DatabaseLeaves(database_url, patience=patience) as leaves,
        DatabaseHeads(database_url, name="enclave", patience=patience) as heads,
        Server(
            socket_path=directory / "enclave.sock",
            keyring=keyring or software_keyring(),
            facts=facts,
            leaves=leaves,
            logbook=logbook,
            clock=now,
            limits=Limits(),
            conditions=Conditions(),
            approvers=dict,
            mirror=Mirror(logbook, heads),
            patience=patience,
        ) as server,
    ):
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield directory / "enclave.sock"
        finally:
            server.stop()
            thread.join(timeout=30)
            assert not thread.is_alive()


@dataclass(frozen=True)
class Caller:
    """Somebody with a connection of his own."""

    socket: Path

    def payout(self) -> str:
        body = body_of(CREDIT_TRANSFER)
        return self._told(
            lambda client: client.payout(
                payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=body
            )
        )

    def checkpoint(self, size: int) -> str:
        return self._told(lambda client: client.checkpoint(origin=ORIGIN, size=size, root=root_of(size)))

    def load(self) -> str:
        return self._told(lambda client: client.load_keys())

    def token(self) -> str:
        return self._told(lambda client: issue_token(client, now=datetime.now(UTC)))

    def _told(self, ask: Callable[[EnclaveClient], object]) -> str:
        with EnclaveClient(self.socket, timeout_s=30) as client:
            try:
                ask(client)
            except EnclaveRefused as refused:
                return refused.code
            return "done"


def seconds(ask: Callable[[], object]) -> float:
    begun_s = time.monotonic()
    ask()
    return time.monotonic() - begun_s


def answers_others_meanwhile(caller: Caller, ask: Callable[[], str], refusal: str) -> None:
    """Whoever asks for what hangs is refused, and another is answered; after that nobody waits any more."""
    told: list[str] = []
    needs_it = threading.Thread(target=lambda: told.append(ask()))
    begun_s = time.monotonic()
    needs_it.start()

    assert caller.token() == "done"
    assert time.monotonic() - begun_s < SOON_S
    needs_it.join(timeout=SOON_S)
    assert told == [refusal]
    assert seconds(lambda: [ask() for _ in range(TIMES)]) < SOON_S


def test_while_payouts_cannot_be_read_tokens_are_signed(stocked: Database, tmp_path: Path) -> None:
    with serving(tmp_path, stocked.url("tallystick_enclave")) as socket:
        caller = Caller(socket)
        assert caller.payout() == "done"

        with held(backends(stocked, FACTS)):
            answers_others_meanwhile(caller, caller.payout, "facts_unavailable")

        assert eventually(lambda: caller.payout() == "done")


def test_while_leaves_cannot_be_read_tokens_are_signed(database: Database, tmp_path: Path) -> None:
    make_log(database, 2)

    with serving(tmp_path, database.url("tallystick_enclave")) as socket:
        caller = Caller(socket)
        assert caller.checkpoint(1) == "done"

        with held(backends(database, LEAVES)):
            answers_others_meanwhile(caller, lambda: caller.checkpoint(2), "facts_unavailable")

        assert eventually(lambda: caller.checkpoint(2) == "done")


def test_while_a_head_cannot_be_kept_tokens_are_signed(database: Database, tmp_path: Path) -> None:
    waits: list[float] = []
    make_log(database, 2)

    with serving(tmp_path, database.url("tallystick_enclave")) as socket:
        caller = Caller(socket)
        assert caller.checkpoint(1) == "done"

        def had_to_wait() -> bool:
            waits.append(seconds(lambda: caller.token() == "done"))
            return waits[-1] >= QUICK_S

        with held(backends(database, HEADS)):
            assert eventually(had_to_wait)
        assert eventually(lambda: caller.checkpoint(2) == "done")

    assert max(waits) < SOON_S


def test_while_resolutions_cannot_be_read_tokens_are_signed(database: Database, tmp_path: Path) -> None:
    vault, patience = Vault(), Patience()
    vault.resolve(vault.made("access_token/v1"))
    with DatabaseResolutions(database.url("tallystick_custodian")) as table:
        put_in_force(table, vault.table.minutes.chain[0], TRIO)

    with (
        DatabaseResolutions(database.url("tallystick_enclave"), patience=patience) as resolutions,
        serving(
            tmp_path,
            database.url("tallystick_enclave"),
            Keyring(vault.token, Custodians(resolutions, TRIO)),
            patience,
        ) as socket,
    ):
        caller = Caller(socket)
        assert caller.token() == "done"

        with held(backends(database, RESOLUTIONS)):
            answers_others_meanwhile(caller, caller.load, "register_unavailable")


@contextmanager
def held_whole(database: Database) -> Iterator[str]:
    """A real database that lets nobody in."""
    with held([postmaster(database)]):
        yield database.url("tallystick_enclave")


@pytest.mark.parametrize("is_real", [True, False])
def test_an_enclave_whose_database_hangs_from_the_start_signs_tokens(
    database: Database, tmp_path: Path, *, is_real: bool
) -> None:
    hanging: AbstractContextManager[str] = held_whole(database) if is_real else silent_database()

    with hanging as url, serving(tmp_path, url) as socket:
        caller = Caller(socket)
        answers_others_meanwhile(caller, lambda: caller.checkpoint(1), "mirror_unavailable")
        answers_others_meanwhile(caller, caller.payout, "mirror_unavailable")


@contextmanager
def stores(url: str, patience: Patience | None = None) -> Iterator[list[Callable[[], object]]]:
    """Every question that the enclave has for the database, each over a connection of its own."""
    with (
        DatabaseFacts(url, patience=patience) as facts,
        DatabaseLeaves(url, patience=patience) as kept,
        DatabaseLeaves(url, patience=patience) as leaves,
        DatabaseHeads(url, name="enclave", patience=patience) as latest,
        DatabaseHeads(url, name="enclave", patience=patience) as heads,
        DatabaseResolutions(url, patience=patience) as resolutions,
    ):
        yield [
            lambda: facts.payouts([PAYOUT_ID]),
            lambda: kept.kept(ORIGIN, size_max=1),
            lambda: leaves.hashes(ORIGIN, start=0, end=1),
            latest.latest,
            lambda: heads.keep(HEAD),
            resolutions.all,
        ]


def unanswered(ask: Callable[[], object]) -> float:
    """For how long somebody waits who has no answer in the end."""

    def ask_in_vain() -> None:
        with pytest.raises(UNANSWERED):
            ask()

    return seconds(ask_in_vain)


@pytest.mark.parametrize("first", range(6))
def test_one_question_that_meets_silence_ends_and_no_other_is_put_for_a_while(first: int) -> None:
    patience = Patience()
    with silent_database() as url, stores(url, patience) as questions:
        assert ROUND_S <= unanswered(questions[first]) < SOON_S
        for ask in questions:
            patience.begin_round()
            assert unanswered(ask) < QUICK_S


def test_a_command_that_meets_silence_ends() -> None:
    with silent_database() as url, DatabaseResolutions(url) as table:
        draft = Minutes().next(approver("anna"))

        assert COMMAND_S <= unanswered(lambda: put_in_force(table, draft, TRIO)) < SOON_S


def test_a_command_goes_on_with_a_database_that_crawls(database: Database) -> None:
    with slow_database(database, LATE_S) as (url, slow), DatabaseHeads(url, name="enclave") as heads:
        slow.is_late.set()

        for count in range(1, 5):
            head = LogHead(count=count, hash="0" * 64)
            heads.keep(head)
            assert heads.latest() == head


def test_all_questions_of_a_round_share_its_patience(database: Database) -> None:
    patience = Patience()
    with slow_database(database, LATE_S) as (url, slow), stores(url, patience) as questions:
        for ask in questions:
            patience.begin_round()
            ask()
        slow.is_late.set()
        patience.begin_round()

        def ask_all() -> None:
            for ask in questions * TIMES:
                with suppress(*UNANSWERED):
                    ask()

        assert 3 * LATE_S <= seconds(ask_all) < 2 * ROUND_S


def test_a_database_that_answers_is_asked_whatever_else_failed(database: Database) -> None:
    patience = Patience()
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute("REVOKE ALL ON enclave_payouts FROM tallystick_enclave")

    with stores(database.url("tallystick_enclave"), patience) as (facts, _, leaves, *_):
        for _ in range(TIMES):
            patience.begin_round()
            with pytest.raises(FactsUnavailable):
                facts()
            assert leaves() == []


def test_a_database_that_crawls_costs_others_a_second_and_then_nothing_for_a_while(
    database: Database, tmp_path: Path
) -> None:
    make_log(database, 2 * TIMES)
    with slow_database(database, LATE_S) as (url, slow), serving(tmp_path, url) as socket:
        caller = Caller(socket)
        assert caller.checkpoint(1) == "done"
        asking = [threading.Thread(target=caller.checkpoint, args=(size,)) for size in range(2, TIMES)]
        slow.is_late.set()
        for each in asking:
            each.start()

        assert seconds(lambda: [caller.token() for _ in range(TIMES)]) < 2 * ROUND_S + QUICK_S
        for each in asking:
            each.join(timeout=SOON_S)
            assert not each.is_alive()
        asked = slow.answers
        assert caller.checkpoint(2 * TIMES) == "facts_unavailable"
        assert caller.payout() == "facts_unavailable"
        assert slow.answers == asked

        slow.is_late.clear()
        assert eventually(lambda: caller.checkpoint(2 * TIMES) == "done")


def test_a_document_that_is_too_large_to_be_sent_to_a_server_that_hangs_is_given_up(
    database: Database,
) -> None:
    with DatabaseResolutions(database.url("tallystick_custodian")) as resolutions:
        assert list(resolutions.all()) == []

        document = SignedResolution("x" * 100_000_000, {})
        with held(backends(database, RESOLUTIONS)):
            assert COMMAND_S <= unanswered(lambda: resolutions.add(document)) < SOON_S
