"""Bad input: every request that makes no sense gets a clear problem, and leaves every row as it was."""

import copy
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.core.ids import derived
from ledger.core.money import MINOR_MAX
from tests.api.installation import Installation
from tests.api.promises import keep_promises
from tests.api.talk import Json, Session, refused
from tests.api.world import Shop, open_shop, part, programme_body

ENDPOINTS = (
    "programme",
    "client",
    "list",
    "party",
    "device",
    "iban",
    "checkout",
    "authentication",
    "capture",
    "refund",
    "payout",
    "sweep",
    "statement",
    "clock",
)
AMOUNT_FIELDS = (
    ("checkout", "amount_minor"),
    ("checkout", "lines.0.unit_minor"),
    ("checkout", "lines.0.amount_minor"),
    ("checkout", "lines.0.quantity"),
    ("capture", "lines.0.amount_minor"),
    ("refund", "lines.0.amount_minor"),
    ("payout", "amount_minor"),
    ("sweep", "amount_minor"),
)
NO_AMOUNTS = (
    "0", "-1", "-0", "1.5", "1.0", "1e2", '"12"', "true", "false", "null", "[]", "{}", "1e400", "-1e400",
    str(2**63), str(2**64 + 1), "1" * 4000,
)  # fmt: skip
NO_JSON = ("NaN", "Infinity", "-Infinity", "01", "+1", "1_000", "0x10", "1" * 5000, "'1'", "")
NO_SHARES = ("0", "-1", "1.5", "1.0", '"12"', "true", "10001", "1e400", str(2**63))
NO_CURRENCIES = ("XXX", "XTS", "ABC", "eur", "EURO", "EU", "", "€", "EUR ", "EUR\n", "\x00\x00\x00", "ＥＵＲ")


@dataclass(frozen=True, slots=True)
class Scene:
    """A shop with a cart of EUR 20.00 of which half is captured, and one good request for each endpoint."""

    shop: Shop
    checkout_id: str

    def path(self, endpoint: str) -> str:
        checkout = f"/v1/checkouts/{self.checkout_id}"
        return {
            "programme": "/v1/programmes",
            "client": f"/v1/programmes/{self.shop.programme_id}/clients",
            "list": "/v1/sanctions-lists",
            "party": "/v1/parties",
            "device": f"/v1/parties/{self.shop.ana['id']}/authenticators",
            "iban": "/v1/virtual-ibans",
            "checkout": "/v1/checkouts",
            "authentication": f"{checkout}/authentication",
            "capture": f"{checkout}/captures",
            "refund": f"{checkout}/refunds",
            "payout": "/v1/payouts",
            "sweep": "/v1/sweeps",
            "statement": "/v1/statement-requests",
            "clock": "/v1/test-clock",
        }[endpoint]

    def body(self, endpoint: str) -> Json:
        shop = self.shop
        bodies: dict[str, Json] = {
            "programme": programme_body(shop.safeguarding, shop.operating),
            "client": {"scopes": ["payments"]},
            "list": {"name": "list-2", "legal_basis": "national", "csv": "entry,name\nE-1,Somebody Bad\n"},
            "party": {"role": "customer", "name": "Maria Silva", "reference": "maria"},
            "device": {"public_key_pem": "-----BEGIN PUBLIC KEY-----"},
            "iban": {"party_id": shop.ana["id"]},
            "checkout": shop.cart(),
            "authentication": {"signature": "MEUCIQDx"},
            "capture": part(500, final=False),
            "refund": part(500),
            "payout": shop.payout(),
            "sweep": shop.sweep(),
            "statement": {"day": "2026-11-15"},
            "clock": {"now": "2026-11-17T09:00:00Z"},
        }
        return copy.deepcopy(bodies[endpoint])

    def session(self, endpoint: str) -> Session:
        return self.shop.at.operator if endpoint in {"programme", "client", "clock"} else self.shop.api

    def with_literal(self, endpoint: str, path: str, literal: str) -> str:
        """A good body, with the JSON literal in the place of one field."""
        return json.dumps(replaced(self.body(endpoint), path, "@here@")).replace('"@here@"', literal)


def set_up(shop: Shop) -> Scene:
    checkout_id = shop.authorised(2_000)["id"]
    shop.api.make(f"/v1/checkouts/{checkout_id}/captures", part(1_000))
    return Scene(shop, checkout_id)


@pytest.fixture(scope="module")
def scene(shared_shop: Shop) -> Scene:
    return set_up(shared_shop)


