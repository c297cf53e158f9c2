"""A running bank, a client that it knows, and a place for its webhooks.

The bank is shared by the tests of a module; each test opens accounts of its own and reads nothing else.
"""

from collections.abc import Iterator

import pytest

from tests.partners.sandbox.bank_process import BankProcess, SigningClient
from tests.partners.sandbox.customers import Customer, open_customer
from tests.partners.sandbox.webhook_listener import WebhookListener

A_TUESDAY_MORNING = "2031-03-04T09:00:00Z"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    with BankProcess(
        webhook_retry_seconds=0.1, instant_delay_seconds=0.4, statement_page_entries=3
    ) as process:
        yield process.start(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def client(bank: BankProcess) -> Iterator[SigningClient]:
    with SigningClient(bank.url) as signing:
        signing.register()
        signing.control("clock", {"now": A_TUESDAY_MORNING})
        yield signing


@pytest.fixture(scope="module")
def listener(client: SigningClient) -> Iterator[WebhookListener]:
    with WebhookListener(client.sign) as endpoint:
        client.control("webhooks", {"url": endpoint.url})
        yield endpoint


@pytest.fixture
def customer(client: SigningClient) -> Customer:
    """A safeguarding account with a virtual IBAN under it, and EUR 1,000.00 on it."""
    return open_customer(client, funds="1000.00")
