"""A whole installation for a test: every process real, and the first steps of a programme already taken."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api.bank_desk import OpenedAccount, open_account
from api.caller import ApiCaller, until
from api.stack import Stack

MONDAY = "2026-11-16T09:00:00+00:00"
WAIT_S = 30.0


@dataclass
class Installation:
    """A running stack with one programme, one merchant and one customer whose wallet holds money."""

    stack: Stack
    bank: httpx.Client
    pay: ApiCaller
    merchant: dict[str, Any]
    customer: dict[str, Any]

    def payout(self, payout_id: str) -> dict[str, Any]:
        return self.pay.get(f"/v1/payouts/{payout_id}")

    def payout_in(self, payout_id: str, state: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.payout(payout_id)
            return found if found["state"] == state else None

        return until(f"payout {payout_id} {state}", reached, within_s=WAIT_S)

    def orders_at_the_bank(self, end_to_end_id: str) -> list[dict[str, Any]]:
        received = self.bank.get("/sandbox/payments").raise_for_status().json()["payments"]
        return [order for order in received if order["endToEndId"] == end_to_end_id]

    def fault(self, kind: str, *, times: int = 1, reason: str | None = None, **match: str) -> None:
        body = {"kind": kind, "match": match, "times": times} | ({"reason": reason} if reason else {})
        self.bank.post("/sandbox/faults", json=body).raise_for_status()

    def posted_minor(self, party: dict[str, Any]) -> int:
        posted: int = self.pay.get(f"/v1/accounts/{party['account_id']}")["posted_minor"]
        return posted

    def close(self) -> None:
        self.bank.close()
        self.pay.close()


def install(stack: Stack) -> Installation:
    """Founds a programme on a running stack, and gives its merchant EUR 25.00 of a sale."""
    bank = httpx.Client(base_url=stack.bank_url, trust_env=False, timeout=30)
    name, secret = stack.operator()
    operator = ApiCaller(stack.api_url, client_id=name, secret=secret)
    bank.post("/sandbox/clock", json={"now": MONDAY}).raise_for_status()
    operator.post("/v1/test-clock", {"now": MONDAY})
    pay = _found(stack, operator)
    operator.close()
    customer = pay.post("/v1/parties", {"role": "customer", "name": "Ana Moreau", "reference": "ana"})
    merchant = pay.post(
        "/v1/parties",
        {
            "role": "merchant",
            "name": "Soundbar GmbH",
            "reference": "soundbar",
            "payout_iban": "DE89370400440532013000",
        },
    )
    installation = Installation(stack, bank, pay, merchant, customer)
    _fund(installation)
    _sell(installation)
    return installation


def _found(stack: Stack, operator: ApiCaller) -> ApiCaller:
    safeguarding, operating = (_open(stack, kind) for kind in ("GeneralSegregated", "YourFunds"))
    founded = operator.post(
        "/v1/programmes",
        {
            "name": "pay-eu",
            "legal_name": "Pay EU B.V.",
            "bank_connection": "sandbox",
            "safeguarding": {"bank_id": safeguarding.bank_id, "iban": safeguarding.iban},
            "operating": {"bank_id": operating.bank_id, "iban": operating.iban},
            "currency": "EUR",
        },
    )
    scopes = {"scopes": ["payments", "compliance", "reports"]}
    client = operator.post(f"/v1/programmes/{founded['id']}/clients", scopes)
    pay = ApiCaller(stack.api_url, client_id=client["client_id"], secret=client["client_secret"])
    listed = {"name": "demo-list", "legal_basis": "national", "csv": 'entry,name\nD-1,"ZUBAROV, Viktor A."\n'}
    pay.post("/v1/sanctions-lists", listed)
    return pay


def _open(stack: Stack, kind: str) -> OpenedAccount:
    return open_account(
        bank_url=stack.bank_url,
        token=(stack.home / "bank-token").read_text(),
        enclave_socket=Path(os.path.relpath(stack.home / "enclave.sock")),
        label=kind,
        owner="Pay EU B.V.",
        kind=kind,
    )


def _fund(installation: Installation) -> None:
    pay, customer = installation.pay, installation.customer
    wish = pay.post("/v1/virtual-ibans", {"party_id": customer["id"]})

    def active() -> str | None:
        iban: str | None = pay.get(f"/v1/virtual-ibans/{wish['id']}")["iban"]
        return iban

    order = {
        "creditorIban": until("the virtual IBAN", active, within_s=WAIT_S),
        "amount": 100,
        "endToEndId": "TOPUP-1",
        "reference": "Top up",
        "debtorName": "Ana Moreau",
        "debtorIban": "FR1420041010050500013M02606",
        "debtorBic": "PSSTFRPPXXX",
    }
    installation.bank.post("/sandbox/inbound", json=order).raise_for_status()
    until("the deposit", lambda: installation.posted_minor(customer) or None, within_s=WAIT_S)


def _sell(installation: Installation) -> None:
    """Sells for EUR 25.00, which needs no authentication, without commission."""
    line = {
        "id": "cable",
        "seller": installation.merchant["id"],
        "quantity": 1,
        "unit_minor": 2500,
        "amount_minor": 2500,
        "splits": [{"to": installation.merchant["id"], "remainder": True}],
    }
    checkout = installation.pay.post(
        "/v1/checkouts",
        {
            "payer": installation.customer["id"],
            "reference": "cart-1",
            "currency": "EUR",
            "amount_minor": 2500,
            "lines": [line],
        },
    )
    captured = {"lines": [{"id": "cable", "amount_minor": 2500}]}
    installation.pay.post(f"/v1/checkouts/{checkout['id']}/captures", captured)