@pytest.fixture(scope="module")
def playground(installation: Installation) -> Iterator[Scene]:
    """A scene in which things may happen; what they promise is done in the end."""
    yield set_up(open_shop(installation).fund(50_000))
    keep_promises(installation.parts)


def replaced(body: Any, path: str, value: Any) -> Any:
    """The same body, with another value at the dotted path."""
    head, _, rest = path.partition(".")
    changed = list(body) if isinstance(body, list) else dict(body)
    place: Any = int(head) if isinstance(body, list) else head
    changed[place] = replaced(changed[place], rest, value) if rest else value
    return changed


# --- amounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", NO_AMOUNTS)
@pytest.mark.parametrize(("endpoint", "path"), AMOUNT_FIELDS)
def test_what_is_no_amount_is_refused_by_its_field(
    scene: Scene, endpoint: str, path: str, literal: str
) -> None:
    content = scene.with_literal(endpoint, path, literal)

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path(endpoint), content)

    refused(answer, 422, "invalid_request", path)


@pytest.mark.parametrize("literal", NO_JSON)
@pytest.mark.parametrize(("endpoint", "path"), AMOUNT_FIELDS)
def test_what_is_no_json_number_is_refused(scene: Scene, endpoint: str, path: str, literal: str) -> None:
    content = scene.with_literal(endpoint, path, literal)

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path(endpoint), content)

    refused(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    ("endpoint", "path", "literal"),
    [("checkout", "lines.0.splits.0.bps", literal) for literal in NO_SHARES]
    + [("party", "commission_bps", literal) for literal in NO_SHARES if literal != "0"],
)
def test_what_is_no_share_is_refused_by_its_field(
    scene: Scene, endpoint: str, path: str, literal: str
) -> None:
    body = scene.body(endpoint) | ({"commission_bps": 0} if endpoint == "party" else {})
    content = json.dumps(replaced(body, path, "@here@")).replace('"@here@"', literal)

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path(endpoint), content)

    refused(answer, 422, "invalid_request", path)


def test_the_largest_amount_is_above_every_limit_and_leaves_a_case(scene: Scene) -> None:
    for body in (
        ("checkout", scene.shop.cart(MINOR_MAX)),
        ("capture", part(MINOR_MAX)),
        ("refund", part(MINOR_MAX)),
        ("payout", scene.shop.payout(MINOR_MAX)),
        ("sweep", scene.shop.sweep(MINOR_MAX, rail="SCT_INST")),
    ):
        endpoint, asked = body
        with scene.shop.at.only_changes("cases", "idempotency_keys"):
            answer = scene.shop.api.post(scene.path(endpoint), asked)

        problem = refused(answer, 403, "refused_by_gate")
        assert problem["errors"][0]["code"] == "transaction_limit"


def test_lines_that_sum_beyond_any_amount_are_refused(scene: Scene) -> None:
    lines = [scene.shop.line(MINOR_MAX), scene.shop.line(MINOR_MAX, id="suite")]

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/checkouts", scene.shop.cart(MINOR_MAX, lines=lines))

    refused(answer, 422, "cart_does_not_add_up", "amount_minor")


@pytest.mark.parametrize(("endpoint", "rail"), [("payout", "SCT"), ("sweep", "SCT")])
def test_amount_that_a_rail_cannot_carry_is_refused(scene: Scene, endpoint: str, rail: str) -> None:
    asked = scene.body(endpoint) | {"rail": rail, "amount_minor": 999_999_999_99 + 1}

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post(scene.path(endpoint), asked)

    refused(answer, 422, "amount_out_of_range", "amount_minor")


# --- currencies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("currency", NO_CURRENCIES)
@pytest.mark.parametrize("endpoint", ["programme", "checkout", "payout", "sweep"])
def test_currency_that_does_not_exist_is_refused(scene: Scene, endpoint: str, currency: str) -> None:
    asked = scene.body(endpoint) | {"currency": currency}

    with scene.shop.at.nothing_changes():
        answer = scene.session(endpoint).post(scene.path(endpoint), asked)

    refused(answer, 422, "invalid_request", "currency")


@pytest.mark.parametrize("endpoint", ["payout", "sweep"])
def test_currency_that_is_not_the_programmes_is_refused(scene: Scene, endpoint: str) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post(scene.path(endpoint), scene.body(endpoint) | {"currency": "USD"})

    refused(answer, 422, "currency_differs", "currency")


# --- carts that do not add up -------------------------------------------------------------------------------


