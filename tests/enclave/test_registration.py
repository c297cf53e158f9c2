"""Putting resolutions into force on a real PostgreSQL, by the custodians' own role, and what others do to the table."""

import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

from enclave.registration import put_in_force
from enclave.resolutions import (
    EMPTY,
    ResolutionInvalid,
    ResolutionsUnavailable,
    SignedResolution,
    register_of,
)
from enclave.store import (
    RESOLUTIONS_BYTES_MAX,
    RESOLUTIONS_MAX,
    SIGNATURES_CHARS_MAX,
    DatabaseResolutions,
)
from tests.conftest import Database
from tests.enclave.council import NOON, TRIO, Minutes, admit, approver, retire, signed

NOWHERE = "postgresql://tallystick_custodian@127.0.0.1:1/x"
RACERS = 8


@pytest.fixture
def resolutions(database: Database) -> Iterator[DatabaseResolutions]:
    with DatabaseResolutions(database.url("tallystick_custodian")) as opened:
        yield opened


def add_row(database: Database, document: str, signatures: object = None) -> None:
    with psycopg.connect(database.url("tallystick_custodian")) as connection:
        connection.execute(
            "INSERT INTO key_resolutions (document, signatures) VALUES (%s, %s)",
            (document, Jsonb({} if signatures is None else signatures)),
        )


def forget_the_bounds(database: Database) -> None:
    """Whoever owns the table can have anything in it, and rows may be older than its bounds."""
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute("ALTER TABLE key_resolutions DROP CONSTRAINT key_resolutions_can_be_read")


def rows(database: Database) -> int:
    with psycopg.connect(database.url("tallystick_enclave")) as connection:
        [count] = connection.execute("SELECT count(*) FROM key_resolutions").fetchone() or [0]
        return int(count)


def test_what_was_endorsed_is_put_into_force_once(
    database: Database, resolutions: DatabaseResolutions
) -> None:
    minutes = Minutes()
    first, second = minutes.resolve(admit("identity/v1")), minutes.resolve(retire("identity/v1", NOON))

    for draft in (first, first, second, first, second):
        put_in_force(resolutions, draft, TRIO)

    assert rows(database) == 2
    with DatabaseResolutions(database.url("tallystick_enclave")) as seen_by_the_enclave:
        assert list(seen_by_the_enclave.all()) == [first, second]


def test_what_does_not_count_is_not_registered(database: Database, resolutions: DatabaseResolutions) -> None:
    one = Minutes()
    one.resolve(admit("identity/v1"))
    ahead = one.next(admit("identity/v2"))

    for draft in (
        Minutes().next(admit("identity/v1"), by=("ada",)),
        Minutes().next(admit("identity/v1"), by=("ada", "mallory")),
        Minutes().next(retire("identity/v1", NOON)),
        ahead,
        SignedResolution("", {}),
        signed("no resolution", "ada", "ben"),
    ):
        with pytest.raises(ResolutionInvalid):
            put_in_force(resolutions, draft, TRIO)

    assert rows(database) == 0


def test_of_many_at_once_one_follows(database: Database) -> None:
    drafts = [Minutes().next(admit(f"identity/v{number}")) for number in range(1, RACERS + 1)]
    together = threading.Barrier(RACERS)

    def register(draft: SignedResolution) -> bool:
        with DatabaseResolutions(database.url("tallystick_custodian")) as resolutions:
            list(resolutions.all())
            together.wait(timeout=30)
            try:
                put_in_force(resolutions, draft, TRIO)
            except ResolutionInvalid:
                return False
            return True

    with ThreadPoolExecutor(RACERS) as pool:
        outcomes = list(pool.map(register, drafts))

    assert (sum(outcomes), rows(database)) == (1, 1)
    with DatabaseResolutions(database.url("tallystick_enclave")) as resolutions:
        assert list(register_of(resolutions.all(), TRIO).keys) == [
            *register_of([drafts[outcomes.index(True)]], TRIO).keys
        ]


JUNK = [
    ("", {}),
    ("{", {}),
    ("[" * 100_000, {}),
    ("x" * 2_000_000, {}),
    ("", {"ada": "x" * 2_000_000}),
    ('{"number": NaN}', {"ada": 1, "ben": None, "cleo": ["YQ=="]}),
    ("\ufffd", {"ada": "not base64", "": "YQ==", "\n": {}}),
]


def test_junk_in_the_table_is_left_out_and_hides_nothing(
    database: Database, resolutions: DatabaseResolutions
) -> None:
    forget_the_bounds(database)
    for document, signatures in JUNK:
        add_row(database, document, signatures)
    first = Minutes().next(admit("identity/v1"))

    after = put_in_force(resolutions, first, TRIO)

    assert after.head.number == 1
    assert len(register_of(resolutions.all(), TRIO).left_out) == len(JUNK)


def test_signatures_that_are_longer_than_is_read_are_none(
    database: Database, resolutions: DatabaseResolutions
) -> None:
    first = Minutes().next(admit("identity/v1"))
    forget_the_bounds(database)
    add_row(database, first.document, {"ada": "x" * SIGNATURES_CHARS_MAX})

    assert list(resolutions.all()) == [SignedResolution(first.document, {})]


