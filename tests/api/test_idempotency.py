"""Idempotency keys: one effect and one answer for one key, however often and however fast the request comes."""

import json
import secrets

import pytest
import sqlalchemy as sa

from tests.api.talk import Json, refused
from tests.api.world import Shop, part, programme_body

AT_ONCE = 30
NO_KEYS = ("", " ", '""', "a b", "a\tb", "é", "\x7f", "a" * 256, '"a b"')


def keyed(shop: Shop, path: str, body: Json | None, key: str) -> Json:
    """A request to be sent with others at once."""
    headers = {"Authorization": f"Bearer {shop.api.token}", "Idempotency-Key": key}
    return {"method": "POST", "url": path, "json": body, "headers": headers}


def test_same_request_again_gets_the_first_answer_and_has_no_second_effect(shop: Shop) -> None:
    cart, key = shop.cart(), secrets.token_hex(8)
    first = shop.api.post("/v1/checkouts", cart, key=key)

    with shop.at.nothing_changes():
        again = [shop.api.post("/v1/checkouts", cart, key=key) for _ in range(3)]

    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    for answer in again:
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        assert answer.headers["idempotent-replayed"] == "true"


def test_same_content_written_otherwise_is_the_same_request(shop: Shop) -> None:
    cart, key = shop.cart(), secrets.token_hex(8)
    first = shop.api.post("/v1/checkouts", cart, key=key)

    with shop.at.nothing_changes():
        turned = shop.api.post("/v1/checkouts", dict(reversed(cart.items())), key=key)
        quoted = shop.api.post("/v1/checkouts", cart, key=f'"{key}"')

    assert turned.content == quoted.content == first.content


def test_reused_key_with_another_body_is_refused(shop: Shop) -> None:
    key = secrets.token_hex(8)
    shop.api.make("/v1/checkouts", shop.cart(2_000), key=key)

    with shop.at.nothing_changes():
        answers = [shop.api.post("/v1/checkouts", shop.cart(amount), key=key) for amount in (2_000, 1_000)]

    for answer in answers:
        refused(answer, 422, "idempotency_key_reused")


def test_reused_key_for_another_checkout_is_refused(shop: Shop) -> None:
    key, first, second = secrets.token_hex(8), shop.authorised(), shop.authorised()
    shop.api.make(f"/v1/checkouts/{first['id']}/captures", part(100), key=key)

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{second['id']}/captures", part(100), key=key)

    refused(answer, 422, "idempotency_key_reused")


def test_one_key_at_two_endpoints_is_two_keys(shop: Shop) -> None:
    key, checkout = secrets.token_hex(8), shop.authorised()

    captured = shop.api.post(f"/v1/checkouts/{checkout['id']}/captures", part(100), key=key)
    refunded = shop.api.post(f"/v1/checkouts/{checkout['id']}/refunds", part(100), key=key)

    assert (captured.status_code, refunded.status_code) == (201, 201)


@pytest.mark.parametrize(
    "path",
    ["/v1/parties", "/v1/sanctions-lists", "/v1/virtual-ibans", "/v1/checkouts", "/v1/payouts", "/v1/sweeps",
     "/v1/statement-requests", "/v1/reconciliations", "/v1/exports"],
)  # fmt: skip
def test_write_without_a_key_is_refused(shared_shop: Shop, path: str) -> None:
    bodies: dict[str, Json] = {
        "/v1/parties": {"role": "customer", "name": "Maria Silva", "reference": "maria"},
        "/v1/sanctions-lists": {"name": "l", "legal_basis": "un", "csv": "entry,name\nE,Somebody\n"},
        "/v1/virtual-ibans": {"party_id": shared_shop.ana["id"]},
        "/v1/checkouts": shared_shop.cart(),
        "/v1/payouts": shared_shop.payout(),
        "/v1/sweeps": shared_shop.sweep(),
        "/v1/statement-requests": {"day": "2026-11-13"},
    }
    headers = {"Authorization": f"Bearer {shared_shop.api.token}"}

    with shared_shop.at.nothing_changes():
        answer = shared_shop.at.http.post(path, json=bodies.get(path), headers=headers)

    assert refused(answer, 400, "idempotency_key_missing")["retry"] == "new_key"


def test_operators_write_without_a_key_is_refused(shared_shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shared_shop.at.operator.token}"}
    founded = programme_body(shared_shop.safeguarding, shared_shop.operating)

    with shared_shop.at.nothing_changes():
        answers = [
            shared_shop.at.http.post("/v1/programmes", json=founded, headers=headers),
            shared_shop.at.http.post(
                f"/v1/programmes/{shared_shop.programme_id}/clients",
                json={"scopes": ["reports"]},
                headers=headers,
            ),
        ]

    for answer in answers:
        refused(answer, 400, "idempotency_key_missing")