def split_cases(shop: Shop) -> dict[str, tuple[list[Json], int, str, str]]:
    platform, hotel = {"to": "platform", "bps": 1200}, {"to": shop.hotel["id"], "remainder": True}
    wrong = "split_does_not_add_up"
    return {
        "no remainder": ([platform], 422, wrong, "lines.0.splits"),
        "two remainders": ([hotel, {"to": "platform", "remainder": True}], 422, wrong, "lines.0.splits"),
        "bps and remainder both": ([{**hotel, "bps": 100}], 422, wrong, "lines.0.splits"),
        "neither bps nor remainder": ([{"to": "platform"}, hotel], 422, wrong, "lines.0.splits"),
        "bps and no remainder": ([{**platform, "remainder": False}], 422, wrong, "lines.0.splits"),
        "more than the whole": (
            [{"to": "platform", "bps": 9000}, {"to": shop.lea["id"], "bps": 1001}, hotel],
            422,
            wrong,
            "lines.0.splits",
        ),
        "a party that is not there": (
            [{"to": derived("pty", "nobody"), "bps": 1}, hotel],
            404,
            "party_unknown",
            "lines.0.splits.0.to",
        ),
        "no party's name at all": (
            [{"to": "lea", "bps": 1}, hotel],
            404,
            "party_unknown",
            "lines.0.splits.0.to",
        ),
        "an id of another kind": (
            [{"to": shop.hotel["account_id"], "bps": 1}, hotel],
            404,
            "party_unknown",
            "lines.0.splits.0.to",
        ),
        "a customer": (
            [{"to": shop.ana["id"], "bps": 1}, hotel],
            422,
            "split_party_unknown",
            "lines.0.splits",
        ),
        "nobody": ([], 422, "invalid_request", "lines.0.splits"),
        "too many": ([platform] * 20 + [hotel], 422, "invalid_request", "lines.0.splits"),
    }


SPLIT_CASES = (
    "no remainder", "two remainders", "bps and remainder both", "neither bps nor remainder",
    "bps and no remainder", "more than the whole", "a party that is not there", "no party's name at all",
    "an id of another kind", "a customer", "nobody", "too many",
)  # fmt: skip


@pytest.mark.parametrize("case", SPLIT_CASES)
def test_split_that_does_not_add_up_is_refused(scene: Scene, case: str) -> None:
    splits, status, code, field = split_cases(scene.shop)[case]
    cart = scene.shop.cart(lines=[scene.shop.line(2_000, splits=splits)])

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/checkouts", cart)

    refused(answer, status, code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"quantity": 2}, "line_does_not_add_up", "lines.0.amount_minor"),
        ({"unit_minor": 1_999}, "line_does_not_add_up", "lines.0.amount_minor"),
        ({"amount_minor": 2_001}, "line_does_not_add_up", "lines.0.amount_minor"),
        ({"quantity": 3, "unit_minor": 667, "amount_minor": 2_001}, "cart_does_not_add_up", "amount_minor"),
    ],
)
def test_line_that_does_not_add_up_is_refused(scene: Scene, changes: Json, code: str, field: str) -> None:
    cart = scene.shop.cart(2_000, lines=[scene.shop.line(2_000) | changes])

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/checkouts", cart)

    refused(answer, 422, code, field)


def test_line_that_stands_twice_is_refused(scene: Scene) -> None:
    twice = [scene.shop.line(1_000), scene.shop.line(1_000)]
    captured = {"lines": [{"id": "room", "amount_minor": 1}, {"id": "room", "amount_minor": 1}]}

    with scene.shop.at.nothing_changes():
        in_cart = scene.shop.api.post("/v1/checkouts", scene.shop.cart(2_000, lines=twice))
        in_capture = scene.shop.api.post(scene.path("capture"), captured)
        in_refund = scene.shop.api.post(scene.path("refund"), captured)

    for answer in (in_cart, in_capture, in_refund):
        refused(answer, 422, "line_repeated", "lines")


@pytest.mark.parametrize(
    ("field", "role"),
    [("payer", "hotel"), ("payer", "lea"), ("lines.0.seller", "ana"), ("lines.0.seller", "lea")],
)
def test_only_customers_pay_and_only_merchants_sell(scene: Scene, field: str, role: str) -> None:
    party: Json = getattr(scene.shop, role)
    splits = [{"to": "platform", "remainder": True}]
    cart = scene.shop.cart(lines=[scene.shop.line(2_000, splits=splits)])

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/checkouts", replaced(cart, field, party["id"]))

    refused(answer, 422, "role_wrong", field)


