"""Bad input to the book's own door: refused with the field named, and every row left as it was."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.core.money import MINOR_MAX
from tests.api.installation import Installation
from tests.api.talk import Json, refused
from tests.api.test_bad_input import ANY_JSON, MOMENTS, NO_AMOUNTS, NO_JSON, places, replaced
from tests.api.till import BATCH, TRANSFERS, Till, acct, till_of, xfr
from tests.api.world import Shop, open_shop

pytestmark = pytest.mark.slow

KINDS = (
    "post",
    "hold",
    "increase",
    "capture",
    "release",
    "expire",
    "reverse",
    "open_account",
    "freeze_account",
    "unfreeze_account",
    "close_account",
)
AMOUNTS = (
    ("post", "legs.0.amount_minor"),
    ("hold", "amount_minor"),
    ("increase", "amount_minor"),
    ("capture", "legs.0.amount_minor"),
    ("release", "amount_minor"),
    ("reverse", "parts.0.amount_minor"),
    ("reverse", "parts.0.leg"),
    ("post", "rate.numerator"),
    ("post", "rate.denominator"),
)
MORE_NO_AMOUNTS = ("0.12345678901234567", "1.0000000000000001", "12345678901234567.0", "1E0", '"1"', "[1]")
ID_FIELDS = (
    ("post", "id", "xfr"),
    ("post", "legs.0.debit", "acct"),
    ("post", "legs.0.credit", "acct"),
    ("hold", "account_id", "acct"),
    ("increase", "hold_id", "xfr"),
    ("capture", "hold_id", "xfr"),
    ("release", "hold_id", "xfr"),
    ("expire", "hold_id", "xfr"),
    ("reverse", "transfer_id", "xfr"),
    ("open_account", "account_id", "acct"),
    ("open_account", "party_id", "pty"),
    ("freeze_account", "account_id", "acct"),
    ("unfreeze_account", "account_id", "acct"),
    ("close_account", "account_id", "acct"),
)
NO_TEXT = {
    "NUL": '"a\\u0000b"',
    "a lone surrogate": '"a\\ud800b"',
    "a line break": '"a\\nb"',
    "a right-to-left override": '"a\\u202eb"',
    "a megabyte": '"' + "a" * 1_000_000 + '"',
    "a number": "7",
    "a list": "[]",
    "an object": "{}",
    "true": "true",
    "null": "null",
}


@pytest.fixture(scope="module")
def till(shared_shop: Shop) -> Till:
    """A till where nothing may change."""
    return till_of(shared_shop)


def body(till: Till, kind: str) -> Json:
    """A good command of a kind, whose accounts, holds and transfers may not be there."""
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": 100, "up_to": False}
    rate = {"sold": "EUR", "bought": "USD", "numerator": 1, "denominator": 1}
    said: dict[str, Json] = {
        "post": {"legs": [leg], "rate": rate},
        "hold": {"account_id": till.wallet, "amount_minor": 100, "expires_at": "2026-12-01T00:00:00Z"},
        "increase": {"hold_id": xfr(), "amount_minor": 100},
        "capture": {"hold_id": xfr(), "legs": [leg], "final": False},
        "release": {"hold_id": xfr(), "amount_minor": 100},
        "expire": {"hold_id": xfr()},
        "reverse": {"transfer_id": xfr(), "parts": [{"leg": 1, "amount_minor": 100}]},
        "open_account": {
            "account_id": acct(),
            "code": "customer_wallet",
            "subdivision": ["savings"],
            "party_id": till.shop.ana["id"],
            "currency": "EUR",
            "min_available_minor": 0,
            "max_balance_minor": 100,
            "tags": ["goal"],
        },
    }
    common = {
        "effective_at": "2026-11-16T09:00:00Z",
        "metadata": {"order": "1"},
        "adjusting": False,
    }
    account = {"account_id": till.wallet}
    return till.command(kind, **common, **copy.deepcopy(said.get(kind, account)))


def refuse(till: Till, content: str | bytes, status: int, code: str, *fields: str) -> None:
    """The command is refused alone, and as a part of a batch by the field in its place; nothing is left behind."""
    batch = '{"groups": [[' + (content.decode() if isinstance(content, bytes) else content) + "]]}"
    with till.shop.at.nothing_changes():
        alone = till.session.send(TRANSFERS, content)
        in_batch = till.session.send(BATCH, batch)
    refused(alone, status, code, *fields)
    refused(in_batch, status, code, *(f"groups.0.0.{field}" for field in fields))
    assert max(len(alone.content), len(in_batch.content)) < 3_000  # what was sent is not sent back


def with_literal(sent: Json, path: str, literal: str) -> str:
    return json.dumps(replaced(sent, path, "@here@")).replace('"@here@"', literal)


# --- amounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", [*NO_AMOUNTS, *MORE_NO_AMOUNTS])
@pytest.mark.parametrize(("kind", "path"), AMOUNTS)
def test_what_is_no_amount_is_refused_by_its_field(till: Till, kind: str, path: str, literal: str) -> None:
    refuse(till, with_literal(body(till, kind), path, literal), 422, "invalid_request", path)


@pytest.mark.parametrize("literal", NO_JSON)
def test_what_is_no_json_number_is_refused(till: Till, literal: str) -> None:
    content = with_literal(body(till, "post"), "legs.0.amount_minor", literal)

    refuse(till, content, 400, "invalid_json")


@pytest.mark.parametrize(
    ("field", "literal"),
    [(field, literal) for field in ("min_available_minor", "max_balance_minor")
     for literal in ("1.0", '"0"', "true", "1e400", "[]", str(2**63), str(-(2**63)))]
    + [("min_available_minor", "1"), ("max_balance_minor", "-1")],
)  # fmt: skip
def test_what_is_no_limit_is_refused_by_its_field(till: Till, field: str, literal: str) -> None:
    refuse(till, with_literal(body(till, "open_account"), field, literal), 422, "invalid_request", field)


def test_the_largest_amount_is_an_amount(till: Till) -> None:
    with till.shop.at.only_changes("cases"):
        answer = till.session.post(TRANSFERS, till.post(till.wallet, till.seller, MINOR_MAX))

    refused(answer, 403, "refused_by_gate")


def test_legs_that_sum_beyond_any_amount_are_refused_by_the_gate(till: Till) -> None:
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": MINOR_MAX}

    with till.shop.at.only_changes("cases"):
        answer = till.session.post(TRANSFERS, till.command("post", legs=[leg] * 1_000))

    assert str(MINOR_MAX * 1_000) in refused(answer, 403, "refused_by_gate")["detail"]


# --- names of things ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "path", "prefix"), ID_FIELDS)
def test_id_of_another_kind_or_of_none_is_refused_by_its_field(
    till: Till, kind: str, path: str, prefix: str
) -> None:
    other = "acct" if prefix == "xfr" else "xfr"
    wrong = [f"{other}_{'0' * 32}", f"{prefix}_{'0' * 31}", f"{prefix}_{'0' * 33}", f"{prefix}_{'G' * 32}",
             f"{prefix}_{'A' * 32}", f"{prefix}_{'0' * 32}\n", f" {prefix}_{'0' * 32}", "", "x"]  # fmt: skip

    for text in wrong:
        refuse(till, json.dumps(replaced(body(till, kind), path, text)), 422, "invalid_request", path)


@pytest.mark.parametrize("kind", ["", "POST", "post ", "transfer", "open", "freeze", "kind:post"])
def test_unknown_kind_is_refused(till: Till, kind: str) -> None:
    refuse(till, json.dumps(body(till, "post") | {"kind": kind}), 422, "invalid_request", "kind")


@pytest.mark.parametrize("literal", ["null", "1", "true", "[]", "{}", '["post"]'])
def test_kind_that_is_no_text_is_refused(till: Till, literal: str) -> None:
    refuse(till, with_literal(body(till, "post"), "kind", literal), 422, "invalid_request", "kind")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "eur"}, "currency"),
        ({"currency": "EU"}, "currency"),
        ({"currency": "A" * 13}, "currency"),
        ({"currency": "EUR\n"}, "currency"),
        ({"code": "customer_wallets"}, "code"),
        ({"code": 1}, "code"),
        ({"party_id": None}, "party_id"),
        ({"code": "commission_income"}, "party_id"),
        ({"subdivision": ["a/b"]}, "subdivision.0"),
        ({"subdivision": [""]}, "subdivision.0"),
        ({"subdivision": ["a"] * 9}, "subdivision"),
        ({"subdivision": "a"}, "subdivision"),
        ({"tags": ["A b"]}, "tags.0"),
        ({"tags": ["a"] * 17}, "tags"),
        ({"tags": None}, "tags"),
    ],
)
def test_account_that_makes_no_sense_is_refused_by_its_field(till: Till, changes: Json, field: str) -> None:
    refuse(till, json.dumps(body(till, "open_account") | changes), 422, "invalid_request", field)


@pytest.mark.parametrize("currency", ["ZZZ", "COINS"])
def test_currency_that_nobody_has_defined_is_refused(till: Till, currency: str) -> None:
    with till.shop.at.nothing_changes():
        answer = till.session.post(TRANSFERS, till.open_account(currency=currency))

    refused(answer, 422, "currency_unknown")


# --- text and metadata --------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", NO_TEXT.values(), ids=list(NO_TEXT))
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("post", "reference"),
        ("post", "metadata.order"),
        ("post", "rate.sold"),
        ("post", "legs.0.debit"),
        ("open_account", "currency"),
        ("open_account", "code"),
        ("open_account", "tags.0"),
    ],
)
def test_what_is_no_text_is_refused_by_its_field(till: Till, kind: str, path: str, literal: str) -> None:
    refuse(till, with_literal(body(till, kind), path, literal), 422, "invalid_request", path)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ('{"a": {"b": "c"}}', "metadata.a"),
        ('{"a": ["b"]}', "metadata.a"),
        ('{"a": 1}', "metadata.a"),
        ('{"a": 1.5}', "metadata.a"),
        ('{"a": null}', "metadata.a"),
        ('{"a": true}', "metadata.a"),
        ('{"a": "' + "x" * 501 + '"}', "metadata.a"),
        ('{"' + "k" * 41 + '": "v"}', "metadata." + "k" * 41),
        ('{"": "v"}', "metadata."),
        ('{"a\\u0000": "v"}', "metadata.a\x00"),
        ('{"body": 1}', "metadata.body"),
        (json.dumps({f"k{number}": "v" for number in range(17)}), "metadata"),
        (json.dumps({f"k{number}": "v" for number in range(100_000)}), "metadata"),
        ("[]", "metadata"),
        ('"a"', "metadata"),
        ("null", "metadata"),
        ("7", "metadata"),
    ],
)
def test_metadata_is_few_short_texts_or_it_is_refused(till: Till, metadata: str, field: str) -> None:
    refuse(till, with_literal(body(till, "post"), "metadata", metadata), 422, "invalid_request", field)


def test_metadata_key_that_is_no_unicode_is_refused(till: Till) -> None:
    content = with_literal(body(till, "post"), "metadata", '{"a\\udfff": "v"}')

    refuse(till, content, 422, "invalid_request")


def test_metadata_at_its_limits_is_kept(installation: Installation) -> None:
    spender = till_of(open_shop(installation).fund(100))
    metadata = {f"{number:02}" + "k" * 38: "é" * 500 for number in range(16)}
    command = spender.post(spender.wallet, spender.seller, 1, metadata=metadata)

    spender.done(command)

    assert spender.session.post(TRANSFERS, command).status_code == 200


# --- times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [*MOMENTS, "", "2026-11-17T09:00:00Z "])
@pytest.mark.parametrize(("kind", "path"), [("post", "effective_at"), ("hold", "expires_at")])
def test_time_that_is_none_is_refused(till: Till, kind: str, path: str, moment: str) -> None:
    refuse(till, json.dumps(body(till, kind) | {path: moment}), 422, "invalid_request", path)


@pytest.mark.parametrize("literal", ["1", "0", '"true"', "null", "[]"])
@pytest.mark.parametrize(
    ("kind", "path"), [("post", "adjusting"), ("capture", "final"), ("post", "legs.0.up_to")]
)
def test_what_is_neither_true_nor_false_is_refused(till: Till, kind: str, path: str, literal: str) -> None:
    refuse(till, with_literal(body(till, kind), path, literal), 422, "invalid_request", path)


# --- whole commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_good_body_of_a_kind_is_read(till: Till, kind: str) -> None:
    """The others of these tests change one thing in a body that is fine."""
    answer = till.session.post(
        BATCH, {"groups": [[body(till, kind)]] * 2 + [[{**body(till, kind), "id": "x"}]]}
    )

    problem = refused(answer, 422, "invalid_request", "groups.2.0.id")
    assert len(problem["errors"]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_field_is_refused_by_its_name(till: Till, kind: str) -> None:
    refuse(till, json.dumps(body(till, kind) | {"surprise": 1}), 422, "invalid_request", "surprise")


@pytest.mark.parametrize("path", ["legs.0.surprise", "rate.surprise"])
def test_unknown_field_inside_is_refused_by_its_name(till: Till, path: str) -> None:
    refuse(till, json.dumps(replaced(body(till, "post"), path, 1)), 422, "invalid_request", path)


@pytest.mark.parametrize("field", ["programme_id", "authority", "recorded_at", "status"])
def test_field_that_is_not_for_callers_is_refused(till: Till, field: str) -> None:
    refuse(till, json.dumps(body(till, "post") | {field: "x"}), 422, "invalid_request", field)


OPTIONAL = {
    "effective_at", "metadata", "adjusting", "rate", "expires_at", "final", "parts", "subdivision", "tags",
    "min_available_minor", "max_balance_minor",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_missing_field_is_refused_by_its_name(till: Till, kind: str) -> None:
    whole = body(till, kind)
    needed = whole.keys() - OPTIONAL - ({"amount_minor"} if kind == "release" else set())
    assert {"id", "kind", "reference"} <= needed

    for field in needed:
        less = {name: value for name, value in whole.items() if name != field}
        refuse(till, json.dumps(less), 422, "invalid_request", field)


@pytest.mark.parametrize("kind", KINDS)
def test_member_that_stands_twice_is_refused(till: Till, kind: str) -> None:
    content = json.dumps(body(till, kind))[:-1] + ', "reference": "again"}'

    refuse(till, content, 400, "invalid_json")


def test_member_that_stands_twice_deep_inside_is_refused(till: Till) -> None:
    content = json.dumps(body(till, "post")).replace('"order": "1"', '"order": "1", "order": "1"')

    refuse(till, content, 400, "invalid_json")


@pytest.mark.parametrize(("kind", "field"), [("post", "legs"), ("capture", "legs"), ("reverse", "parts")])
def test_no_legs_and_too_many_legs_are_refused(till: Till, kind: str, field: str) -> None:
    whole = body(till, kind)

    refuse(till, json.dumps(whole | {field: []}), 422, "invalid_request", field)
    refuse(till, json.dumps(whole | {field: whole[field] * 1_001}), 422, "invalid_request", field)


@pytest.mark.parametrize("content", [b"null", b"[]", b'"post"', b"1", b"true", b"{}"])
def test_command_that_is_no_object_is_refused(till: Till, content: bytes) -> None:
    refuse(till, content, 422, "invalid_request")


# --- batches ------------------------------------------------------------------------------------------------


def refuse_batch(till: Till, sent: Any, field: str) -> None:
    with till.shop.at.nothing_changes():
        answer = till.session.post(BATCH, sent)
    refused(answer, 422, "invalid_request", field)
    assert len(answer.content) < 20_000


@pytest.mark.parametrize(
    ("groups", "field"),
    [
        ([], "groups"),
        ([[]], "groups.0"),
        (None, "groups"),
        ({}, "groups"),
        ("post", "groups"),
        ([{}], "groups.0"),
        ([None], "groups.0"),
        ([[None]], "groups.0.0.kind"),
        ([["post"]], "groups.0.0.kind"),
    ],
)
def test_groups_that_are_none_are_refused(till: Till, groups: object, field: str) -> None:
    refuse_batch(till, {"groups": groups}, field)


def test_empty_group_among_others_is_refused(till: Till) -> None:
    refuse_batch(till, {"groups": [[body(till, "post")], []]}, "groups.1")


def test_batch_with_anything_beside_its_groups_is_refused(till: Till) -> None:
    refuse_batch(till, {"groups": [[body(till, "post")]], "atomic": True}, "atomic")
    refuse_batch(till, {}, "groups")


@pytest.mark.parametrize("groups", [1, 2, 8_193])
def test_batch_of_one_command_too_many_is_refused(till: Till, groups: int) -> None:
    command = till.post(till.wallet, till.seller, 1)
    sizes = [8_193 - (groups - 1)] + [1] * (groups - 1)

    refuse_batch(till, {"groups": [[command] * size for size in sizes]}, "groups")


def test_batch_of_too_many_groups_is_refused_by_their_number(till: Till) -> None:
    refuse_batch(till, {"groups": [[]] * 8_193}, "groups")


def test_one_bad_command_refuses_the_whole_batch_by_its_place(till: Till) -> None:
    good = till.post(till.wallet, till.seller, 1)
    bad = till.post(till.wallet, till.seller, 0)

    refuse_batch(till, {"groups": [[good], [good, bad]]}, "groups.1.1.legs.0.amount_minor")


def test_batch_that_is_wrong_in_thousands_of_places_is_told_some(till: Till) -> None:
    bad = till.post(till.wallet, till.seller, 0)

    refuse_batch(till, {"groups": [[bad] * 8_192]}, "groups.0.49.legs.0.amount_minor")


# --- anything at all ----------------------------------------------------------------------------------------


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), value=ANY_JSON)
def test_whatever_is_sent_it_is_never_our_fault(playground: Till, data: st.DataObject, value: object) -> None:
    sent = body(playground, data.draw(st.sampled_from(KINDS)))
    path = data.draw(st.sampled_from(places(sent)))

    answer = playground.session.post(TRANSFERS, replaced(sent, path, value))

    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        refused(answer, answer.status_code, answer.json()["code"])


@pytest.fixture(scope="module")
def playground(installation: Installation) -> Till:
    """A till where anything may happen."""
    return till_of(open_shop(installation).fund(50_000))
