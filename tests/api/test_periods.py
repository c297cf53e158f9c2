"""The programme's calendar and its units over HTTP: what closes, what that refuses, and what is never redefined."""

from datetime import datetime, time, timedelta

import pytest

from tests.api.installation import Installation
from tests.api.talk import Json, refused
from tests.api.till import Till, till_of
from tests.api.world import Shop, open_shop

PERIODS = "/v1/periods"
UNITS = "/v1/units"
STEPS = ("soft_closed", "closed", "sealed")


@pytest.fixture
def till(shop: Shop) -> Till:
    """Whoever keeps the calendar of a programme of its own."""
    return till_of(shop, "periods:write", "units:write", "ledger:read")


def midnight(till: Till, days: int) -> datetime:
    """A midnight before or after today's, by the business clock."""
    return datetime.combine(till.shop.at.now(), time(), tzinfo=till.shop.at.now().tzinfo) + timedelta(
        days=days
    )


def span(till: Till, start: int, end: int) -> Json:
    return {"starts_at": midnight(till, start).isoformat(), "ends_at": midnight(till, end).isoformat()}


def opened(till: Till, start: int, end: int) -> Json:
    return till.session.make(PERIODS, span(till, start, end))


def move(till: Till, period: Json, *states: str) -> None:
    for state in states:
        moved = till.session.make(f"{PERIODS}/{period['id']}/transitions", {"to": state})
        assert (moved["id"], moved["state"]) == (period["id"], state)


def test_period_is_opened_listed_and_closed_step_by_step(till: Till) -> None:
    later = opened(till, -2, -1)
    earlier = opened(till, -3, -2)

    move(till, earlier, *STEPS)

    page = till.session.read(PERIODS)
    assert page == {"data": [earlier | {"state": "sealed"}, later], "has_more": False}
    assert later == {
        "id": later["id"],
        "starts_at": midnight(till, -2).isoformat(),
        "ends_at": midnight(till, -1).isoformat(),
        "state": "open",
    }


def test_periods_come_page_by_page(till: Till) -> None:
    first, second, third = (opened(till, day, day + 1) for day in (-9, -8, -7))

    page = till.session.read(f"{PERIODS}?limit=2")
    rest = till.session.read(f"{PERIODS}?limit=2&after={page['data'][-1]['id']}")

    assert (page["data"], page["has_more"]) == ([first, second], True)
    assert (rest["data"], rest["has_more"]) == ([third], False)


def test_closed_period_refuses_what_is_effective_in_it(till: Till) -> None:
    move(till, opened(till, -3, -1), "soft_closed", "closed")
    effective_at = (midnight(till, -1) - timedelta(microseconds=1)).isoformat()
    late = till.post(till.wallet, till.seller, 100, effective_at=effective_at)

    with till.shop.at.nothing_changes():
        answer = till.session.post("/v1/transfers", late)

    assert answer.json()["code"] == "period_closed"
    till.done(till.post(till.wallet, till.seller, 100, effective_at=midnight(till, -1).isoformat()))


def test_soft_closed_period_takes_an_adjustment(till: Till) -> None:
    move(till, opened(till, -3, -1), "soft_closed")
    effective_at = midnight(till, -2).isoformat()

    answer = till.session.post(
        "/v1/transfers", till.post(till.wallet, till.seller, 1, effective_at=effective_at)
    )

    assert answer.json()["code"] == "period_soft_closed"
    till.done(till.post(till.wallet, till.seller, 1, effective_at=effective_at, adjusting=True))


@pytest.mark.parametrize(
    ("before", "to"),
    [((), "closed"), ((), "open"), (("soft_closed",), "sealed"), (STEPS, "closed"), (STEPS, "open")],
)
def test_step_that_is_not_in_the_table_is_refused(till: Till, before: tuple[str, ...], to: str) -> None:
    period = opened(till, -3, -1)
    move(till, period, *before)

    with till.shop.at.nothing_changes():
        answer = till.session.post(f"{PERIODS}/{period['id']}/transitions", {"to": to})

    refused(answer, 409, "transition_not_allowed", "to")


def test_period_is_closed_after_those_before_it_and_opened_before_them(till: Till) -> None:
    earlier, later = opened(till, -3, -2), opened(till, -2, -1)

    with till.shop.at.nothing_changes():
        early = till.session.post(f"{PERIODS}/{later['id']}/transitions", {"to": "soft_closed"})
    move(till, earlier, "soft_closed", "closed")
    move(till, later, "soft_closed", "closed")
    with till.shop.at.nothing_changes():
        late = till.session.post(f"{PERIODS}/{earlier['id']}/transitions", {"to": "soft_closed"})

    refused(early, 409, "earlier_period_less_closed", "to")
    refused(late, 409, "later_period_more_closed", "to")


def test_what_is_not_over_is_not_closed(till: Till) -> None:
    today = opened(till, 0, 1)

    with till.shop.at.nothing_changes():
        answer = till.session.post(f"{PERIODS}/{today['id']}/transitions", {"to": "soft_closed"})

    refused(answer, 409, "period_not_over", "to")