# --- captures and refunds beyond what there is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "asked", "status", "code", "field"),
    [
        ("capture", part(1_001), 409, "exceeds_authorised", "lines"),
        ("refund", part(1_001), 409, "exceeds_captured", "lines"),
        ("capture", part(1, line="suite"), 422, "line_unknown", "lines.0.id"),
        ("refund", part(1, line="suite"), 422, "line_unknown", "lines.0.id"),
        ("capture", {"lines": []}, 422, "invalid_request", "lines"),
        ("refund", {"lines": []}, 422, "invalid_request", "lines"),
        ("refund", part(1, final=True), 422, "invalid_request", "lines.0.final"),
    ],
)
def test_capture_or_refund_of_what_is_not_there_is_refused(
    scene: Scene, endpoint: str, asked: Json, status: int, code: str, field: str
) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post(scene.path(endpoint), asked)

    refused(answer, status, code, field)


def test_capture_after_the_final_one_is_refused(shop: Shop) -> None:
    checkout = shop.authorised(2_000)
    path = f"/v1/checkouts/{checkout['id']}/captures"
    shop.api.make(path, part(1_500, final=True))

    with shop.at.nothing_changes():
        for amount_minor in (1, 500, 501):
            refused(shop.api.post(path, part(amount_minor)), 409, "line_final", "lines")

    assert (shop.balance(shop.ana), shop.available(shop.ana)) == (48_500, 48_500)


# --- text ---------------------------------------------------------------------------------------------------

TEXT_FIELDS = (
    ("programme", "name"), ("programme", "legal_name"), ("programme", "bank_connection"),
    ("programme", "safeguarding.bank_id"), ("programme", "operating.iban"),
    ("list", "name"), ("list", "legal_basis"), ("list", "csv"),
    ("party", "name"), ("party", "reference"), ("party", "role"),
    ("device", "public_key_pem"), ("iban", "party_id"),
    ("checkout", "payer"), ("checkout", "reference"), ("checkout", "lines.0.id"),
    ("checkout", "lines.0.seller"), ("checkout", "lines.0.splits.0.to"), ("checkout", "expires_at"),
    ("authentication", "signature"), ("capture", "lines.0.id"), ("refund", "lines.0.id"),
    ("payout", "party_id"), ("payout", "reference"), ("payout", "rail"), ("payout", "remittance"),
    ("sweep", "reference"), ("sweep", "rail"), ("statement", "day"), ("clock", "now"),
)  # fmt: skip
NO_TEXT = {
    "NUL": '"a\\u0000b"',
    "a lone surrogate": '"a\\ud800b"',
    "a line break": '"a\\nb"',
    "a right-to-left override": '"a\\u202eb"',
    "a megabyte": '"' + "a" * 1_000_000 + '"',
    "nothing": '""',
    "blanks": '"   "',
    "a number": "7",
    "a list": "[]",
    "an object": "{}",
    "true": "true",
}


@pytest.mark.parametrize("literal", NO_TEXT.values(), ids=list(NO_TEXT))
@pytest.mark.parametrize(("endpoint", "path"), TEXT_FIELDS)
def test_what_is_no_text_is_refused(scene: Scene, endpoint: str, path: str, literal: str) -> None:
    body = scene.body(endpoint) | ({"expires_at": ""} if endpoint == "checkout" else {})
    content = json.dumps(replaced(body, path, "@here@")).replace('"@here@"', literal)

    with scene.shop.at.nothing_changes():
        answer = scene.session(endpoint).send(scene.path(endpoint), content)

    assert answer.status_code in {404, 422}, answer.text
    refused(answer, answer.status_code, answer.json()["code"])
    assert len(answer.content) < 2_000  # what was sent is not sent back


MOMENTS = (
    "2026-11-31T00:00:00Z", "2026-11-17", "2026-11-17T09:00:00", "1763370000", "tomorrow",
    "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "3000-01-01T00:00:00Z", "1999-12-31T23:59:59Z",
    "2026-11-17T24:01:00Z", "2026-11-17T09:00:00+25:00",
)  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("endpoint", "path"), [("checkout", "expires_at"), ("clock", "now")])
def test_time_that_is_none_is_refused(scene: Scene, endpoint: str, path: str, moment: str) -> None:
    with scene.shop.at.nothing_changes():
        asked = scene.body(endpoint) | {path: moment}
        answer = scene.session(endpoint).post(scene.path(endpoint), asked)

    refused(answer, 422, "invalid_request", path)


