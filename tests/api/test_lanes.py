"""Lanes: writes gather in one transaction, each gets its own answer, and no bad one harms its neighbours."""

import asyncio
import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from api.gathering import LaneFull
from api.lanes import QUEUED_MAX, Answer, Ask, Lane, Reply, Work
from api.problems import Problem, not_found
from api.store import Client, KeyUse, insert_client
from api.transactions import SystemClock, transactions
from ledger.core.errors import Conflict, InvalidValue
from ledger.store.tx import Tx
from tests.api.promises import keep_promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, part
from tests.conftest import Database

Outcome = Answer | BaseException


def ask(payload: str, *, key: str | None = None) -> Ask:
    fingerprint = payload.encode().ljust(32, b".")[:32]
    return Ask(None, KeyUse("cli_test", "POST /test", key or secrets.token_hex(8), fingerprint), payload)


def write_client(tx: Tx, payload: str) -> None:
    insert_client(tx, Client(f"cli_{payload}_{secrets.token_hex(4)}", None, bytes(32), ()))


def echo(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Writes one row for each ask and says its payload back."""
    for item in asks:
        write_client(tx, item.payload)
    return [Reply(201, {"echo": item.payload}) for item in asks]


@dataclass(slots=True)
class Gatekeeper:
    """Work that waits until it is let through, so that what comes meanwhile gathers behind it."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def work(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        assert tx is not None
        self.entered.set()
        assert self.opened.wait(30)
        return [Reply(200, {}, keep=False) for _ in asks]

    def __hash__(self) -> int:
        return id(self)


async def submit_behind(lane: Lane, keeper: Gatekeeper, work: Work, asks: Sequence[Ask]) -> list[Outcome]:
    """Submits all of them while the lane is held up: they are gathered into one batch."""
    first = asyncio.create_task(lane.submit(keeper.work, ask("first")))
    await asyncio.to_thread(keeper.entered.wait, 30)
    tasks = [asyncio.create_task(lane.submit(work, item)) for item in asks]
    await asyncio.sleep(0)  # every task has run up to its answer
    keeper.opened.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def gathered(lane: Lane, work: Work, asks: Sequence[Ask]) -> list[Outcome]:
    return asyncio.run(submit_behind(lane, Gatekeeper(), work, asks))


@pytest.fixture
def lane(database: Database) -> Iterator[Lane]:
    made = Lane(transactions(database.app_engine, SystemClock()))
    made.start()
    yield made
    made.stop()


def count(database: Database, table: str) -> int:
    with database.owner_engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def body(outcome: Outcome) -> Json:
    assert isinstance(outcome, Answer), outcome
    return dict(json.loads(outcome.text))


def test_what_has_gathered_is_one_call_in_one_transaction(lane: Lane, database: Database) -> None:
    calls: list[list[str]] = []
    ids: set[int] = set()

    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        calls.append([item.payload for item in asks])
        ids.add(tx.connection.execute(sa.text("SELECT pg_current_xact_id()::text::bigint")).scalar_one())
        return echo(tx, asks)

    asked = [ask(f"item{number}") for number in range(50)]
    outcomes = gathered(lane, work, asked)

    assert calls == [[item.payload for item in asked]]
    assert len(ids) == 1
    assert [body(outcome)["echo"] for outcome in outcomes] == calls[0]
    assert (count(database, "clients"), count(database, "idempotency_keys")) == (50, 50)


def test_two_kinds_of_work_share_a_transaction_and_not_a_call(lane: Lane) -> None:
    def other(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        assert {item.payload for item in asks} == {"other"}
        return [Reply(200, {"other": True}, keep=False) for _ in asks]

    async def both() -> list[Outcome]:
        keeper = Gatekeeper()
        first = asyncio.create_task(lane.submit(keeper.work, ask("first")))
        await asyncio.to_thread(keeper.entered.wait, 30)
        works = [(echo, "a"), (other, "other"), (echo, "b"), (other, "other")]
        tasks = [asyncio.create_task(lane.submit(work, ask(payload))) for work, payload in works]
        await asyncio.sleep(0)
        keeper.opened.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [body(outcome) for outcome in asyncio.run(both())] == [
        {"echo": "a"}, {"other": True}, {"echo": "b"}, {"other": True},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("a bug"), 500, "internal"),
        (AssertionError("a bug"), 500, "internal"),
        (KeyError("a bug"), 500, "internal"),
        (InvalidValue("no", field="name"), 422, "invalid_value"),
        (Conflict("no"), 409, "conflict"),
        (not_found("thing"), 404, "not_found"),
    ],
)
def test_item_that_raises_fails_alone_and_leaves_nothing(
    lane: Lane, database: Database, error: Exception, status: int, code: str
) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        replies = echo(tx, asks)
        if any(item.payload == "bad" for item in asks):
            raise error
        return replies

    outcomes = gathered(lane, work, [ask("good"), ask("bad"), ask("fine")])

    assert [body(outcomes[0]), body(outcomes[2])] == [{"echo": "good"}, {"echo": "fine"}]
    problem = outcomes[1]
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == (status, code)
    assert (count(database, "clients"), count(database, "idempotency_keys")) == (2, 2)
    again = gathered(lane, echo, [ask("mended")])
    assert body(again[0]) == {"echo": "mended"}


