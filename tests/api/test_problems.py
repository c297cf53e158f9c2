"""How refusals look (RFC 9457), whoever makes them: the router, the schema, a reader, a flow, or a bug."""

import pytest

from api.problems import Problem
from ledger.core.ids import derived
from tests.api.installation import Installation
from tests.api.talk import refused
from tests.api.world import Shop

NO_PATHS = (
    "/",
    "/v1",
    "/v1/nothing",
    "/v1/checkouts/",
    "/v2/checkouts",
    "/v1//checkouts",
    "/v1/checkouts/x/y/z",
)
NO_IDS = (
    "nothing", "0", "-1", "%00", "%2e%2e", "%ff", "chk_", "chk_' OR '1'='1", "CHK_" + "0" * 32, "a" * 4000,
)  # fmt: skip
READS = (
    ("/v1/checkouts/{}", "chk"),
    ("/v1/payouts/{}", "pay"),
    ("/v1/accounts/{}", "acct"),
    ("/v1/accounts/{}/entries", "acct"),
    ("/v1/virtual-ibans/{}", "vib"),
    ("/v1/statement-requests/{}", "srq"),
    ("/v1/exports/{}", "exp"),
    ("/v1/exports/{}/package", "exp"),
)
WRITES = (
    ("/v1/checkouts/{}/authentication", {"signature": "MEUCIQDx"}),
    ("/v1/checkouts/{}/captures", {"lines": [{"id": "room", "amount_minor": 1}]}),
    ("/v1/checkouts/{}/refunds", {"lines": [{"id": "room", "amount_minor": 1}]}),
    ("/v1/parties/{}/authenticators", {"public_key_pem": "-----"}),
)


@pytest.mark.parametrize("path", NO_PATHS)
def test_unknown_path_is_a_problem(installation: Installation, path: str) -> None:
    for method in ("GET", "POST"):
        refused(installation.http.request(method, path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/checkouts", "POST"),
        ("PUT", "/v1/payouts/pay_1", "GET"),
        ("GET", "/oauth/token", "POST"),
        ("PATCH", "/v1/checkouts/x/captures", "POST"),
        ("TRACE", "/healthz", "GET"),
    ],
)
def test_unknown_method_is_a_problem_and_says_what_is_allowed(
    installation: Installation, method: str, path: str, allowed: str
) -> None:
    answer = installation.http.request(method, path)

    refused(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["allow"]


@pytest.mark.parametrize("key", NO_IDS)
@pytest.mark.parametrize(("path", "kind"), READS)
def test_what_is_no_id_finds_nothing(shared_shop: Shop, path: str, kind: str, key: str) -> None:
    refused(shared_shop.api.get(path.format(key)), 404, "not_found")


@pytest.mark.parametrize(("path", "kind"), READS)
def test_id_of_nothing_and_id_of_another_kind_find_nothing(shared_shop: Shop, path: str, kind: str) -> None:
    for key in (derived(kind, "nothing"), shared_shop.ana["id"]):
        refused(shared_shop.api.get(path.format(key)), 404, "not_found")


@pytest.mark.parametrize("key", NO_IDS)
@pytest.mark.parametrize(("path", "body"), WRITES)
def test_write_to_what_is_no_id_leaves_nothing(
    shared_shop: Shop, path: str, body: dict[str, object], key: str
) -> None:
    with shared_shop.at.nothing_changes():
        refused(shared_shop.api.post(path.format(key), body), 404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=1.5",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=",
        f"after={2**63}",
        "after=1e3",
    ],
)
def test_cursor_of_entries_that_is_none_is_refused(shared_shop: Shop, query: str) -> None:
    answer = shared_shop.api.get(f"/v1/accounts/{shared_shop.ana['account_id']}/entries?{query}")

    refused(answer, 422, "invalid_request", query.partition("=")[0])


@pytest.mark.parametrize("path", ["/v1/parties", "/v1/payouts", "/v1/deposits", "/v1/cases"])
@pytest.mark.parametrize("cursor", ["x", "", "%00", "prg_" + "0" * 32, "a" * 65])
def test_cursor_of_a_list_that_is_none_is_refused(shared_shop: Shop, path: str, cursor: str) -> None:
    answer = shared_shop.api.get(f"{path}?after={cursor}")

    assert answer.status_code == 422
    refused(answer, 422, answer.json()["code"])


def test_problem_keeps_its_meaning_on_its_way_through_a_context_manager(installation: Installation) -> None:
    raised = Problem(404, "not_found", "There is none.")

    with pytest.raises(Problem) as caught, installation.parts.snapshots():
        raise raised

    assert caught.value is raised
    assert caught.value.__traceback__ is not None


def test_every_answer_has_a_request_id_of_its_own(installation: Installation) -> None:
    answers = [installation.http.get(path) for path in ("/healthz", "/healthz", "/nothing", "/v1/parties")]

    ids = {answer.headers["request-id"] for answer in answers}
    assert len(ids) == 4
