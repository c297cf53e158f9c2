"""The view of the keys that were registered: what it shows, and that junk beside them hides none."""

import psycopg

from enclave.registration import put_in_force
from enclave.store import DatabaseResolutions
from tests.conftest import Database
from tests.enclave.council import NOON, SECOND, TRIO, Minutes, admit, document_after, retire
from tests.enclave.test_registration import add_row

SELECT = "SELECT key_id, sign_until, signed_by, signatures FROM enclave_keys ORDER BY key_id, signatures"
UNREADABLE = [
    "",
    "{",
    "17",
    "null",
    '"text"',
    "{}",
    "[" * 100_000,
    '{"items": 17}',
    '{"items": {}}',
    '{"items": [17, {"kind": "admit_key", "key_id": "bank/v1"}]}',
    '{"items": [{"kind": "admit_key", "key_id": "bank/v1"}, {"kind": "admit_key", "not_before": "once"}]}',
    '{"items": [{"kind": "retire_key", "key_id": "identity/v1", "sign_until": {}}]}',
    '{"items": [{"kind": "retire_key", "key_id": "\\u0000"}]}',
]


def shown(database: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(database.url("tallystick_auditor")) as connection:
        return connection.execute(SELECT).fetchall()


def register(database: Database, minutes: Minutes) -> None:
    with DatabaseResolutions(database.url("tallystick_custodian")) as resolutions:
        for draft in minutes.chain:
            put_in_force(resolutions, draft, TRIO)


def test_it_shows_the_keys_with_who_signed_and_until_when_they_sign(database: Database) -> None:
    minutes = Minutes()
    minutes.resolve(admit("identity/v1"), admit("identity/v2"), by=("ada", "ben", "cleo"))
    minutes.resolve(retire("identity/v1", NOON + SECOND))
    minutes.resolve(retire("identity/v1", NOON))
    register(database, minutes)

    three = ["ada", "ben", "cleo"]
    assert shown(database) == [("identity/v1", NOON, three, 3), ("identity/v2", None, three, 3)]


def test_a_row_that_is_no_document_hides_nothing(database: Database) -> None:
    for document in UNREADABLE[::2]:
        add_row(database, document)
    minutes = Minutes()
    minutes.resolve(admit("identity/v1"))
    register(database, minutes)
    for document in UNREADABLE[1::2]:
        add_row(database, document)

    assert shown(database) == [("identity/v1", None, ["ada", "ben"], 2)]


def test_what_nobody_has_signed_is_shown_with_no_signatures(database: Database) -> None:
    add_row(database, document_after(Minutes().head, admit("identity/v1")))

    assert shown(database) == [("identity/v1", None, [], 0)]