@pytest.mark.parametrize(
    ("count", "chars"), [(RESOLUTIONS_MAX, 1), (RESOLUTIONS_BYTES_MAX // 2**20, 2**20 - 2), (600, 2**20)]
)
def test_more_than_is_read_is_not_read_in_part(
    database: Database, resolutions: DatabaseResolutions, count: int, chars: int
) -> None:
    minutes = Minutes()
    put_in_force(resolutions, minutes.resolve(admit("identity/v1")), TRIO)
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute(
            "INSERT INTO key_resolutions (document, signatures)"
            " SELECT repeat('x', %s), '{}' FROM generate_series(1, %s)",
            (chars, count),
        )
    tracemalloc.start()

    with pytest.raises(ResolutionsUnavailable, match="--resolutions"):
        resolutions.all()

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * RESOLUTIONS_BYTES_MAX


def test_as_much_as_is_read_is_read_in_time(database: Database, resolutions: DatabaseResolutions) -> None:
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute(
            "INSERT INTO key_resolutions (document, signatures)"
            " SELECT repeat('x', %s - 2), '{}' FROM generate_series(1, %s)",
            (RESOLUTIONS_BYTES_MAX // RESOLUTIONS_MAX, RESOLUTIONS_MAX),
        )

    assert len(list(resolutions.all())) == RESOLUTIONS_MAX


def test_signatures_that_are_nested_without_end_are_none(
    database: Database, resolutions: DatabaseResolutions
) -> None:
    first = Minutes().next(admit("identity/v1"))
    with psycopg.connect(database.url("tallystick_custodian")) as connection:
        connection.execute(
            "INSERT INTO key_resolutions (document, signatures) VALUES (%s, %s::jsonb)",
            (first.document, '{"ada":' + "[" * 3000 + "]" * 3000 + "}"),
        )

    [read] = resolutions.all()

    assert read == SignedResolution(first.document, {})


def test_documents_may_be_signed_again_when_the_custodians_have_changed(
    resolutions: DatabaseResolutions,
) -> None:
    minutes = Minutes()
    minutes.resolve(admit("identity/v1"))
    minutes.resolve(approver("anna"))
    for draft in minutes.chain:
        put_in_force(resolutions, draft, TRIO)
    successors = type(TRIO)(2, {name: TRIO.custodians[name] for name in ("ben", "cleo")})
    assert register_of(resolutions.all(), successors).heads == EMPTY.heads

    for draft in minutes.chain:
        put_in_force(resolutions, signed(draft.document, "ben", "cleo"), successors)

    assert register_of(resolutions.all(), successors).head == minutes.head
    assert register_of(resolutions.all(), TRIO).head == minutes.head


def test_the_custodians_role_adds_and_nobody_changes(database: Database) -> None:
    add_row(database, "a document")

    for role, statement in (
        ("tallystick_custodian", "UPDATE key_resolutions SET document = 'another'"),
        ("tallystick_custodian", "DELETE FROM key_resolutions"),
        (
            "tallystick_custodian",
            "INSERT INTO key_resolutions (id, document, signatures) VALUES (0, '', '{}')",
        ),
        ("tallystick_custodian", "SELECT 1 FROM payouts"),
        ("tallystick_enclave", "INSERT INTO key_resolutions (document, signatures) VALUES ('', '{}')"),
        ("tallystick_app", "INSERT INTO key_resolutions (document, signatures) VALUES ('', '{}')"),
    ):
        with (
            pytest.raises(psycopg.errors.DatabaseError),
            psycopg.connect(database.url(role)) as connection,
        ):
            connection.execute(statement.encode())
    for statement in ("UPDATE key_resolutions SET document = ''", "TRUNCATE key_resolutions"):
        with (
            pytest.raises(psycopg.errors.RestrictViolation),
            psycopg.connect(database.url("tallystick_owner")) as connection,
        ):
            connection.execute(statement.encode())
    assert rows(database) == 1


def test_a_connection_that_ended_meanwhile_is_replaced(
    database: Database, resolutions: DatabaseResolutions
) -> None:
    put_in_force(resolutions, Minutes().next(admit("identity/v1")), TRIO)
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick enclave resolutions' AND datname = current_database()"
        )

    assert len(list(resolutions.all())) == 1


def test_a_database_that_is_not_there_says_so_and_nothing_of_its_address() -> None:
    for url in (NOWHERE, "no url", "postgresql://user:secret@127.0.0.1:1/x", "postgresql://[::1", "x=\udc80"):
        with DatabaseResolutions(url) as resolutions:
            for use in (
                resolutions.all,
                lambda: put_in_force(resolutions, signed("", "ada"), TRIO),
            ):  # called at once
                with pytest.raises(ResolutionsUnavailable) as unavailable:
                    use()
                assert "secret" not in str(unavailable.value)


def test_a_role_that_may_not_register_is_told_so(database: Database) -> None:
    with DatabaseResolutions(database.url("tallystick_enclave")) as resolutions:
        with pytest.raises(ResolutionsUnavailable, match="InsufficientPrivilege"):
            put_in_force(resolutions, Minutes().next(admit("identity/v1")), TRIO)
        assert list(resolutions.all()) == []


def test_nothing_longer_than_the_enclave_reads_can_be_registered(database: Database) -> None:
    longest = SIGNATURES_CHARS_MAX - len('{"ada": ""}')
    add_row(database, "x" * 2**20, {"ada": "x" * longest})

    for document, signatures in (
        ("x" * (2**20 + 1), {}),
        ("é" * 2**20, {}),
        ("", {"ada": "x" * (longest + 1)}),
    ):
        with (
            pytest.raises(psycopg.errors.CheckViolation),
            psycopg.connect(database.url("tallystick_custodian")) as connection,
        ):
            connection.execute(
                "INSERT INTO key_resolutions (document, signatures) VALUES (%s, %s)",
                (document, Jsonb(signatures)),
            )
