"""The bank's page: what has happened is on it, as text, with nothing from elsewhere."""

from lxml import html

from tests.partners.sandbox.bank_process import SigningClient
from tests.partners.sandbox.customers import INST_PATH, Customer, fresh_id, inst_order, pay_in
from tests.partners.sandbox.webhook_listener import WebhookListener


def table(client: SigningClient, title: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    page = html.fromstring(client.http.get("/").text)
    rows = page.xpath(f"//section[starts-with(h2, '{title}')]//tr[td]")
    return [[str(cell.text_content()) for cell in row.xpath("td")] for row in rows]


def test_page_shows_balances_and_what_virtual_ibans_come_to(
    client: SigningClient, customer: Customer
) -> None:
    pay_in(client, customer, amount="234.50")

    [account] = [row for row in table(client, "Accounts") if customer.iban in row]
    [virtual] = [row for row in table(client, "Virtual IBANs") if customer.virtual_iban in row]

    assert account[-2:] == ["1,234.50 EUR", "1,234.50 EUR"]
    assert virtual[-1] == "1,234.50 EUR"


def test_page_shows_orders_postings_and_webhooks_with_their_states(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    kind = "Sepa.Instant.Outbound.Payment.Settled"
    match = {"endToEndId": end_to_end_id, "webhookType": kind}
    client.control("faults", {"kind": "lost_webhook", "match": match, "times": 2})
    client.post(INST_PATH, inst_order(customer, end_to_end_id))
    listener.wait_for("CustomerAccounts.TransactionCompleted", end_to_end_id)

    [order] = [row for row in table(client, "Orders to pay") if end_to_end_id in row]
    [posting] = [row for row in table(client, "Postings") if end_to_end_id in row]
    [webhook] = [row for row in table(client, "Webhooks") if {kind, end_to_end_id} <= set(row)]
    [fault] = [row for row in table(client, "Faults") if any(end_to_end_id in cell for cell in row)]

    assert "settled" in order
    assert posting[-2:] == ["-116.10 EUR", "Settled"]
    assert "withheld" in webhook
    assert fault == ["lost_webhook", f"{end_to_end_id}, {kind}", "", "1", "live"]


def test_page_is_safe_to_look_at(client: SigningClient, customer: Customer) -> None:
    order = {"iban": customer.iban, "amount": 1, "text": "<script>alert(1)</script>"}
    client.control("simulations/fees", order)

    text = client.http.get("/").text
    page = html.fromstring(text)

    assert "&lt;script&gt;" in text
    assert page.xpath("//script | //@src | //link/@href") == []
    assert page.xpath("//meta[@http-equiv='refresh']/@content") == ["3"]