def test_periods_do_not_overlap_nor_open_in_a_closed_past(till: Till) -> None:
    move(till, opened(till, -3, -1), "soft_closed")

    with till.shop.at.nothing_changes():
        overlapping = till.session.post(PERIODS, span(till, -2, 0))
        before = till.session.post(PERIODS, span(till, -5, -4))

    refused(overlapping, 409, "period_overlaps")
    refused(before, 409, "period_in_closed_past", "starts_at")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ends_at": "2026-10-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "2026-09-30T00:00:00Z"}, "ends_at"),
        ({"starts_at": "2026-10-01"}, "starts_at"),
        ({"starts_at": 1_790_000_000}, "starts_at"),
        ({"starts_at": "2026-10-01T00:00:00"}, "starts_at"),
        ({"ends_at": None}, "ends_at"),
        ({"name": "October"}, "name"),
    ],
)
def test_period_that_is_none_is_refused_by_its_field(till: Till, change: Json, field: str) -> None:
    whole = {"starts_at": "2026-10-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}

    with till.shop.at.nothing_changes():
        answer = till.session.post(PERIODS, whole | change)

    refused(answer, 422, "invalid_request", field)


@pytest.mark.parametrize("to", ["shut", "OPEN", None, 1])
def test_state_that_is_none_is_refused(till: Till, to: object) -> None:
    period = opened(till, -3, -1)

    refused(
        till.session.post(f"{PERIODS}/{period['id']}/transitions", {"to": to}), 422, "invalid_request", "to"
    )


def test_same_step_under_the_same_key_is_taken_once(till: Till) -> None:
    period = opened(till, -3, -1)
    path = f"{PERIODS}/{period['id']}/transitions"

    first = till.session.post(path, {"to": "soft_closed"}, key="one-step")
    again = till.session.post(path, {"to": "soft_closed"}, key="one-step")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


def test_period_of_another_programme_is_not_found(till: Till, installation: Installation) -> None:
    theirs = till_of(open_shop(installation), "periods:write", "ledger:read")
    period = opened(theirs, -3, -1)

    with installation.nothing_changes():
        answers = [
            till.session.post(f"{PERIODS}/{key}/transitions", {"to": "soft_closed"})
            for key in (period["id"], "prd_" + "0" * 32, till.wallet, "nothing")
        ]

    for answer in answers:
        assert answer.status_code == 404, answer.text
    assert till.session.read(PERIODS)["data"] == []


# --- units --------------------------------------------------------------------------------------------------


def test_unit_is_defined_listed_and_counted_in(till: Till) -> None:
    coins = till.session.make(UNITS, {"code": "COIN", "name": "Universal Coins", "decimals": 0})

    assert coins == {"code": "COIN", "name": "Universal Coins", "decimals": 0}
    assert till.session.read(UNITS) == {"data": [coins], "has_more": False}
    account = till.account(till.opened(currency="COIN"))
    assert account["currency"] == "COIN"


def test_unit_is_never_redefined(till: Till) -> None:
    till.session.make(UNITS, {"code": "COIN", "name": "Coins", "decimals": 0})

    with till.shop.at.nothing_changes():
        answer = till.session.post(UNITS, {"code": "COIN", "name": "Coins", "decimals": 2})

    refused(answer, 409, "unit_exists", "code")


def test_units_come_page_by_page(till: Till) -> None:
    made = [
        till.session.make(UNITS, {"code": code, "name": code, "decimals": 0}) for code in ("AAAA", "BBBB")
    ]

    page = till.session.read(f"{UNITS}?limit=1")
    rest = till.session.read(f"{UNITS}?limit=1&after=AAAA")

    assert (page["data"], page["has_more"]) == (made[:1], True)
    assert (rest["data"], rest["has_more"]) == (made[1:], False)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "EUR"}, "code"),
        ({"code": "coins"}, "code"),
        ({"code": "COIN\u0000"}, "code"),
        ({"code": "ABCDEFGHIJKLM"}, "code"),
        ({"name": ""}, "name"),
        ({"name": "x" * 71}, "name"),
        ({"decimals": 19}, "decimals"),
        ({"decimals": -1}, "decimals"),
        ({"decimals": 2.0}, "decimals"),
        ({"decimals": True}, "decimals"),
    ],
)
def test_unit_that_is_none_is_refused_by_its_field(till: Till, change: Json, field: str) -> None:
    with till.shop.at.nothing_changes():
        answer = till.session.post(UNITS, {"code": "COIN", "name": "Coins", "decimals": 0} | change)

    refused(answer, 422, "invalid_request", field)


def test_unit_of_another_programme_is_not_ours(till: Till, installation: Installation) -> None:
    theirs = till_of(open_shop(installation), "units:write")
    theirs.session.make(UNITS, {"code": "COIN", "name": "Coins", "decimals": 0})

    assert till.session.read(UNITS)["data"] == []
    answer = till.session.post("/v1/transfers", till.open_account(currency="COIN"))
    assert answer.json()["code"] == "currency_unknown"
