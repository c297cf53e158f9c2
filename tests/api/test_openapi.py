"""The description of the API: whole, and as strict about bodies as the API itself."""

import pytest

from ledger.core.money import MINOR_MAX
from tests.api.installation import Installation
from tests.api.talk import Json
from tests.api.test_transfers_bad_input import KINDS

LIMITS = {"min_available_minor": (-MINOR_MAX, 0), "max_balance_minor": (0, MINOR_MAX)}


@pytest.fixture(scope="module")
def document(installation: Installation) -> Json:
    return dict(installation.http.get("/openapi.json").json())


def operations(document: Json) -> list[tuple[str, Json]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def bodies(document: Json) -> dict[str, Json]:
    return {name: item for name, item in document["components"]["schemas"].items() if name.endswith("Body")}


def test_every_operation_says_what_it_is_for(document: Json) -> None:
    found = operations(document)

    assert len(found) > 30
    assert [name for name, operation in found if not operation.get("description")] == []
    assert len({operation["operationId"] for _, operation in found}) == len(found)


def test_no_body_takes_a_field_that_is_not_described(document: Json) -> None:
    assert bodies(document)
    assert [
        name for name, item in bodies(document).items() if item.get("additionalProperties") is not False
    ] == []


def test_every_amount_is_a_whole_number_with_a_first_and_a_last(document: Json) -> None:
    amounts = {
        f"{name}.{field}": described
        for name, item in bodies(document).items()
        for field, described in item["properties"].items()
        if field.endswith("_minor") and field not in LIMITS
    }

    assert len(amounts) >= 6
    for described in amounts.values():
        assert (described["type"], described["minimum"]) == ("integer", 1)
        assert described["maximum"] == float(MINOR_MAX)  # the document's own numbers are no finer


def test_a_limit_is_a_whole_number_on_its_side_of_zero_or_none_at_all(document: Json) -> None:
    fields = bodies(document)["OpenAccountBody"]["properties"]

    for name, (least, most) in LIMITS.items():
        number, nothing = fields[name]["anyOf"]
        assert (number["type"], nothing["type"]) == ("integer", "null")
        assert (number["minimum"], number["maximum"]) == (float(least), float(most))


def test_every_kind_of_command_is_described(document: Json) -> None:
    kinds = [
        item["properties"]["kind"]["const"]
        for item in bodies(document).values()
        if "kind" in item["properties"]
    ]

    assert sorted(kinds) == sorted(KINDS)


def test_every_path_has_its_version_but_the_machinery(document: Json) -> None:
    unversioned = {path for path in document["paths"] if not path.startswith("/v1/")}

    assert unversioned == {"/oauth/token", "/webhooks/banks/{connection}", "/healthz"}