def test_database_error_of_one_item_fails_it_alone(lane: Lane, database: Database) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        for item in asks:
            if item.payload == "bad":
                tx.run(sa.text("SELECT 1 / 0"))
        return echo(tx, asks)

    outcomes = gathered(lane, work, [ask("good"), ask("bad"), ask("fine")])

    assert [isinstance(outcome, Answer) for outcome in outcomes] == [True, False, True]
    assert count(database, "clients") == 2


def test_work_that_answers_too_few_answers_nobody_wrongly(lane: Lane, database: Database) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        return echo(tx, asks)[:1]

    outcomes = gathered(lane, work, [ask("one"), ask("two")])

    assert [body(outcome)["echo"] for outcome in outcomes] == ["one", "two"]  # each alone, once more
    assert count(database, "clients") == 2


def test_declined_item_frees_its_key_and_a_kept_one_does_not(lane: Lane, database: Database) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        return [
            Reply.declined(not_found("thing")) if item.payload == "bad" else Reply(201, {"n": 1})
            for item in asks
        ]

    outcomes = gathered(lane, work, [ask("bad", key="k1"), ask("good", key="k2")])
    again = gathered(lane, work, [ask("good", key="k1"), ask("other", key="k2"), ask("good", key="k2")])

    assert [outcome.status for outcome in outcomes if isinstance(outcome, Answer)] == [404, 201]
    assert body(again[0]) == {"n": 1}
    assert body(again[1])["code"] == "idempotency_key_reused"
    assert again[2] == Answer(201, '{"n": 1}', replayed=True)
    assert count(database, "idempotency_keys") == 2


def test_twins_in_one_batch_are_one_effect(lane: Lane, database: Database) -> None:
    twins = [ask("same", key="k") for _ in range(5)]

    outcomes = gathered(lane, echo, [*twins, ask("other", key="k")])

    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert [answer.replayed for answer in answers] == [False, True, True, True, True, False]
    assert len({answer.text for answer in answers[:5]}) == 1
    assert body(answers[5])["code"] == "idempotency_key_reused"
    assert count(database, "clients") == 1


def test_two_lanes_under_one_key_are_one_effect(database: Database) -> None:
    lanes = [Lane(transactions(database.app_engine, SystemClock())) for _ in range(2)]
    for each in lanes:
        each.start()

    async def race() -> list[Answer]:
        return await asyncio.gather(
            *(each.submit(echo, ask("same", key=f"k{number}")) for number in range(20) for each in lanes)
        )

    answers = asyncio.run(race())
    for each in lanes:
        each.stop()

    assert count(database, "clients") == 20
    assert sum(answer.replayed for answer in answers) == 20


def test_secret_is_in_the_answer_and_not_in_what_is_kept(lane: Lane, database: Database) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(201, {"id": 1}, secret={"word": "open-sesame"}) for _ in asks]

    first = gathered(lane, work, [ask("x", key="k")])
    again = gathered(lane, work, [ask("x", key="k")])

    assert (body(first[0]), body(again[0])) == ({"id": 1, "word": "open-sesame"}, {"id": 1})
    with database.owner_engine.connect() as connection:
        kept = str(connection.execute(sa.text("SELECT body FROM idempotency_keys")).all())
    assert "open-sesame" not in kept


def test_caller_who_went_away_harms_nobody(lane: Lane, database: Database) -> None:
    async def leave() -> Answer:
        keeper = Gatekeeper()
        first = asyncio.create_task(lane.submit(keeper.work, ask("first")))
        await asyncio.to_thread(keeper.entered.wait, 30)
        impatient = asyncio.create_task(lane.submit(echo, ask("impatient")))
        patient = asyncio.create_task(lane.submit(echo, ask("patient")))
        await asyncio.sleep(0)
        impatient.cancel()
        keeper.opened.set()
        await first
        return await patient

    assert body(asyncio.run(leave())) == {"echo": "patient"}
    assert count(database, "clients") == 2  # what was asked is done, whoever waits for the answer


