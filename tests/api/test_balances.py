"""What the book held, over HTTP: by either time, by place and tag, transfer by transfer; and that an answer stands."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from api.operations import OperationFailed, print_report
from ledger.core.errors import InvalidValue
from tests.api.installation import Installation
from tests.api.talk import Json, refused
from tests.api.till import Till, till_of
from tests.api.world import Shop, open_shop

LEAST = timedelta(microseconds=1)
NOVEMBER = "2026-11-01T00:00:00Z"


@pytest.fixture
def till(shop: Shop) -> Till:
    """Whoever reads the book of a programme of its own; Ana has EUR 500.00."""
    return till_of(shop, "ledger:read")


def at(instant: datetime | str) -> str:
    """An instant as it stands in a query."""
    text = instant if isinstance(instant, str) else instant.astimezone(UTC).isoformat()
    return quote(text, safe="")


def recorded(answer: Json) -> datetime:
    return datetime.fromisoformat(answer["recorded_at"])


def balance(till: Till, account_id: str, **asked: datetime | str) -> Json:
    query = "&".join(f"{name}={at(value)}" for name, value in asked.items())
    return till.session.read(f"/v1/accounts/{account_id}/balance?{query}")


# --- balances by either time --------------------------------------------------------------------------------


def test_balance_as_of_an_instant_is_what_was_known_then(till: Till) -> None:
    instant = recorded(till.done(till.post(till.wallet, till.seller, 1_250)))
    till.done(till.post(till.wallet, till.seller, 750))

    before, then, now = (
        balance(till, till.seller, **asked)
        for asked in ({"recorded_at": instant - LEAST}, {"recorded_at": instant}, dict[str, str]())
    )

    assert [one["posted_minor"] for one in (before, then, now)] == [0, 1_250, 2_000]
    assert datetime.fromisoformat(then["recorded_at"]) == instant
    assert now["recorded_at"] is None


def test_balance_shows_what_was_held_then(till: Till) -> None:
    hold = till.command("hold", account_id=till.wallet, amount_minor=3_000)
    instant = recorded(till.done(hold))
    till.done(till.command("release", hold_id=hold["id"]))

    then = balance(till, till.wallet, recorded_at=instant)

    assert (then["posted_minor"], then["held_minor"], then["available_minor"]) == (50_000, 3_000, 47_000)


def test_balance_by_value_date_takes_backdating_in_and_what_was_known_leaves_it_out(till: Till) -> None:
    yesterday = till.shop.at.now() - timedelta(days=1)
    known = recorded(till.done(till.post(till.wallet, till.seller, 100)))
    till.done(till.post(till.wallet, till.seller, 40, effective_at=yesterday.isoformat()))

    by_date = balance(till, till.seller, effective_at=yesterday)
    as_known = balance(till, till.seller, effective_at=yesterday, recorded_at=known)

    assert (by_date["posted_minor"], as_known["posted_minor"]) == (40, 0)
    assert "held_minor" not in by_date
    assert balance(till, till.seller, effective_at=yesterday - LEAST)["posted_minor"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/{wallet}/balance?recorded_at={later}",
        "/v1/accounts/{wallet}/balance?effective_at={later}&recorded_at={later}",
        "/v1/accounts/{wallet}/entries?recorded_at={later}",
        "/v1/accounts/{wallet}/statement?effective_from={now}&effective_until={later}&recorded_at={later}",
    ],
)
def test_what_is_to_come_is_not_known(till: Till, path: str) -> None:
    now = till.shop.at.now()

    with till.shop.at.nothing_changes():
        answer = till.session.get(
            path.format(wallet=till.wallet, now=at(now), later=at(now + timedelta(days=1)))
        )

    refused(answer, 422, "invalid_value", "recorded_at")


@pytest.mark.parametrize("path", ["/v1/balances?at={later}", "/v1/reports/trial-balance?at={later}"])
def test_what_is_to_come_cannot_be_added_up(till: Till, path: str) -> None:
    later = at(till.shop.at.now() + timedelta(days=1))

    with till.shop.at.nothing_changes():
        answer = till.session.get(path.format(later=later))

    refused(answer, 422, "invalid_value", "at")


def test_answer_about_the_past_is_the_same_to_the_byte_whatever_comes_later(till: Till) -> None:
    till.done(till.post(till.wallet, till.seller, 1_250))
    now = till.shop.at.now()
    asked = [
        f"/v1/accounts/{till.seller}/balance?recorded_at={at(now)}",
        f"/v1/accounts/{till.seller}/balance?effective_at={at(now)}&recorded_at={at(now)}",
        f"/v1/accounts/{till.seller}/entries?recorded_at={at(now)}",
        f"/v1/accounts/{till.seller}/statement?effective_from={NOVEMBER}&effective_until={at(now)}&recorded_at={at(now)}",
        f"/v1/balances?path=liability&at={at(now)}",
        f"/v1/reports/trial-balance?at={at(now)}",
    ]
    first = [till.session.get(path) for path in asked]

    yesterday = (now - timedelta(days=1)).isoformat()
    late = till.done(till.post(till.wallet, till.seller, 99, effective_at=yesterday))
    again = [till.session.get(path) for path in asked]

    assert [answer.status_code for answer in first] == [200] * 6, [answer.text for answer in first]
    assert [answer.content for answer in again] == [answer.content for answer in first]
    assert recorded(late) > now


def test_asking_again_about_the_past_writes_nothing(till: Till) -> None:
    path = f"/v1/accounts/{till.seller}/balance?recorded_at={at(till.shop.at.now())}"
    with till.shop.at.only_changes("horizons"):
        till.session.read(path)

    with till.shop.at.nothing_changes():
        till.session.read(path)


@pytest.mark.parametrize(
    "wrong", ["2026-11-16", "1790000000", "2026-11-16T09:00:00", "now", "1999-01-01T00:00:00Z"]
)
def test_instant_that_is_none_is_refused_by_its_field(till: Till, wrong: str) -> None:
    refused(
        till.session.get(f"/v1/accounts/{till.wallet}/balance?recorded_at={at(wrong)}"),
        422,
        "invalid_request",
        "recorded_at",
    )


# --- statements ---------------------------------------------------------------------------------------------


def test_statement_by_value_date_leads_from_opening_to_closing_page_by_page(till: Till) -> None:
    now = till.shop.at.now()
    for days, amount_minor in ((1, 10), (3, 30), (2, 20)):
        effective_at = (now - timedelta(days=days)).isoformat()
        till.done(till.post(till.wallet, till.seller, amount_minor, effective_at=effective_at))
    path = (
        f"/v1/accounts/{till.seller}/statement?limit=1"
        f"&effective_from={at(now - timedelta(days=2, hours=1))}&effective_until={at(now)}"
    )

    first = till.session.read(path)
    later = till.post(till.wallet, till.seller, 5, effective_at=(now - timedelta(days=2)).isoformat())
    till.done(later)  # backdated between two pages: it is not known at the instant of the first
    rest = till.session.read(
        f"{path}&recorded_at={at(first['recorded_at'])}&after={first['data'][-1]['version']}"
    )

    assert [page["data"][0]["amount_minor"] for page in (first, rest)] == [20, 10]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    for page in (first, rest):
        assert (page["opening_minor"], page["closing_minor"], page["currency"]) == (30, 60, "EUR")
    fresh = till.session.read(path.replace("limit=1", "limit=9"))
    assert (fresh["opening_minor"], fresh["closing_minor"]) == (30, 65)


def test_entries_stop_at_the_instant_that_is_asked_about(till: Till) -> None:
    instant = recorded(till.done(till.post(till.wallet, till.seller, 1)))
    till.done(till.post(till.wallet, till.seller, 2))

    page = till.session.read(f"/v1/accounts/{till.seller}/entries?recorded_at={at(instant)}")

    assert [entry["movement"] for entry in page["data"]] == ["open", "credit"]
    assert page["has_more"] is False


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("effective_from={now}", "effective_until"),
        ("effective_until={now}", "effective_from"),
        ("effective_from={now}&effective_until={now}&after=-1", "after"),
        ("effective_from={now}&effective_until={now}&limit=201", "limit"),
    ],
)
def test_statement_of_no_range_is_refused(till: Till, query: str, field: str) -> None:
    asked = query.format(now=at(till.shop.at.now()))

    refused(till.session.get(f"/v1/accounts/{till.wallet}/statement?{asked}"), 422, "invalid_request", field)


# --- many accounts together ---------------------------------------------------------------------------------


def test_balances_of_a_subtree_and_of_tags_are_summed_by_currency(till: Till) -> None:
    savings = [till.opened(subdivision=["savings", name], tags=["saving", name]) for name in ("car", "house")]
    for account_id, amount_minor in zip(savings, (100, 30), strict=True):
        till.done(till.post(till.wallet, account_id, amount_minor))
    now = till.shop.at.now()
    till.done(till.post(till.wallet, savings[0], 1))

    tree = till.session.read("/v1/balances?path=liability/customer_wallet/savings")
    tagged = till.session.read("/v1/balances?tag=saving&tag=house")
    then = till.session.read(f"/v1/balances?path=liability/customer_wallet/savings&at={at(now)}")
    everything = till.session.read("/v1/balances")

    assert tree["data"] == [
        {
            "currency": "EUR",
            "accounts": 2,
            "debits_minor": 0,
            "credits_minor": 131,
            "balance_minor": 131,
            "held_minor": 0,
        }
    ]
    assert (tagged["data"][0]["balance_minor"], then["data"][0]["balance_minor"]) == (30, 130)
    assert (tagged["tags"], then["path"]) == (["saving", "house"], "liability/customer_wallet/savings")
    assert everything["data"][0]["debits_minor"] == everything["data"][0]["credits_minor"]
    assert till.session.read("/v1/balances?tag=nobody")["data"] == []


def test_accounts_are_found_by_code_party_place_and_tag(till: Till) -> None:
    savings = till.opened(subdivision=["savings"], tags=["saving"])
    ana = till.shop.ana["id"]

    def found(query: str) -> list[str]:
        return [account["id"] for account in till.session.read(f"/v1/accounts?{query}")["data"]]

    assert found("code=customer_wallet") == sorted([till.wallet, savings])
    assert found(f"party_id={ana}&tag=saving") == [savings]
    assert found("path=liability/customer_wallet/savings") == [savings]
    assert found(f"code=seller_balance&party_id={ana}") == []
    listed = till.session.read("/v1/accounts?tag=saving")["data"][0]
    assert listed == till.account(savings)


def test_accounts_come_page_by_page(till: Till) -> None:
    whole = till.session.read("/v1/accounts")["data"]

    seen: list[Json] = []
    more = True
    while more:
        after = f"&after={seen[-1]['id']}" if seen else ""
        page = till.session.read(f"/v1/accounts?limit=5{after}")
        seen += page["data"]
        more = page["has_more"]

    assert seen == whole
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("path=/liability", "path"),
        ("path=liability/", "path"),
        ("path=liability//x", "path"),
        ("path=%00", "path"),
        ("path=" + "x" * 201, "path"),
        ("tag=%00", "tag.0"),
        ("code=wallet", "code"),
        ("party_id=acct_1", "party_id"),
    ],
)
def test_place_that_is_none_is_refused_by_its_field(till: Till, query: str, field: str) -> None:
    refused(till.session.get(f"/v1/accounts?{query}"), 422, "invalid_request", field)


# --- transfers ----------------------------------------------------------------------------------------------


def test_transfer_is_read_with_its_legs_and_its_metadata(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_250, metadata={"order": "4711"})
    done = till.done(command)

    found = till.session.read(f"/v1/transfers/{command['id']}")

    assert (found["id"], found["kind"], found["reference"]) == (command["id"], "post", "till-1")
    assert found["recorded_at"] == done["recorded_at"]
    assert found["metadata"] == {"order": "4711"}
    leg = {"leg": 1, "debit": till.wallet, "credit": till.seller, "amount_minor": 1_250, "currency": "EUR"}
    assert found["legs"] == [leg]
    assert (found["steps"], found["rate"], found["adjusting"]) == ([], None, False)


def test_transfers_are_found_by_metadata_page_by_page(till: Till) -> None:
    north = [
        till.post(till.wallet, till.seller, 1, metadata={"shop": "north", "n": str(n)}) for n in range(3)
    ]
    for command in (*north, till.post(till.wallet, till.seller, 1, metadata={"shop": "south"})):
        till.done(command)
    ids = sorted(command["id"] for command in north)

    def found(query: str) -> Json:
        return till.session.read(f"/v1/transfers?{query}")

    first = found("metadata[shop]=north&limit=2")
    rest = found(f"metadata[shop]=north&limit=2&after={ids[1]}")

    assert [item["id"] for item in first["data"] + rest["data"]] == ids
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [item["id"] for item in found("metadata[shop]=north&metadata[n]=1")["data"]] == [north[1]["id"]]
    assert found("metadata[shop]=west")["data"] == []


def test_transfers_without_a_filter_are_all_of_the_programmes(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1)
    till.done(command)

    found = till.session.read("/v1/transfers")["data"]

    assert command["id"] in {item["id"] for item in found}
    assert {"open", "post"} <= {item["kind"] for item in found}


@pytest.mark.parametrize(
    "query",
    [
        "metadata=x",
        "metadata[]=x",
        "metadata[a]=1&metadata[a]=2",
        "metadata[a]=%00",
        "shop=north",
        f"metadata[{'k' * 65}]=1",
        "&".join(f"metadata[k{n}]=1" for n in range(9)),
    ],
)
def test_filter_that_is_none_is_refused(till: Till, query: str) -> None:
    refused(till.session.get(f"/v1/transfers?{query}"), 422, "invalid_request")


# --- the trial balance --------------------------------------------------------------------------------------


def test_trial_balance_of_a_past_instant_sums_to_nothing(till: Till) -> None:
    instant = recorded(till.done(till.post(till.wallet, till.seller, 1_250)))
    till.done(till.post(till.wallet, till.seller, 750))

    then = till.session.read(f"/v1/reports/trial-balance?at={at(instant)}")
    before = till.session.read(f"/v1/reports/trial-balance?at={at(instant - LEAST)}")

    for report, seller_minor in ((then, 1_250), (before, 0)):
        assert report["sum_minor"] == {"EUR": 0}
        rows = {row["account_id"]: row["balance_minor"] for row in report["rows"]}
        assert (rows[till.seller], rows[till.wallet]) == (seller_minor, 50_000 - seller_minor)
    assert datetime.fromisoformat(then["at"]) == instant
    assert till.session.read("/v1/reports/trial-balance?at=2026-11-01T00:00:00Z")["rows"] == []


def test_trial_balance_of_a_past_instant_is_printed(till: Till, capsys: pytest.CaptureFixture[str]) -> None:
    instant = recorded(till.done(till.post(till.wallet, till.seller, 1_250)))
    till.done(till.post(till.wallet, till.seller, 750))
    parts, name = till.shop.at.parts, till.shop.name

    print_report(parts, name, "trial-balance", "json", at=instant.isoformat())
    first = capsys.readouterr().out
    print_report(parts, name, "trial-balance", "json", at=instant.isoformat())

    assert capsys.readouterr().out == first
    rows = {row["account_id"]: row["balance_minor"] for row in json.loads(first)["rows"]}
    assert rows[till.seller] == 1_250


@pytest.mark.parametrize(
    ("report", "when", "said"),
    [
        ("trial-balance", "yesterday", "ISO 8601"),
        ("trial-balance", "2026-11-16T09:00:00", "zone"),
        ("safeguarding", NOVEMBER, "--at is for the trial balance"),
    ],
)
def test_report_of_no_instant_is_not_printed(till: Till, report: str, when: str, said: str) -> None:
    with pytest.raises(OperationFailed, match=said):
        print_report(till.shop.at.parts, till.shop.name, report, "json", at=when)


def test_report_of_what_is_to_come_is_not_printed(till: Till) -> None:
    with pytest.raises(InvalidValue, match="has not been recorded yet"):
        print_report(till.shop.at.parts, till.shop.name, "trial-balance", "json", at="2999-01-01T00:00:00Z")


# --- whose book it is ---------------------------------------------------------------------------------------


def test_another_programmes_book_cannot_be_read(till: Till, installation: Installation) -> None:
    theirs = till_of(open_shop(installation).fund(10_000), "ledger:read")
    command = theirs.post(theirs.wallet, theirs.seller, 100, metadata={"order": "theirs"})
    theirs.done(command)
    now = at(till.shop.at.now())
    paths = [
        f"/v1/accounts/{theirs.wallet}/balance",
        f"/v1/accounts/{theirs.wallet}/balance?recorded_at={now}",
        f"/v1/accounts/{theirs.wallet}/balance?effective_at={now}",
        f"/v1/accounts/{theirs.wallet}/entries",
        f"/v1/accounts/{theirs.wallet}/statement?effective_from=2026-11-01T00:00:00Z&effective_until={now}",
        f"/v1/transfers/{command['id']}",
    ]

    for path in paths:
        assert theirs.session.get(path).status_code == 200, path
        refused(till.session.get(path), 404, "not_found")

    texts = [
        till.session.get(path).text
        for path in (
            "/v1/accounts",
            f"/v1/accounts?party_id={theirs.shop.ana['id']}",
            "/v1/transfers",
            "/v1/transfers?metadata[order]=theirs",
            f"/v1/reports/trial-balance?at={now}",
        )
    ]
    for text in texts:
        assert theirs.wallet not in text
        assert command["id"] not in text
    assert till.session.read("/v1/balances?path=liability/seller_balance")["data"][0]["credits_minor"] == 0


@pytest.mark.parametrize(
    "path",
    ["/v1/accounts/{}/balance", "/v1/accounts/{}/entries", "/v1/transfers/{}"],
)
@pytest.mark.parametrize("key", ["acct_" + "0" * 32, "xfr_" + "0" * 32, "nothing", "%00"])
def test_what_is_not_there_is_not_found(till: Till, path: str, key: str) -> None:
    refused(till.session.get(path.format(key)), 404, "not_found")
