"""Whatever is simulated and whatever goes wrong, the bank's own books add up.

A state machine drives a real bank with random simulations, orders and faults, over days of 23 and 25 hours.
After every step each balance is the sum of its settled postings; at the end each day's statement
leads from its opening to its closing balance, and each closing is the next opening.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.partners.sandbox.bank_process import BankProcess, SigningClient, wait_for
from tests.partners.sandbox.customers import (
    CT_PATH,
    INST_PATH,
    OUTSIDE_IBAN,
    Customer,
    ct_order,
    fresh_id,
    inst_order,
    open_customer,
)
from tests.partners.sandbox.scenes import Page

pytestmark = pytest.mark.slow

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
READY = "Statements.ReadyForDownload"
# The nights before the clocks go forward and back.
STARTS = ("2031-03-28T07:00:00Z", "2031-10-24T07:00:00Z")
EXAMPLES = 3
STEPS = 25
Cents = st.integers(1, 20_000)


@contextmanager
def running_bank() -> Iterator[SigningClient]:
    with TemporaryDirectory() as home:
        bank = BankProcess(instant_delay_seconds=0.05, statement_page_entries=2)
        with bank, SigningClient(bank.start(Path(home)).url) as client:
            client.register()
            yield client


class Books(RuleBasedStateMachine):
    """One bank with two customers, so that money also moves inside it."""

    def __init__(self) -> None:
        super().__init__()
        self._running = running_bank()
        self.client = self._running.__enter__()
        self.customers: list[Customer] = []
        self.incoming: list[str] = []

    @initialize(start=st.sampled_from(STARTS))
    def open(self, start: str) -> None:
        self.client.control("clock", {"now": start})
        self.customers = [open_customer(self.client, funds=funds) for funds in ("900.00", "0")]
        self.money_comes_in(cents=5_000, who=0, instant=False, known=True)
        for instant in (False, True):
            self.pay(cents=4_000, instant=instant, inside=False, text="Payout 1")

    @rule(cents=Cents, who=st.integers(0, 1), instant=st.booleans(), known=st.booleans())
    def money_comes_in(self, cents: int, who: int, instant: bool, known: bool) -> None:
        iban = self.customers[who].virtual_iban if known else nobodys_iban()
        order = {**coming_in(iban, cents), "scheme": "sepa-instant" if instant else "sepa-ct"}
        self.incoming.append(str(self.control("simulations/incoming-payments", order)["paymentId"]))

    @rule(parts=st.lists(Cents, min_size=1, max_size=4))
    def batch_comes_in(self, parts: list[int]) -> None:
        ibans = (self.customers[0].iban, self.customers[0].virtual_iban, self.customers[1].iban)
        orders = [coming_in(ibans[n % len(ibans)], cents) for n, cents in enumerate(parts)]
        self.control("simulations/incoming-batches", {"payments": orders})

    @rule(
        cents=Cents,
        instant=st.booleans(),
        inside=st.booleans(),
        text=st.sampled_from(["Payout 1", "--SCTRETURN--", "--DelayPayment--", "--CancelDelayedPayment--"]),
    )
    def pay(self, cents: int, instant: bool, inside: bool, text: str) -> None:
        creditor = self.customers[1].iban if inside else OUTSIDE_IBAN
        changes = {"amount": cents / 100, "creditor": {"name": "Atelier", "accountIban": creditor}}
        if instant:
            order = inst_order(self.customers[0], fresh_id(), reference=text, **changes)
        else:
            order = ct_order(self.customers[0], fresh_id(), remittanceInformationUnstructured=text, **changes)
        with suppress(httpx.RemoteProtocolError):
            self.client.post(INST_PATH if instant else CT_PATH, order)

    @rule(
        kind=st.sampled_from(
            [
                "dropped_request",
                "refuse_429",
                "refuse_500",
                "lost_answer",
                "truncated_answer",
                "error_500_after",
                "delay",
                "cancel_delayed",
                "wrong_amount",
                "duplicate_webhook",
            ]
        ),
        times=st.integers(1, 2),
    )
    def misbehave(self, kind: str, times: int) -> None:
        self.control("faults", {"kind": kind, "times": times})

    @rule(cents=Cents, seconds=st.integers(0, 200_000))
    def return_on_command(self, cents: int, seconds: int) -> None:
        self.control("faults", {"kind": "return", "seconds": seconds, "amount": cents / 100})

    @rule(data=st.data(), part=st.integers(1, 100), days=st.integers(0, 1))
    def payment_comes_back(self, data: st.DataObject, part: int, days: int) -> None:
        """Of what has settled, so many hundredths; the bank decides whether there is so much left."""
        if settled := self._settled_payments():
            payment = data.draw(st.sampled_from(settled))
            amount = max(1, int(str(payment["amountMinor"])) * part // 100) / 100
            order = {"paymentId": payment["paymentId"], "amount": amount, "afterDays": days}
            self.try_control("simulations/returns", order)

    @rule(data=st.data(), accepts=st.booleans(), days=st.integers(0, 1))
    def payment_is_recalled(self, data: st.DataObject, accepts: bool, days: int) -> None:
        if settled := self._settled_payments():
            payment = data.draw(st.sampled_from(settled))
            self._ask_back(payment)
            answer = {"paymentId": payment["paymentId"], "accepts": accepts, "afterBusinessDays": days}
            reason = {} if accepts else {"reason": "LEGL"}
            self.try_control("simulations/recall-answers", answer | reason)

    @precondition(lambda self: self.incoming)
    @rule(data=st.data(), recalled=st.booleans(), accepts=st.booleans())
    def money_goes_back(self, data: st.DataObject, recalled: bool, accepts: bool) -> None:
        payment_id = data.draw(st.sampled_from(self.incoming))
        if not recalled:
            self.client.post("/payments/sepa-ct/v1/payment-returns", {"paymentId": payment_id})
            return
        self.try_control("simulations/incoming-recalls", {"paymentId": payment_id})
        body = {"paymentId": payment_id, "recallResponseAccepted": accepts, "rejectCode": "CUST"}
        self.client.post("/payments/sepa-ct/v1/recall-response", body)
        code = {} if accepts else {"rejectionCode": "CUST"}
        path = f"/v1/payments/sepa-instant/{payment_id}/recall-response"
        self.client.post(path, {"approve": accepts, **code})

    @rule(cents=Cents, who=st.integers(0, 1))
    def fee_is_taken(self, cents: int, who: int) -> None:
        order = {"iban": self.customers[who].iban, "amount": cents / 100, "text": "Fee"}
        self.control("simulations/fees", order)

    @rule(hours=st.sampled_from([1, 7, 13]))
    def hours_pass(self, hours: int) -> None:
        self.control("clock", {"now": (self.now() + timedelta(hours=hours)).isoformat()})

    @rule()
    def next_morning_comes(self) -> None:
        """Credit transfers are open again, unless it is a weekend."""
        day = self.now().astimezone(AMSTERDAM).date() + timedelta(days=1)
        morning = datetime.combine(day, time(10), AMSTERDAM).astimezone(UTC)
        self.control("clock", {"now": morning.isoformat()})

    @invariant()
    def balances_are_sums_of_postings(self) -> None:
        if self.customers:
            wait_for("sums", self._sums_agree, within_s=5)

    def teardown(self) -> None:
        try:
            if self.customers:
                self._statements_lead_on()
        finally:
            self._running.__exit__(None, None, None)

    # What the steps and the checks stand on.

    def control(self, name: str, body: dict[str, object]) -> dict[str, object]:
        return self.client.control(name, body)

    def try_control(self, name: str, body: dict[str, object]) -> None:
        answer = self.client.http.post(f"/sandbox/{name}", json=body)
        assert answer.status_code in {201, 409, 404}, answer.text

    def _settled_payments(self) -> list[dict[str, object]]:
        return [item for item in self.client.listing("payments") if item["status"] in {"settled", "returned"}]

    def _ask_back(self, payment: dict[str, object]) -> None:
        """A recall in the words of the payment's scheme; refused when it was paid inside this bank."""
        payment_id = payment["paymentId"]
        if payment["scheme"] == "sepa-ct":
            path = "/payments/sepa-ct/v1/recall"
            body: dict[str, object] = {"paymentId": payment_id, "recallCode": "DUPL"}
        else:
            path = f"/v1/payments/sepa-instant/{payment_id}/recall"
            body = {
                "originalInstructedAmount": int(str(payment["amountMinor"])) / 100,
                "reasonCodeForRecall": "DUPL",
                "originalInstructedDate": str(payment["receivedAt"])[:10],
            }
        assert self.client.post(path, body).status_code in {202, 400, 409}

    def now(self) -> datetime:
        return datetime.fromisoformat(self.client.http.get("/sandbox/clock").json()["now"])

    def _sums_agree(self) -> bool:
        """Looked at again when a settlement came between the two look-ups."""
        shown = {item["accountId"]: item["actualMinor"] for item in self.client.listing("accounts")}
        return shown == {account: self._sum_minor(str(account)) for account in shown}

    def _sum_minor(self, account_id: str) -> int:
        path = f"/mccy/v1/Accounts/{account_id}/transactions?Currency=EUR&PageSize=1000"
        window = "&StartDateTime=2031-01-01T00:00:00Z&EndDateTime=2032-12-31T00:00:00Z"
        found = self.client.get(path + window).json(parse_float=Decimal)["transactions"]
        return sum(signed_minor(item) for item in found if item["status"] == "Settled")

    def _statements_lead_on(self) -> None:
        accounts = {str(item["iban"]) for item in self.client.listing("accounts")}
        first = date(2031, 3, 28) if self.now().month < 7 else date(2031, 10, 24)
        last = self.now().astimezone(AMSTERDAM).date()
        end = datetime.combine(last + timedelta(days=1), time(3), AMSTERDAM)
        self.control("clock", {"now": end.astimezone(UTC).isoformat()})
        before = dict.fromkeys(accounts, Decimal(0))
        for number in range((last - first).days + 1):
            self._follow_day(first + timedelta(days=number), before)

    def _follow_day(self, day: date, before: dict[str, Decimal]) -> None:
        pages = self._statement(day)
        for iban, opening in list(before.items()):
            shown = [page for page in pages if page.texts(f"//c:Stmt/c:Acct/c:Id[c:IBAN='{iban}']")]
            moves = sum((move for page in shown for move in page.movements(iban)), Decimal(0))
            for page in shown:
                assert page.balance(iban, "OPBD") == opening
                assert page.balance(iban, "CLBD") == opening + moves
            before[iban] = opening + moves

    def _statement(self, day: date) -> list[Page]:
        midnights = (
            datetime.combine(day + timedelta(days=n), time(), AMSTERDAM).astimezone(UTC) for n in (0, 1)
        )
        start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in midnights)
        body = {"startDateTimeUtc": start, "endDateTimeUtc": end}
        assert self.client.post("/v1/statementrequests", body).status_code == 202
        [*_, ready] = [item for item in self.client.listing("events") if item["type"] == READY]
        payload = httpx.Response(200, content=str(ready["body"])).json()["Payload"]
        path = f"/v1/statements/{payload['MessageId']}?pageNumber="
        return [Page(self.client.get(f"{path}{n + 1}").content) for n in range(payload["TotalPages"])]


def signed_minor(item: dict[str, object]) -> int:
    """What a listed posting adds: the side that carries an AccountId is the client's."""
    beneficiary = item["ultimateBeneficiary"]
    assert isinstance(beneficiary, dict)
    kinds = {one["kind"] for one in beneficiary["accountIdentifiers"] or []}
    minor = int(Decimal(str(item["amount"])) * 100)
    return minor if "AccountId" in kinds else -minor


def coming_in(iban: str, cents: int) -> dict[str, object]:
    return {
        "creditorIban": iban,
        "amount": cents / 100,
        "endToEndId": fresh_id("IN"),
        "reference": "Order 12",
        "debtorName": "Ben Silva",
        "debtorIban": OUTSIDE_IBAN,
    }


def nobodys_iban() -> str:
    """Under the bank's own code, with right check digits, and never opened: the series starts elsewhere."""
    return "NL56CLRB0000000007"


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a bank takes longer than to read one
    suppress_health_check=[HealthCheck.too_slow],
)
