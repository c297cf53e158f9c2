"""Cards through the API: in as a JWE, out as a token; no number is kept, logged, told or shown anywhere."""

import json
import logging
import secrets
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.card_vault import reseal_card
from api.database import engine
from api.embedded import EmbeddedPostgres
from api.jobs import Jobs
from api.problems import Problem
from enclave.client import EnclaveError
from enclave.keys import Purpose
from ledger.store.cards import read_cards, save_resealed
from tests.api.card_till import Till, opened
from tests.api.talk import Json, refused
from tests.api.traces import dump, files_under, found_in
from tests.conftest import TEMPLATE, Database, make_programme
from tests.enclave.cards import AMEX, VISA, card_keys, encrypted
from tests.enclave.process import SoftHsmToken

CVV = "80514"


@pytest.fixture
def till(tmp_path: Path, database: Database, token: SoftHsmToken) -> Iterator[Till]:
    """A till of this test's own."""
    with opened(tmp_path / "till", database, token) as made:
        yield made


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres, token: SoftHsmToken
) -> Iterator[Till]:
    """A till, with one card in it, for tests that must not change anything."""
    name = f"cards_{secrets.token_hex(6)}"
    postgres.create_database(name, template=TEMPLATE)
    app, owner = engine(postgres.url("tallystick_app", name)), engine(postgres.url("tallystick_owner", name))
    home = tmp_path_factory.mktemp("cards") / "till"
    with opened(home, Database(postgres, name, app, owner), token) as made:
        made.api.make("/v1/cards", made.jwe(pan=AMEX))
        yield made
    app.dispose()
    owner.dispose()
    postgres.drop_database(name)


# In and out ------------------------------------------------------------------------------------------------------


def test_a_card_goes_in_and_a_token_comes_out(till: Till) -> None:
    answer = till.api.post("/v1/cards", till.jwe())

    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told == {
        "id": told["id"],
        "bin": "411111",
        "last_four": "1111",
        "expiry_month": 12,
        "expiry_year": 2028,
        "fingerprint": told["fingerprint"],
        "erased_at": None,
    }
    assert till.api.read(f"/v1/cards/{told['id']}") == told
    assert till.number_of(till.cards()[told["id"]]) == VISA


def test_the_same_key_with_the_same_card_gives_the_same_token(till: Till) -> None:
    api, body = till.api, till.jwe()

    first = api.post("/v1/cards", body, key="k-1")
    again = api.post("/v1/cards", body, key="k-1")

    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(till.cards()) == 1
    refused(api.post("/v1/cards", till.jwe(), key="k-1"), 422, "idempotency_key_reused")


def test_what_was_answered_is_answered_again_whatever_the_enclave_says_by_then(till: Till) -> None:
    api, body = till.api, till.jwe()
    first = api.make("/v1/cards", body, key="k-1")

    till.rotate(Purpose.CARD_INTAKE)
    till.retire("card_intake/v1", verify_until=datetime.now(UTC))

    assert api.make("/v1/cards", body, key="k-1") == first
    refused(api.post("/v1/cards", body, key="k-2"), 422, "card_key_unknown", "jwe")


def test_the_same_card_twice_is_two_tokens_with_one_fingerprint(till: Till) -> None:
    one, other = till.api.make("/v1/cards", till.jwe()), till.api.make("/v1/cards", till.jwe())

    assert one["id"] != other["id"]
    assert one["fingerprint"] == other["fingerprint"]


def test_cards_of_another_programme_are_not_found_and_have_other_fingerprints(till: Till) -> None:
    with till.parts.transactions() as tx:
        other = make_programme(tx, "other")
    stranger = till.session(other)
    ours, theirs = till.api.make("/v1/cards", till.jwe()), stranger.make("/v1/cards", till.jwe())

    assert ours["fingerprint"] != theirs["fingerprint"]
    refused(till.api.get(f"/v1/cards/{theirs['id']}"), 404, "not_found")
    refused(stranger.get(f"/v1/cards/{ours['id']}"), 404, "not_found")


def test_the_intake_key_is_a_public_jwk(shared: Till) -> None:
    key = shared.api.read("/v1/cards/intake-key")

    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["kid"]) == ("EC", "P-256", "card_intake/v1")
    assert (key["use"], key["alg"]) == ("enc", "ECDH-ES")


# Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cvv": CVV}, "card_fields_refused"),
        ({"cvc": "", "name": "Ana"}, "card_fields_refused"),
        ({"expiry_year": None}, "card_fields_refused"),
        ({"expiry_month": 13}, "card_fields_refused"),
        ({"pan": VISA[:-1] + "2"}, "card_number_refused"),
        ({"pan": "4111 1111 1111 1111"}, "card_number_refused"),
        ({"pan": ""}, "card_number_refused"),
        ({"expiry_year": 2025}, "card_expired"),
    ],
)
def test_a_card_that_is_none_is_refused_and_nothing_is_kept(shared: Till, changes: Json, code: str) -> None:
    answer = shared.api.post("/v1/cards", shared.jwe(**changes))

    refused(answer, 422, code, "jwe")
    assert len(shared.cards()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"jwe": None}, "invalid_request"),
        ({"jwe": 7}, "invalid_request"),
        ({"jwe": ""}, "invalid_request"),
        ({"jwe": "a.b.c.d.e f"}, "invalid_request"),
        ({"jwe": "A" * 2049}, "invalid_request"),
        ({"jwe": "a.b.c.d.e"}, "card_unreadable"),
        ({"jwe": "eyJhbGciOiJub25lIn0...."}, "card_unreadable"),
        ({"jwe": VISA}, "card_number_in_clear"),
        ({"pan": VISA, "cvv": CVV}, "card_number_in_clear"),
        ({"jwe": "a.b.c.d.e", "cvv": CVV}, "invalid_request"),
        ({"jwe": {"pan": AMEX}}, "card_number_in_clear"),
    ],
)
def test_what_is_no_sealed_card_is_refused(shared: Till, body: Json, code: str) -> None:
    answer = shared.api.post("/v1/cards", body)

    refused(answer, 422, code)
    assert len(shared.cards()) == 1
    assert CVV not in answer.text


def test_a_card_encrypted_to_another_key_is_refused(shared: Till) -> None:
    body = {"jwe": encrypted(card_keys())}

    refused(shared.api.post("/v1/cards", body), 422, "card_unreadable", "jwe")
    other = {"jwe": encrypted(card_keys(), version=2)}
    refused(shared.api.post("/v1/cards", other), 422, "card_key_unknown", "jwe")


@pytest.mark.parametrize("card_id", ["crd_0", "4111111111111111", "pay_" + "0" * 32, "crd_" + "0" * 32])
def test_a_card_that_is_not_there_is_not_found(shared: Till, card_id: str) -> None:
    refused(shared.api.get(f"/v1/cards/{card_id}"), 404, "not_found")


def test_cards_want_the_scope_for_payments_and_a_key(shared: Till) -> None:
    reader = shared.session(shared.programme_id, "reports")

    refused(reader.post("/v1/cards", shared.jwe()), 403, "scope_missing")
    refused(reader.get("/v1/cards/intake-key"), 403, "scope_missing")
    refused(shared.http.get("/v1/cards/intake-key"), 401, "token_missing")
    refused(shared.api.send("/v1/cards", b"{}", headers={"Idempotency-Key": ""}), 422, "invalid_request")


def test_without_an_enclave_cards_are_refused_and_may_come_again(till: Till) -> None:
    api, body = till.api, till.jwe()
    kept = api.make("/v1/cards", body, key="k-1")

    till.enclave.terminate()

    assert refused(api.post("/v1/cards", body, key="k-2"), 503, "unavailable")["retry"] == "same_key"
    refused(api.get("/v1/cards/intake-key"), 503, "unavailable")
    assert api.make("/v1/cards", body, key="k-1") == kept


# Erased ----------------------------------------------------------------------------------------------------------


def test_a_number_that_was_erased_is_gone_and_its_token_stays(till: Till) -> None:
    api = till.api
    kept, gone = api.make("/v1/cards", till.jwe(pan=AMEX)), api.make("/v1/cards", till.jwe())
    seal = till.cards()[gone["id"]].sealed
    assert seal is not None

    told = api.erase(f"/v1/cards/{gone['id']}")

    assert told.status_code == 200, told.text
    assert told.json() == gone | {"erased_at": told.json()["erased_at"]}
    assert told.json()["erased_at"] is not None
    assert api.read(f"/v1/cards/{gone['id']}") == told.json()
    assert api.read(f"/v1/cards/{kept['id']}") == kept
    assert list(till.cards()) == [kept["id"]]
    assert seal.hex().encode() not in dump(till.database)


def test_erasing_again_says_when_it_was_erased(till: Till) -> None:
    api = till.api
    place = f"/v1/cards/{api.make('/v1/cards', till.jwe())['id']}"

    first, again, replayed = api.erase(place, key="k-1"), api.erase(place), api.erase(place, key="k-1")

    assert first.json() == again.json() == replayed.json()
    assert replayed.headers["idempotent-replayed"] == "true"


def test_nobody_erases_what_is_not_his(till: Till) -> None:
    with till.parts.transactions() as tx:
        other = make_programme(tx, "other")
    stranger = till.session(other)
    card = till.api.make("/v1/cards", till.jwe())

    refused(stranger.erase(f"/v1/cards/{card['id']}"), 404, "not_found")
    refused(till.api.erase(f"/v1/cards/crd_{0:032x}"), 404, "not_found")
    refused(till.api.erase(f"/v1/cards/{VISA}"), 404, "not_found")
    refused(till.session(till.programme_id, "reports").erase(f"/v1/cards/{card['id']}"), 403, "scope_missing")
    assert till.api.read(f"/v1/cards/{card['id']}") == card


