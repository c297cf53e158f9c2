"""The book's own commands over HTTP: what each does, what it answers, and what it answers the second time."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.installation import Installation
from tests.api.talk import Json, refused
from tests.api.till import BATCH, TRANSFERS, Till, till_of, xfr
from tests.api.world import Shop, open_shop


@pytest.fixture
def till(shop: Shop) -> Till:
    """A till in a programme of its own; Ana has EUR 500.00."""
    return till_of(shop)


# --- each command -------------------------------------------------------------------------------------------


def test_post_moves_money_and_says_how_much(till: Till) -> None:
    answer = till.done(till.post(till.wallet, till.seller, 1_250))

    assert answer["moved_minor"] == 1_250
    assert answer["recorded_at"].startswith("2026-11-")
    assert (till.available(till.wallet), till.available(till.seller)) == (48_750, 1_250)


def test_post_takes_no_more_than_there_is_when_it_is_asked_so(till: Till) -> None:
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": 1_000_000, "up_to": True}

    answer = till.done(till.command("post", legs=[leg]))

    assert answer["moved_minor"] == 50_000
    assert till.available(till.wallet) == 0


def test_money_is_held_increased_captured_and_released(till: Till) -> None:
    hold = till.command("hold", account_id=till.wallet, amount_minor=3_000)
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": 2_500}

    till.done(hold)
    till.done(till.command("increase", hold_id=hold["id"], amount_minor=500))
    held = till.available(till.wallet)
    till.done(till.command("capture", hold_id=hold["id"], legs=[leg]))
    till.done(till.command("release", hold_id=hold["id"], amount_minor=300))
    released = till.available(till.wallet)
    rest = till.done(till.command("release", hold_id=hold["id"]))

    assert (held, released) == (46_500, 46_800)
    assert rest["moved_minor"] == 700
    assert till.account(till.wallet)["held_minor"] == 0
    assert till.available(till.wallet) == 47_500


def test_final_capture_gives_the_rest_back(till: Till) -> None:
    hold = till.command("hold", account_id=till.wallet, amount_minor=3_000)
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": 1}
    till.done(hold)

    till.done(till.command("capture", hold_id=hold["id"], legs=[leg], final=True))

    assert till.available(till.wallet) == 49_999


def test_hold_expires_at_its_time_and_not_before(till: Till) -> None:
    expires_at = till.shop.at.now() + timedelta(days=1)
    hold = till.command("hold", account_id=till.wallet, amount_minor=3_000, expires_at=expires_at.isoformat())
    till.done(hold)

    answer = till.session.post(TRANSFERS, till.command("expire", hold_id=hold["id"]))

    assert refused(answer, 422, "hold_not_expired")["retry"] == "same_key"
    assert till.available(till.wallet) == 47_000


def test_transfer_is_reversed_once_in_full_or_in_part(till: Till) -> None:
    first, second = till.post(till.wallet, till.seller, 900), till.post(till.wallet, till.seller, 700)
    till.done(first)
    till.done(second)

    till.done(till.command("reverse", transfer_id=first["id"]))
    till.done(till.command("reverse", transfer_id=second["id"], parts=[{"leg": 1, "amount_minor": 200}]))
    again = till.session.post(TRANSFERS, till.command("reverse", transfer_id=first["id"]))

    refused(again, 422, "already_reversed")
    assert (till.available(till.wallet), till.available(till.seller)) == (49_500, 500)


def test_account_is_opened_frozen_thawed_and_closed(till: Till) -> None:
    savings = till.opened(tags=["goal"])
    till.done(till.post(till.wallet, savings, 100))

    till.done(till.command("freeze_account", account_id=savings))
    refused(till.session.post(TRANSFERS, till.post(savings, till.wallet, 100)), 422, "account_frozen")
    till.done(till.command("unfreeze_account", account_id=savings))
    refused(
        till.session.post(TRANSFERS, till.command("close_account", account_id=savings)),
        422,
        "account_not_empty",
    )
    till.done(till.post(savings, till.wallet, 100))
    till.done(till.command("close_account", account_id=savings))

    refused(till.session.post(TRANSFERS, till.post(till.wallet, savings, 1)), 422, "account_closed")
    assert till.account(savings)["status"] == "closed"


@pytest.mark.parametrize(
    ("limits", "floor_minor"),
    [({}, 0), ({"min_available_minor": None}, None), ({"min_available_minor": -500}, -500)],
)
def test_account_has_the_charts_own_floor_unless_it_is_told_another(
    till: Till, limits: Json, floor_minor: int | None
) -> None:
    savings = till.opened(**limits)

    enough = till.session.post(TRANSFERS, till.post(savings, till.wallet, 500))
    more = till.session.post(TRANSFERS, till.post(savings, till.wallet, 1))

    assert enough.status_code == (422 if floor_minor == 0 else 201)
    assert more.status_code == (201 if floor_minor is None else 422)


def test_account_with_a_cap_takes_no_more(till: Till) -> None:
    savings = till.opened(max_balance_minor=1_000)
    till.done(till.post(till.wallet, savings, 1_000))

    refused(till.session.post(TRANSFERS, till.post(till.wallet, savings, 1)), 422, "balance_cap")


def test_money_is_converted_at_a_rate_that_is_kept(till: Till) -> None:
    dollars = till.opened(currency="USD")
    ours = [till.opened(code="currency_conversion", subdivision=[f"desk-{code.lower()}"], party_id=None, currency=code)
            for code in ("EUR", "USD")]  # fmt: skip
    legs = [
        {"debit": till.wallet, "credit": ours[0], "amount_minor": 1_000},
        {"debit": ours[1], "credit": dollars, "amount_minor": 1_085},
    ]
    rate = {"sold": "EUR", "bought": "USD", "numerator": 1_085, "denominator": 1_000}

    wrong = till.session.post(TRANSFERS, till.command("post", legs=legs, rate=rate | {"numerator": 1_084}))
    till.done(till.command("post", legs=legs, rate=rate))

    refused(wrong, 422, "rate_differs")
    assert (till.available(till.wallet), till.available(dollars)) == (49_000, 1_085)


# --- the id is the key --------------------------------------------------------------------------------------


def test_same_transfer_again_is_told_as_it_was_and_has_no_second_effect(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_000)
    first = till.done(command)

    with till.shop.at.nothing_changes():
        again = till.session.post(TRANSFERS, command)

    assert again.status_code == 200
    assert again.json() == first | {"result": "exists"}


def test_transfer_needs_no_idempotency_key_and_minds_none(till: Till) -> None:
    one, two = till.post(till.wallet, till.seller, 100), till.post(till.wallet, till.seller, 200)
    headers = {"Authorization": f"Bearer {till.session.token}"}

    bare = till.shop.at.http.post(TRANSFERS, json=one, headers=headers)
    same_key = [till.session.post(TRANSFERS, two, key="k"), till.session.post(TRANSFERS, one, key="k")]

    assert [answer.status_code for answer in (bare, *same_key)] == [201, 201, 200]


def test_undated_transfer_is_the_same_transfer_later(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_000)
    first = till.done(command)

    till.shop.at.set_clock(till.shop.at.now() + timedelta(minutes=1))
    again = till.session.post(TRANSFERS, command)

    assert again.json() == first | {"result": "exists"}


def test_time_is_the_same_time_in_every_zone(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_000, effective_at="2026-11-16T10:30:00+01:00")
    till.done(command)

    same = till.session.post(TRANSFERS, command | {"effective_at": "2026-11-16T09:30:00Z"})
    other = till.session.post(TRANSFERS, command | {"effective_at": "2026-11-16T10:30:00Z"})

    assert same.status_code == 200
    refused(other, 409, "id_reused", "effective_at")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reference": "other"}, "reference"),
        ({"metadata": {"order": "2"}}, "metadata"),
        ({"adjusting": True}, "adjusting"),
        ({"effective_at": "2026-11-01T00:00:00Z"}, "effective_at"),
        ({"rate": {"sold": "EUR", "bought": "USD", "numerator": 1, "denominator": 1}}, "rate"),
    ],
)
def test_reused_id_names_the_field_that_differs(shop: Shop, changes: Json, field: str) -> None:
    till = till_of(shop, "periods:write")
    command = till.post(till.wallet, till.seller, 1_000, metadata={"order": "1"})
    till.done(command)

    with shop.at.nothing_changes():
        answer = till.session.post(TRANSFERS, command | changes)

    refused(answer, 409, "id_reused", field)


def test_reused_id_with_other_legs_or_another_kind_names_it(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_000)
    till.done(command)
    hold = till.command("hold", account_id=till.wallet, amount_minor=1_000, id=command["id"])

    with till.shop.at.nothing_changes():
        more = till.session.post(TRANSFERS, till.post(till.wallet, till.seller, 1_001, id=command["id"]))
        other = till.session.post(TRANSFERS, hold)

    refused(more, 409, "id_reused", "legs")
    refused(other, 409, "id_reused", "kind")


def test_release_of_all_is_not_the_release_of_as_much(till: Till) -> None:
    hold = till.command("hold", account_id=till.wallet, amount_minor=1_000)
    release = till.command("release", hold_id=hold["id"])
    till.done(hold)
    till.done(release)

    assert till.session.post(TRANSFERS, release).status_code == 200
    refused(till.session.post(TRANSFERS, release | {"amount_minor": 1_000}), 409, "id_reused", "amount_minor")


def test_refused_transfer_leaves_its_id_free(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 50_001)

    with till.shop.at.nothing_changes():
        short = till.session.post(TRANSFERS, command)

    assert refused(short, 422, "insufficient_funds")["retry"] == "same_key"
    till.done(till.post(till.wallet, till.seller, 50_000, id=command["id"]))


def test_transfer_that_stands_is_told_whatever_has_become_of_its_accounts(till: Till) -> None:
    savings = till.opened()
    filled, emptied = till.post(till.wallet, savings, 100), till.post(savings, till.wallet, 100)
    till.done(filled)
    till.done(emptied)
    till.done(till.command("close_account", account_id=savings))

    assert [till.session.post(TRANSFERS, command).status_code for command in (filled, emptied)] == [200, 200]


# --- batches ------------------------------------------------------------------------------------------------


def test_batch_answers_group_by_group_and_command_by_command(till: Till) -> None:
    fine = [till.post(till.wallet, till.seller, 100), till.post(till.wallet, till.seller, 200)]
    short = [till.post(till.wallet, till.seller, 300), till.post(till.wallet, till.seller, 50_000)]
    last = [till.post(till.wallet, till.seller, 400)]

    groups = till.batch(fine, short, last)

    assert [group["result"] for group in groups] == ["applied", "refused", "applied"]
    assert [item["id"] for group in groups for item in group["results"]] == [
        command["id"] for command in (*fine, *short, *last)
    ]
    assert [item["code"] for item in groups[1]["results"]] == ["group_refused", "insufficient_funds"]
    assert [item["moved_minor"] for item in groups[0]["results"]] == [100, 200]
    assert till.available(till.wallet) == 50_000 - 700


def test_batch_again_is_told_as_it_was(till: Till) -> None:
    groups = [[till.post(till.wallet, till.seller, 100)], [till.post(till.wallet, till.seller, 60_000)]]
    first = till.batch(*groups)

    with till.shop.at.nothing_changes():
        second = till.batch(*groups)

    assert [group["result"] for group in second] == ["exists", "refused"]
    assert second[0]["results"][0] == first[0]["results"][0] | {"result": "exists"}
    assert second[1] == first[1]


def test_reused_id_in_a_batch_names_the_field(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 100)
    till.done(command)

    ((item,),) = (group["results"] for group in till.batch([command | {"reference": "other"}]))

    assert (item["code"], item["field"]) == ("id_reused", "reference")


def test_group_opens_an_account_and_uses_it_at_once(till: Till) -> None:
    opening = till.open_account()
    hold = till.command("hold", account_id=opening["account_id"], amount_minor=400)
    filled = till.post(till.wallet, opening["account_id"], 500)
    more = till.command("increase", hold_id=hold["id"], amount_minor=100)

    (group,) = till.batch([opening, filled, hold, more, till.command("reverse", transfer_id=filled["id"])])
    (again,) = till.batch([opening, filled, hold, more])

    assert group["results"][-1]["code"] == "insufficient_funds"  # what is held cannot be given back
    assert again["result"] == "applied"
    assert till.account(opening["account_id"])["held_minor"] == 500


def test_group_that_fails_leaves_no_account(till: Till) -> None:
    opening = till.open_account()

    with till.shop.at.nothing_changes():
        (group,) = till.batch([opening, till.post(opening["account_id"], till.wallet, 1)])

    assert [item["code"] for item in group["results"]] == ["group_refused", "insufficient_funds"]
    refused(till.shop.api.get(f"/v1/accounts/{opening['account_id']}"), 404, "not_found")


def test_full_batch_is_carried_out_in_one_transaction(till: Till) -> None:
    groups = [[till.post(till.wallet, till.seller, 1)] for _ in range(8_192)]

    answered = till.batch(*groups)

    assert {group["result"] for group in answered} == {"applied"}
    assert till.available(till.seller) == 8_192
    with till.shop.at.owner.connect() as connection:
        written = connection.exec_driver_sql(
            "SELECT count(DISTINCT xid), count(*) FROM transfers WHERE reference = 'till-1' AND programme_id = %s",
            (till.shop.programme_id.removeprefix("prg_"),),
        ).one()
    assert tuple(written) == (1, 8_192)


# --- the gate -----------------------------------------------------------------------------------------------


def cases(shop: Shop) -> list[Json]:
    return list(shop.api.read("/v1/cases")["data"])


def test_transfer_above_the_limit_is_refused_by_the_gate_and_is_one_case(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 10_000_001)

    with till.shop.at.only_changes("cases"):
        first = till.session.post(TRANSFERS, command)
    with till.shop.at.nothing_changes():
        again = till.session.post(TRANSFERS, command)

    problem = refused(first, 403, "refused_by_gate")
    assert problem["errors"][0]["code"] == "transaction_limit"
    assert again.json() == problem
    assert [case["outcome"] for case in cases(till.shop)] == ["refused"]


def test_group_that_the_gate_keeps_back_is_an_answer_and_its_neighbours_stand(till: Till) -> None:
    above = [till.post(till.wallet, till.seller, 1), till.post(till.wallet, till.seller, 10_000_001)]

    groups = till.batch(
        [till.post(till.wallet, till.seller, 100)], above, [till.post(till.wallet, till.seller, 200)]
    )

    assert [group["result"] for group in groups] == ["applied", "refused", "applied"]
    assert groups[1]["code"] == "refused_by_gate"
    assert "above the limit" in groups[1]["detail"]
    assert [item["code"] for item in groups[1]["results"]] == ["refused_by_gate"] * 2
    assert till.available(till.wallet) == 49_700


def test_currency_that_the_policy_does_not_name_is_refused(till: Till) -> None:
    savings = [till.opened(currency="JPY", min_available_minor=None) for _ in range(2)]

    answer = till.session.post(TRANSFERS, till.post(savings[0], savings[1], 1))

    assert refused(answer, 403, "refused_by_gate")["errors"][0]["code"] == "transaction_limit"


def test_held_party_neither_gives_nor_takes_but_gets_its_money_back(till: Till) -> None:
    savings = till.opened()
    hold = till.command("hold", account_id=till.wallet, amount_minor=1_000)
    before = till.post(till.wallet, savings, 100)
    till.done(hold)
    till.done(before)
    suspend(till.shop, till.shop.ana)

    moving = [
        till.post(till.wallet, till.seller, 1),
        till.command("hold", account_id=till.wallet, amount_minor=1),
        till.command("increase", hold_id=hold["id"], amount_minor=1),
        till.command(
            "capture",
            hold_id=hold["id"],
            legs=[{"debit": till.wallet, "credit": till.seller, "amount_minor": 1}],
        ),
        till.command("reverse", transfer_id=before["id"]),
        till.open_account(),
    ]
    for command in moving:
        refused(till.session.post(TRANSFERS, command), 403, "held_for_review")

    assert till.session.post(TRANSFERS, before).status_code == 200  # what stands is told
    till.done(till.command("release", hold_id=hold["id"]))
    till.done(till.command("freeze_account", account_id=savings))
    refused(
        till.session.post(TRANSFERS, till.command("unfreeze_account", account_id=savings)),
        403,
        "held_for_review",
    )


def suspend(shop: Shop, party: Json) -> None:
    """The party is held, as a person or a new list would have it."""
    with shop.at.owner.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE parties SET status = 'held' WHERE id = %s", (party["id"].removeprefix("pty_"),)
        )


# --- scopes and periods -------------------------------------------------------------------------------------


def test_payments_client_may_not_write_transfers(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1)

    for path, body in ((TRANSFERS, command), (BATCH, {"groups": [[command]]})):
        with till.shop.at.nothing_changes():
            refused(till.shop.api.post(path, body), 403, "scope_missing")


def test_adjusting_transfer_needs_the_scope_of_who_closes_periods(shop: Shop) -> None:
    clerk, accountant = till_of(shop), till_of(shop, "periods:write")
    command = clerk.post(clerk.wallet, clerk.seller, 1, adjusting=True)

    for path, body in (
        (TRANSFERS, command),
        (BATCH, {"groups": [[clerk.post(clerk.wallet, clerk.seller, 1)], [command]]}),
    ):
        with shop.at.nothing_changes():
            refused(clerk.session.post(path, body), 403, "scope_missing")

    accountant.done(command)


# --- other programmes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(installation: Installation) -> Till:
    """Another programme, with money, a hold and a transfer of its own."""
    return till_of(open_shop(installation).fund(50_000))


def foreign(till: Till, stranger: Till, hold: Json, moved: Json) -> dict[str, tuple[Json, str]]:
    theirs = stranger.wallet
    leg = {"debit": till.wallet, "credit": till.seller, "amount_minor": 1}
    return {
        "from their account": (till.post(theirs, till.seller, 1), "account_unknown"),
        "to their account": (till.post(till.wallet, theirs, 1), "account_unknown"),
        "between their accounts": (till.post(theirs, stranger.seller, 1), "account_unknown"),
        "a hold on their account": (
            till.command("hold", account_id=theirs, amount_minor=1),
            "account_unknown",
        ),
        "more under their hold": (
            till.command("increase", hold_id=hold["id"], amount_minor=1),
            "hold_unknown",
        ),
        "a capture of their hold": (till.command("capture", hold_id=hold["id"], legs=[leg]), "hold_unknown"),
        "a release of their hold": (till.command("release", hold_id=hold["id"]), "hold_unknown"),
        "an end of their hold": (till.command("expire", hold_id=hold["id"]), "hold_unknown"),
        "a reversal of their transfer": (
            till.command("reverse", transfer_id=moved["id"]),
            "transfer_unknown",
        ),
        "a freeze of their account": (till.command("freeze_account", account_id=theirs), "account_unknown"),
        "a thaw of their account": (till.command("unfreeze_account", account_id=theirs), "account_unknown"),
        "the end of their account": (till.command("close_account", account_id=theirs), "account_unknown"),
        "an amount above every limit": (till.post(theirs, stranger.seller, 2**63 - 1), "account_unknown"),
    }


def test_what_belongs_to_another_programme_is_unknown(till: Till, stranger: Till) -> None:
    hold = stranger.command("hold", account_id=stranger.wallet, amount_minor=100)
    moved = stranger.post(stranger.wallet, stranger.seller, 100)
    stranger.done(hold)
    stranger.done(moved)

    for case, (command, code) in foreign(till, stranger, hold, moved).items():
        with till.shop.at.nothing_changes():
            answer = till.session.post(TRANSFERS, command)
        assert answer.json().get("code") == code, case
        refused(answer, 422, code)


def test_account_is_not_opened_for_another_programmes_party_nor_under_its_id(
    till: Till, stranger: Till
) -> None:
    with till.shop.at.nothing_changes():
        for_theirs = till.session.post(TRANSFERS, till.open_account(party_id=stranger.shop.ana["id"]))
        under_theirs = till.session.post(TRANSFERS, till.open_account(account_id=stranger.wallet))

    refused(for_theirs, 404, "party_unknown", "party_id")
    refused(under_theirs, 422, "account_exists")


def test_id_that_another_programme_used_is_taken_and_no_more_is_told(till: Till, stranger: Till) -> None:
    theirs = stranger.post(stranger.wallet, stranger.seller, 100)
    stranger.done(theirs)

    with till.shop.at.nothing_changes():
        same = till.session.post(TRANSFERS, theirs)
        ours = till.session.post(TRANSFERS, till.post(till.wallet, till.seller, 1, id=theirs["id"]))

    for answer in (same, ours):
        problem = refused(answer, 409, "id_reused", "id")
        assert "legs" not in answer.text
        assert stranger.shop.programme_id not in problem["detail"]


# --- many at once -------------------------------------------------------------------------------------------


def sent(till: Till, path: str, content: Any) -> Json:
    return {
        "method": "POST",
        "url": path,
        "json": content,
        "headers": {"Authorization": f"Bearer {till.session.token}"},
    }


def test_callers_at_once_share_commits(till: Till) -> None:
    commands = [till.post(till.wallet, till.seller, 1) for _ in range(120)]

    answers = till.shop.at.http.at_once([sent(till, TRANSFERS, command) for command in commands])

    assert {answer.status_code for answer in answers} == {201}
    assert [answer.json()["id"] for answer in answers] == [command["id"] for command in commands]
    with till.shop.at.owner.connect() as connection:
        commits = connection.exec_driver_sql(
            "SELECT count(DISTINCT xid) FROM transfers WHERE reference = 'till-1' AND programme_id = %s",
            (till.shop.programme_id.removeprefix("prg_"),),
        ).scalar_one()
    assert commits < 60
    assert till.available(till.wallet) == 50_000 - 120


def test_good_and_bad_at_once_each_get_their_own_answer(till: Till) -> None:
    savings = till.opened()
    kinds: list[tuple[Json, int]] = [
        (till.post(till.wallet, till.seller, 10), 201),
        (till.post(till.wallet, till.seller, 10_000_001), 403),
        (till.post(savings, till.seller, 1), 422),
        (till.post(till.wallet, till.wallet, 1), 422),
        (till.open_account(party_id=f"pty_{'0' * 32}"), 404),
        (till.command("hold", account_id=till.wallet, amount_minor=7), 201),
    ]
    asked = [({**command, "id": xfr()}, status) for command, status in kinds * 8]

    answers = till.shop.at.http.at_once([sent(till, TRANSFERS, command) for command, _ in asked])

    assert [answer.status_code for answer in answers] == [status for _, status in asked]
    assert till.available(till.wallet) == 50_000 - 8 * 17


def test_one_id_from_many_callers_is_one_transfer(till: Till) -> None:
    command = till.post(till.wallet, till.seller, 1_000)

    answers = till.shop.at.http.at_once(
        [sent(till, TRANSFERS, command) for _ in range(20)]
        + [sent(till, BATCH, {"groups": [[command]]}) for _ in range(5)]
    )

    single = [answer.json()["result"] for answer in answers[:20]]
    grouped = [answer.json()["groups"][0]["result"] for answer in answers[20:]]
    assert sorted(single + grouped) == ["applied"] + ["exists"] * 24
    assert till.available(till.wallet) == 49_000


def test_last_of_the_money_is_spent_once(till: Till) -> None:
    commands = [till.post(till.wallet, till.seller, 3_000) for _ in range(40)]

    answers = till.shop.at.http.at_once([sent(till, TRANSFERS, command) for command in commands])

    assert sorted(answer.status_code for answer in answers) == [201] * 16 + [422] * 24
    assert till.available(till.wallet) == 2_000
