"""Two hundred payouts, a bank that misbehaves, and senders killed at every point: each is paid once, or not at all."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.caller import until
from api.jobs import Jobs
from api.parts import build_parts
from api.settings import read_settings
from api.stack import Stack
from tests.story.installation import Installation, install
from tests.story.killed_sender import POINTS

pytestmark = pytest.mark.story

PAYOUTS = 200
EACH_MINOR = 10
ROUNDS = 12
WAIT_S = 120.0
OPEN = {"queued", "scheduled", "submitted", "accepted", "in_transit", "unknown"}
ORDERS, INSTANT = "/v1/payments/", "Sepa.Instant.Outbound.Payment"
FAULTS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"kind": "lost_answer"}, 12),
    ({"kind": "truncated_answer"}, 6),
    ({"kind": "error_500_after"}, 12),
    ({"kind": "turned_away_after"}, 12),
    ({"kind": "refuse_500"}, 12),
    ({"kind": "dropped_request"}, 6),
    ({"kind": "reject", "reason": "AC04"}, 12),
    ({"kind": "reject", "reason": "ZZ99"}, 4),
    ({"kind": "lost_webhook", "match": {"webhookType": f"{INSTANT}.Settled"}}, 12),
    ({"kind": "duplicate_webhook", "match": {"webhookType": f"{INSTANT}.Settled"}}, 12),
    ({"kind": "late_webhook", "match": {"webhookType": f"{INSTANT}.Created"}}, 6),
    ({"kind": "cancel_delayed"}, 4),
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    stack = Stack(tmp_path_factory.mktemp("killed") / "home", clock="test")
    stack.start()
    try:
        running = install(stack)
        yield running
        running.close()
    finally:
        stack.stop()


def order_all(installation: Installation) -> dict[str, str]:
    """Two hundred payouts, by their ids at every bank."""
    ordered = {}
    for number in range(PAYOUTS):
        body = {
            "party_id": installation.merchant["id"],
            "reference": f"killed-{number}",
            "amount_minor": EACH_MINOR,
            "currency": "EUR",
            "rail": "SCT_INST",
            "remittance": "Payout",
        }
        payout = installation.pay.post("/v1/payouts", body)
        ordered[payout["id"]] = payout["end_to_end_id"]
    return ordered


def misbehave(installation: Installation, end_to_end_ids: list[str]) -> None:
    """Orders every fault for payments of its own: two faults of one payment may leave nobody who could tell."""
    left = iter(end_to_end_ids)
    for fault, times in FAULTS:
        for _ in range(times):
            match = {"endToEndId": next(left), **fault.get("match", {})}
            installation.bank.post("/sandbox/faults", json={**fault, "match": match}).raise_for_status()


def states_of(installation: Installation, ordered: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    after = ""
    while True:
        page = installation.pay.get(f"/v1/payouts?limit=100{after}")
        found |= {item["id"]: item["state"] for item in page["data"]}
        if not page["has_more"]:
            return {payout_id: found[payout_id] for payout_id in ordered}
        after = f"&after={page['data'][-1]['id']}"


def await_the_end(installation: Installation, ordered: dict[str, str]) -> None:
    """Waits for every payout's end, and asks the bank at once what the worker asks every five minutes."""
    socket = os.path.relpath(installation.stack.home / "enclave.sock")
    settings = installation.stack.environment() | {"TALLYSTICK_ENCLAVE_SOCKET": socket}
    parts = build_parts(read_settings(settings))

    def are_over() -> bool | None:
        Jobs(parts).chase()
        return not OPEN & set(states_of(installation, ordered).values()) or None

    try:
        until("the end of every payout", are_over, within_s=WAIT_S)
    finally:
        parts.close()


def safeguarding_minor(installation: Installation) -> tuple[int, int]:
    """What the book says is in the safeguarding account, and what the bank says."""
    rows = {row["code"]: row for row in installation.pay.get("/v1/reports/trial-balance")["rows"]}
    accounts = installation.bank.get("/sandbox/accounts").json()["accounts"]
    [at_bank] = [item for item in accounts if item["kind"] == "GeneralSegregated"]
    return rows["safeguarding_bank"]["balance_minor"], at_bank["actualMinor"]


def test_two_hundred_payouts_and_senders_killed_at_every_point_end_in_their_true_state(
    installation: Installation, tmp_path: Path
) -> None:
    installation.stack.kill("worker")
    before_minor = installation.posted_minor(installation.merchant)
    ordered = order_all(installation)
    misbehave(installation, list(ordered.values()))
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(installation.stack.environment()))

    dice, killed = Random(5), Counter[str]()
    for number in range(ROUNDS):
        point = POINTS[number % len(POINTS)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.story.killed_sender", point, str(dice.randint(1, 5)), settings],
            cwd=installation.stack.home,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
            timeout=120,
        )
        killed[point] += done.returncode == -9
    assert all(killed[point] for point in POINTS), killed

    installation.stack.start_worker()
    await_the_end(installation, ordered)

    states = states_of(installation, ordered)
    listed = installation.bank.get("/sandbox/payments").json()["payments"]
    at_bank: dict[str, list[str]] = {}
    for item in listed:
        at_bank.setdefault(item["endToEndId"], []).append(item["status"])
    truths = {payout_id: at_bank.get(end_to_end_id, []) for payout_id, end_to_end_id in ordered.items()}
    assert all(len(truth) <= 1 for truth in truths.values())
    assert {
        payout_id: (state, truths[payout_id])
        for payout_id, state in states.items()
        if truths[payout_id] != [{"settled": "settled", "rejected": "cancelled"}.get(state)]
    } == {}
    settled = sum(state == "settled" for state in states.values())
    assert 0 < settled < PAYOUTS
    assert installation.posted_minor(installation.merchant) == before_minor - EACH_MINOR * settled
    ours, theirs = safeguarding_minor(installation)
    assert ours == theirs