@pytest.mark.parametrize("key", NO_KEYS)
def test_key_that_is_none_is_refused(shared_shop: Shop, key: str) -> None:
    with shared_shop.at.nothing_changes():
        answer = shared_shop.api.send(
            "/v1/checkouts",
            json.dumps(shared_shop.cart()),
            headers={"Idempotency-Key": key.encode("latin-1")},
        )

    code = "idempotency_key_missing" if not key.strip(' "') else "idempotency_key_invalid"
    refused(answer, 400, code)


def test_many_at_once_under_one_key_are_one_effect_and_one_answer(shop: Shop) -> None:
    cart, key = shop.cart(), secrets.token_hex(8)
    before = shop.available(shop.ana)

    answers = shop.at.http.at_once([keyed(shop, "/v1/checkouts", cart, key)] * AT_ONCE)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert shop.available(shop.ana) == before - 2_000


def test_many_at_once_under_one_key_with_other_bodies_are_one_effect(shop: Shop) -> None:
    key = secrets.token_hex(8)
    carts = [shop.cart(1_000 + number) for number in range(AT_ONCE)]
    before = shop.available(shop.ana)

    answers = shop.at.http.at_once([keyed(shop, "/v1/checkouts", cart, key) for cart in carts])

    [done] = [answer.json() for answer in answers if answer.status_code == 201]
    assert shop.available(shop.ana) == before - done["amount_minor"]
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 422, "idempotency_key_reused")


def test_captures_at_once_never_take_more_than_was_authorised(shop: Shop) -> None:
    checkout = shop.authorised(2_000)
    path = f"/v1/checkouts/{checkout['id']}/captures"

    answers = shop.at.http.at_once(
        [keyed(shop, path, part(300), secrets.token_hex(8)) for _ in range(AT_ONCE)]
    )

    done = [answer for answer in answers if answer.status_code == 201]
    assert len(done) == 6
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 409, "exceeds_authorised", "lines")
    assert (shop.balance(shop.ana), shop.available(shop.ana)) == (48_200, 48_000)


def test_declined_request_frees_its_key(shop: Shop) -> None:
    key, checkout = secrets.token_hex(8), shop.authorised(2_000)
    path = f"/v1/checkouts/{checkout['id']}/captures"
    with shop.at.nothing_changes():
        refused(shop.api.post(path, part(2_001), key=key), 409, "exceeds_authorised")

    mended = shop.api.post(path, part(2_000), key=key)

    assert mended.status_code == 201
    assert "idempotent-replayed" not in mended.headers


def test_request_that_was_never_read_frees_its_key(shop: Shop) -> None:
    key = secrets.token_hex(8)
    with shop.at.nothing_changes():
        refused(
            shop.api.post("/v1/checkouts", shop.cart() | {"payer": "ana"}, key=key), 422, "invalid_request"
        )

    assert shop.api.post("/v1/checkouts", shop.cart(), key=key).status_code == 201


def test_refusal_that_was_recorded_keeps_its_key(shop: Shop) -> None:
    key, cart = secrets.token_hex(8), shop.cart(1_000_001)
    with shop.at.only_changes("cases", "idempotency_keys"):
        first = shop.api.post("/v1/checkouts", cart, key=key)

    with shop.at.nothing_changes():
        again = shop.api.post("/v1/checkouts", cart, key=key)

    refused(first, 403, "refused_by_gate")
    refused(again, 403, "refused_by_gate")
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")


def test_clients_secret_is_shown_once_and_kept_nowhere(shop: Shop) -> None:
    key, path = secrets.token_hex(8), f"/v1/programmes/{shop.programme_id}/clients"
    made = shop.at.operator.make(path, {"scopes": ["reports"]}, key=key)

    again = shop.at.operator.make(path, {"scopes": ["reports"]}, key=key)

    assert set(made) - set(again) == {"client_secret"}
    assert again["client_id"] == made["client_id"]
    assert made["client_secret"] not in everything_kept(shop)


def everything_kept(shop: Shop) -> str:
    with shop.at.owner.connect() as connection:
        tables = ("idempotency_keys", "clients", "events", "procrastinate_jobs")
        return "".join(
            str(row)
            for table in tables
            for row in connection.execute(sa.text(f"SELECT t::text FROM {table} t"))
        )