def test_lane_finishes_what_waits_before_it_stops(database: Database) -> None:
    lane = Lane(transactions(database.app_engine, SystemClock()))
    lane.start()

    async def stop_while_waiting() -> list[Outcome]:
        keeper = Gatekeeper()
        first = asyncio.create_task(lane.submit(keeper.work, ask("first")))
        await asyncio.to_thread(keeper.entered.wait, 30)
        tasks = [asyncio.create_task(lane.submit(echo, ask(f"n{number}"))) for number in range(10)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(lane.stop))
        keeper.opened.set()
        await stopping
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    outcomes = asyncio.run(stop_while_waiting())

    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert count(database, "clients") == 10


# --- through the API ----------------------------------------------------------------------------------------


def sent(shop: Shop, path: str, content: Json) -> Json:
    headers = {"Authorization": f"Bearer {shop.api.token}", "Idempotency-Key": secrets.token_hex(8)}
    return {"method": "POST", "url": path, "json": content, "headers": headers}


def test_good_and_bad_carts_at_once_each_get_their_own_answer(shop: Shop) -> None:
    taken = shop.authorised(1_000)["reference"]
    kinds: list[tuple[Json, int, str]] = [
        (shop.cart(1_000), 201, "authorised"),
        (shop.cart(3_001), 201, "requires_authentication"),
        (shop.cart(1_000, reference=taken), 409, "reference_taken"),
        (shop.cart(1_000, payer=shop.hotel["id"]), 422, "role_wrong"),
        (shop.cart(1_000_001), 403, "refused_by_gate"),
        (shop.cart(1_000, lines=[shop.line(1_001)]), 422, "cart_does_not_add_up"),
    ]
    asked = [
        (
            {**cart, "reference": f"{number}-{cart['reference']}"} if code != "reference_taken" else cart,
            status,
            code,
        )
        for number, (cart, status, code) in enumerate(kinds * 9)
    ]

    answers = shop.at.http.at_once([sent(shop, "/v1/checkouts", cart) for cart, _, _ in asked])

    for answer, (cart, status, code) in zip(answers, asked, strict=True):
        told = answer.json()
        assert (answer.status_code, told.get("code") or told["state"]) == (status, code)
        if status == 201:
            assert told["reference"] == cart["reference"]
    assert shop.available(shop.ana) == 50_000 - 1_000 * 10


def test_last_of_the_money_is_spent_once(shop: Shop) -> None:
    carts = [shop.cart(3_000) for _ in range(40)]

    answers = shop.at.http.at_once([sent(shop, "/v1/checkouts", cart) for cart in carts])

    assert sorted(answer.status_code for answer in answers) == [201] * 16 + [409] * 24
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "insufficient_funds")
    assert shop.available(shop.ana) == 50_000 - 16 * 3_000


def test_captures_refunds_and_payouts_at_once_keep_every_balance(shop: Shop) -> None:
    captured = [shop.captured(1_000) for _ in range(5)]
    opened = [shop.authorised(1_000) for _ in range(5)]
    asked = [sent(shop, f"/v1/checkouts/{item['id']}/refunds", part(1_000)) for item in captured]
    asked += [sent(shop, f"/v1/checkouts/{item['id']}/captures", part(1_000)) for item in opened]
    asked += [sent(shop, "/v1/payouts", shop.payout(830)) for _ in range(20)]

    answers = shop.at.http.at_once(asked)

    assert {answer.status_code for answer in answers} <= {201, 202, 409}
    rows = shop.api.read("/v1/reports/trial-balance")
    assert rows["sum_minor"] == {"EUR": 0}
    assert min(row["balance_minor"] - row["held_minor"] for row in rows["rows"]) >= 0
    keep_promises(shop.at.parts)  # nobody is to be paid by a later test


def test_full_lane_answers_busy_and_when_to_come_back(shop: Shop) -> None:
    lane: Lane = shop.at.app.state.lane

    def nothing(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(200, {}, keep=False) for _ in asks]

    async def fill_and_ask() -> int:
        keeper = Gatekeeper()
        first = asyncio.create_task(lane.submit(keeper.work, ask("first")))
        await asyncio.to_thread(keeper.entered.wait, 30)
        waiting = [asyncio.create_task(lane.submit(nothing, ask("w"))) for _ in range(QUEUED_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(LaneFull):
            await lane.submit(nothing, ask("one too many"))
        answer = await asyncio.to_thread(shop.api.post, "/v1/checkouts", shop.cart())
        keeper.opened.set()
        await asyncio.gather(first, *waiting)
        assert refused(answer, 503, "busy")["retry"] == "same_key"
        return int(answer.headers["retry-after"])

    with shop.at.nothing_changes():
        assert asyncio.run(fill_and_ask()) == 1
    assert shop.api.post("/v1/checkouts", shop.cart()).status_code == 201