@pytest.mark.parametrize(
    "day", ["2026-02-29", "9999-12-31", "0001-01-01", "20261116", "0", "2026-11-15T10:00:00Z", "2026-11"]
)
def test_day_that_is_none_is_refused(scene: Scene, day: str) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/statement-requests", {"day": day})

    refused(answer, 422, "invalid_request", "day")


@pytest.mark.parametrize("day", ["2026-12-24", "2999-12-31"])
def test_day_that_is_not_over_is_refused(scene: Scene, day: str) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/statement-requests", {"day": day})

    refused(answer, 409, "day_not_over")


@pytest.mark.parametrize("literal", ["1", "0", '"true"', '"yes"', "null", "[]"])
@pytest.mark.parametrize(
    ("endpoint", "path"), [("capture", "lines.0.final"), ("checkout", "lines.0.splits.2.remainder")]
)
def test_what_is_neither_true_nor_false_is_refused(
    scene: Scene, endpoint: str, path: str, literal: str
) -> None:
    content = scene.with_literal(endpoint, path, literal)

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path(endpoint), content)

    refused(answer, 422, "invalid_request", path)


IBANS = ("DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "ES9121000418450200051333",
         "GB33BUKB20201555555556", "not an iban", "ES91 2100 0418 4502 0005 1332 0")  # fmt: skip


@pytest.mark.parametrize("iban", IBANS)
@pytest.mark.parametrize(("endpoint", "path"), [("party", "payout_iban"), ("programme", "safeguarding.iban")])
def test_iban_that_is_not_valid_is_refused(scene: Scene, endpoint: str, path: str, iban: str) -> None:
    body = scene.body(endpoint) | ({"payout_iban": ""} if endpoint == "party" else {})

    with scene.shop.at.nothing_changes():
        answer = scene.session(endpoint).post(scene.path(endpoint), replaced(body, path, iban))

    refused(answer, 422, "invalid_request", path)


def test_name_that_no_bank_can_carry_is_refused_for_a_payout(scene: Scene) -> None:
    asked = scene.body("party") | {"name": "☃☃☃", "payout_iban": "ES9121000418450200051332"}

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/parties", asked)

    refused(answer, 422, "invalid_value", "payout_name")


@pytest.mark.parametrize("remittance", ["Ünïcode", "a//b", "/ab", "ab/", "a<b>c", "<script>"])
def test_remittance_that_no_bank_can_carry_is_refused(scene: Scene, remittance: str) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/payouts", scene.shop.payout(remittance=remittance))

    refused(answer, 422, "not_sepa_text", "remittance")


LISTS = {
    "another header": ("name,entry\nA,1\n", "Line 1"),
    "no name": ("entry,name\n", "at least one name"),
    "a row too short": ("entry,name\nE-1\n", "Line 2"),
    "a row too long": ("entry,name\nE-1,A,B\n", "Line 2"),
    "an empty name": ("entry,name\nE-1,\n", "Line 2"),
    "an open quote": ('entry,name\nE-1,"A\n', "Line 2"),
    "a control character": ("entry,name\nE-1,A\x07B\n", "Line 2"),
    "a NUL": ("entry,name\nE-1,A\x00B\n", "Line 2"),
}


@pytest.mark.parametrize(("csv", "says"), LISTS.values(), ids=list(LISTS))
def test_sanctions_list_with_a_fault_is_refused_whole(scene: Scene, csv: str, says: str) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/sanctions-lists", scene.body("list") | {"csv": csv})

    assert says in refused(answer, 422, "invalid_value", "csv")["detail"]


def test_device_key_that_is_none_is_refused(scene: Scene) -> None:
    rsa_key = scene.shop.at.token.pem("bank")

    with scene.shop.at.nothing_changes():
        answers = [
            scene.shop.api.post(scene.path("device"), {"public_key_pem": pem})
            for pem in ("", "-----BEGIN PUBLIC KEY-----", "é", rsa_key)
        ]

    for answer in answers:
        refused(answer, 422, "invalid_value", "public_key_pem")


