"""A running bank, a client that it knows, and a place for its webhooks.

The bank is shared by the tests of a module; each test opens accounts of its own and reads nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.partners.sandbox.bank_process import BankProcess, SigningClient
from tests.partners.sandbox.customers import Customer, open_customer
from tests.partners.sandbox.scenes import Scene
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


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A bank of one's own, whose statements have three entries a page."""
    with BankProcess(statement_page_entries=3) as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        client.control("clock", {"now": "2031-03-04T09:00:00Z"})
        with WebhookListener(client.sign) as listener:
            client.control("webhooks", {"url": listener.url})
            yield Scene(client, listener, open_customer(client, funds="500.00"))
