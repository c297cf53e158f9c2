"""A bank of one's own on a Tuesday morning, and its statements read as a client would."""

from dataclasses import dataclass
from decimal import Decimal

from lxml import etree

from tests.partners.sandbox.bank_process import SigningClient, wait_for
from tests.partners.sandbox.customers import CT_PATH, Customer, ct_order, fresh_id
from tests.partners.sandbox.webhook_listener import Delivery, WebhookListener

NAMES = {"c": "urn:iso:std:iso:20022:tech:xsd:camt.053.001.11"}
READY = "Statements.ReadyForDownload"


@dataclass(frozen=True, slots=True)
class Scene:
    """A bank of one's own on a Tuesday morning, and its client."""

    client: SigningClient
    listener: WebhookListener
    customer: Customer

    def set_clock(self, moment: str) -> None:
        self.client.control("clock", {"now": moment})

    def pay(self, **changes: object) -> str:
        end_to_end_id = fresh_id()
        self.client.post(CT_PATH, ct_order(self.customer, end_to_end_id, **changes))
        self.listener.wait_for("Sepa.Ct.OutboundPayment.Completed", end_to_end_id)
        return end_to_end_id

    def wait_for_recall(self, status: str) -> None:
        wait_for(status, lambda: self.client.listing("recalls")[-1]["status"] == status)

    def statement(self, window: dict[str, str]) -> list["Page"]:
        """Every page of a window's statement."""
        known = len([item for item in self.listener.deliveries if item.type == READY])
        answer = self.client.post("/v1/statementrequests", window)
        assert (answer.status_code, answer.content) == (202, b"")
        ready = self.listener.wait_until(is_ready, count=known + 1)[-1].payload
        path = f"/v1/statements/{ready['MessageId']}"
        total = int(str(ready["TotalPages"]))
        assert self.client.get(f"{path}?pageNumber={total + 1}").status_code == 404
        return [Page(self.client.get(f"{path}?pageNumber={n}").content) for n in range(1, total + 1)]


def is_ready(delivery: Delivery) -> bool:
    return delivery.type == READY


class Page:
    """One page, read with XPath."""

    def __init__(self, content: bytes) -> None:
        self._root = etree.fromstring(content)

    def texts(self, path: str) -> list[str]:
        found = self._root.xpath(path, namespaces=NAMES)
        return [item if isinstance(item, str) else str(item.text) for item in found]

    def text(self, path: str) -> str:
        [found] = self.texts(path)
        return found

    def balance(self, iban: str, code: str) -> Decimal:
        bal = f"{stmt(iban)}/c:Bal[c:Tp/c:CdOrPrtry/c:Cd='{code}']"
        sign = 1 if self.text(f"{bal}/c:CdtDbtInd") == "CRDT" else -1
        return sign * Decimal(self.text(f"{bal}/c:Amt"))

    def movements(self, iban: str) -> list[Decimal]:
        amounts = self.texts(f"{stmt(iban)}/c:Ntry/c:Amt")
        signs = self.texts(f"{stmt(iban)}/c:Ntry/c:CdtDbtInd")
        return [
            Decimal(amount) * (1 if sign == "CRDT" else -1)
            for amount, sign in zip(amounts, signs, strict=True)
        ]


def stmt(iban: str) -> str:
    return f"//c:Stmt[c:Acct/c:Id/c:IBAN='{iban}']"