# --- whole bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_unknown_field_is_refused_by_its_name(scene: Scene, endpoint: str) -> None:
    with scene.shop.at.nothing_changes():
        asked = scene.body(endpoint) | {"surprise": 1}
        answer = scene.session(endpoint).post(scene.path(endpoint), asked)

    refused(answer, 422, "invalid_request", "surprise")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_member_that_stands_twice_is_refused(scene: Scene, endpoint: str) -> None:
    body = scene.body(endpoint)
    name = next(iter(body))
    content = json.dumps(body)[:-1] + f', "{name}": {json.dumps(body[name])}}}'

    with scene.shop.at.nothing_changes():
        answer = scene.session(endpoint).send(scene.path(endpoint), content)

    assert "twice" in refused(answer, 400, "invalid_json")["detail"]


def test_member_that_stands_twice_deep_inside_is_refused(scene: Scene) -> None:
    content = json.dumps(scene.body("capture")).replace(
        '"amount_minor": 500', '"amount_minor": 1, "amount_minor": 500'
    )

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path("capture"), content)

    refused(answer, 400, "invalid_json")


NO_BODIES = {
    "nothing": (b"", 422, "invalid_request"),
    "half": (b'{"payer": "pty_', 400, "invalid_json"),
    "two documents": (b"{}{}", 400, "invalid_json"),
    "a trailing comma": (b'{"a": 1,}', 400, "invalid_json"),
    "a comment": (b"{} // all is well", 400, "invalid_json"),
    "bytes that are no UTF-8": (b'{"payer": "\xff"}', 400, "invalid_json"),
    "UTF-16": ("{}".encode("utf-16"), 400, "invalid_json"),
    "a form": (b"payer=ana&amount=1", 400, "invalid_json"),
    "a hundred thousand brackets": (b"[" * 100_000, 400, "invalid_json"),
    "a hundred thousand braces": (b'{"a":' * 100_000, 400, "invalid_json"),
    "nine hundred lists": (b"[" * 900 + b"]" * 900, 422, "invalid_request"),
    "a list": (b"[]", 422, "invalid_request"),
    "a text": (b'"checkout"', 422, "invalid_request"),
    "a number": (b"1", 422, "invalid_request"),
    "null": (b"null", 422, "invalid_request"),
    "an empty object": (b"{}", 422, "invalid_request"),
}


@pytest.mark.parametrize(("content", "status", "code"), NO_BODIES.values(), ids=list(NO_BODIES))
@pytest.mark.parametrize("endpoint", ["checkout", "capture", "party"])
def test_body_that_is_none_is_refused(
    scene: Scene, endpoint: str, content: bytes, status: int, code: str
) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send(scene.path(endpoint), content)

    refused(answer, status, code)
    assert len(answer.content) < 3_000


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"]
)
def test_body_of_another_media_type_is_refused(scene: Scene, media_type: str) -> None:
    content = json.dumps(scene.body("checkout"))

    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.send("/v1/checkouts", content, headers={"Content-Type": media_type})

    refused(answer, 422, "invalid_request")
    assert len(answer.content) < 2_000


def test_body_larger_than_any_request_is_refused(scene: Scene) -> None:
    path, huge = scene.path("list"), b'{"csv": "' + b"a" * (32 * 1024 * 1024)

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b"a" * 1024 * 1024

    with scene.shop.at.nothing_changes():
        announced = scene.shop.api.send(path, huge)
        token = f"Bearer {scene.shop.api.token}"
        unannounced = scene.shop.at.http.post(
            path,
            content=in_pieces(),
            headers={"Content-Type": "application/json", "Authorization": token},
        )

    refused(announced, 413, "too_large")
    refused(unannounced, 413, "too_large")


def test_unknown_field_of_any_length_is_not_sent_back(scene: Scene) -> None:
    with scene.shop.at.nothing_changes():
        answer = scene.shop.api.post("/v1/parties", scene.body("party") | {"x" * 100_000: 1})

    refused(answer, 422, "invalid_request")
    assert len(answer.content) < 2_000


# --- anything at all ----------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates and NUL among them
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: str = "") -> list[str]:
    """Every place in a body where something else could stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = [path] if path else []
    return here + [found for key, item in inner for found in places(item, f"{path}.{key}".lstrip("."))]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), value=ANY_JSON)
def test_whatever_is_sent_it_is_never_our_fault(
    playground: Scene, data: st.DataObject, value: object
) -> None:
    endpoint = data.draw(st.sampled_from([name for name in ENDPOINTS if name not in {"clock", "programme"}]))
    body = playground.body(endpoint)
    path = data.draw(st.sampled_from(places(body)))

    answer = playground.session(endpoint).post(playground.path(endpoint), replaced(body, path, value))

    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        refused(answer, answer.status_code, answer.json()["code"])