def test_an_erased_card_is_not_sealed_anew_and_never_comes_back(till: Till) -> None:
    card_id = till.api.make("/v1/cards", till.jwe())["id"]
    before = till.cards()[card_id]
    till.api.erase(f"/v1/cards/{card_id}")
    till.rotate()

    Jobs(till.parts).reseal_cards()
    with till.parts.transactions() as tx:
        erased = read_cards(tx, [card_id])[card_id]
        anew = replace(before, key_id="card_vault/v2", sealed=bytes(44))
        assert not save_resealed(tx, before, anew)

    with pytest.raises(Problem) as raised:
        reseal_card(till.parts.enclave, erased)
    assert (raised.value.status, raised.value.code) == (410, "card_erased")
    assert till.resealed() == 0
    with pytest.raises(sa.exc.DBAPIError), till.database.owner_engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE cards SET sealed = decode(repeat('00', 44), 'hex'), erased_at = NULL"
        )


# The table -------------------------------------------------------------------------------------------------------


CHANGES = (
    "bin = '51111111'",
    "last_four = '2222'",
    "expiry_year = 2030",
    "fingerprint = sha256('x')",
    "stored_at = now()",
    "key_id = 'card_vault/v2'",
    "sealed = sealed || '\\x00'",
    "key_id = 'card_vault/v2', sealed = sealed || '\\x00', last_four = '2222'",
    "sealed = NULL",
    "erased_at = now()",
    "sealed = NULL, erased_at = now(), last_four = '2222'",
    "sealed = NULL, erased_at = now(), key_id = 'card_vault/v2'",
    "key_id = 'card_vault/v2', sealed = sealed || '\\x00', erased_at = now()",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_card_is_a_fact_but_for_its_seal(shared: Till, change: str) -> None:
    before = shared.cards()

    with pytest.raises(sa.exc.DBAPIError), shared.database.owner_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE cards SET {change}")

    assert shared.cards() == before


@pytest.mark.parametrize("change", ["DELETE FROM cards", "TRUNCATE cards"])
def test_no_card_is_taken_away(shared: Till, change: str) -> None:
    with (
        pytest.raises(sa.exc.DBAPIError, match="holds facts"),
        shared.database.owner_engine.begin() as connection,
    ):
        connection.exec_driver_sql(change)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("tallystick_auditor", "SELECT sealed FROM cards"),
        ("tallystick_auditor", "SELECT fingerprint FROM cards"),
        ("tallystick_enclave", "SELECT id FROM cards"),
        ("tallystick_app", "UPDATE cards SET last_four = '2222'"),
        ("tallystick_app", "DELETE FROM cards"),
    ],
)
def test_a_role_may_do_with_cards_what_it_is_for(shared: Till, role: str, statement: str) -> None:
    pool = engine(shared.database.url(role))
    try:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), pool.begin() as connection:
            connection.exec_driver_sql(statement)
    finally:
        pool.dispose()


# Nowhere ---------------------------------------------------------------------------------------------------------


def test_no_number_and_no_security_code_is_left_anywhere(
    till: Till, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    api = till.api
    bodies: list[Json] = [
        till.jwe(),
        till.jwe(pan=AMEX),
        till.jwe(cvv=CVV),
        till.jwe(pan=VISA[:-1] + "2"),
        till.jwe(expiry_year=2025),
        {"jwe": VISA},
        {"pan": VISA, "cvv": CVV},
        {"jwe": "a.b.c.d.e", "cvv": CVV},
        {"jwe": "a.b.c.d.e", "card": {"number": AMEX}},
    ]
    told = [api.post("/v1/cards", body).content for body in bodies]
    till.rotate()
    Jobs(till.parts).reseal_cards()
    numbers = {till.number_of(card) for card in till.cards().values()}
    tampered = replace(next(iter(till.cards().values())), last_four="0000")
    with pytest.raises(EnclaveError) as raised:
        till.number_of(tampered)

    assert numbers == {VISA, AMEX}  # they are there, and sealed
    printed = capfd.readouterr()
    traces = {
        "answers": b"\n".join(told),
        "database": dump(till.database),
        "log": caplog.text.encode(),
        "records": repr([(record.args, record.msg) for record in caplog.records]).encode(),
        "signing log": till.enclave.log_path.read_bytes(),
        "error": "".join(traceback.format_exception(raised.value)).encode(),
        "output": (printed.out + printed.err).encode(),
        "command line": Path("/proc/self/cmdline").read_bytes(),
        "environment": Path("/proc/self/environ").read_bytes(),
        "files": files_under(till.home),
    }
    assert all(traces[place] for place in ("answers", "database", "log", "signing log", "error"))
    assert found_in(traces, (VISA, AMEX, VISA[:-1], VISA[6:], AMEX[4:], CVV)) == set()


def test_the_signing_log_learns_no_digit_of_a_card(till: Till) -> None:
    told = till.api.make("/v1/cards", till.jwe())

    records = [json.loads(line) for line in till.enclave.log_path.read_text().splitlines()]
    (about,) = [record["facts"] for record in records if record["purpose"] == "card_seal"]
    assert set(about) == {"peer_pid", "peer_uid", "request", "programme_id", "card_id", "sealed_under"}
    assert told["fingerprint"] not in till.enclave.log_path.read_text()
