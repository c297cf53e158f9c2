"""Virtual IBANs are asked for under the customer's legal name."""

import pytest

from ledger.core.errors import InvalidValue
from partners.clearbank.adapter import ClearBank
from partners.contract import Signing, Unreadable, VirtualIban
from tests.partners.clearbank.orders import PAYMENT_ID, answer

BANK = ClearBank()


def test_request_names_account_and_owner() -> None:
    request = BANK.virtual_iban_request(account_id=PAYMENT_ID, owner='Zoë "Z" Ågren')

    assert request.body == (
        b'{"accountId":"3f2504e0-4f89-41d3-9a0c-0305e82c3301",'
        b'"virtualAccount":{"owner":"Zo\\u00eb \\"Z\\" \\u00c5gren"}}'
    )
    assert (request.method, request.path) == ("POST", "/mccy/v1/VirtualAccounts")
    assert (request.signing, request.profile) == (Signing.MESSAGE, "clearbank.virtual_account")


@pytest.mark.parametrize("owner", ["", "  ", "x" * 141, "two\nlines"])
def test_unusable_owner_is_refused(owner: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        BANK.virtual_iban_request(account_id=PAYMENT_ID, owner=owner)

    assert refused.value.field == "owner"


@pytest.mark.parametrize("kind", ["IBAN", "Iban"])
def test_new_iban_is_read(kind: str) -> None:
    made = {
        "id": PAYMENT_ID.upper(),
        "identifiers": [
            {"identifier": "1", "kind": "BBAN"},
            {"identifier": "NL07CLRB0066110345", "kind": kind},
        ],
    }

    assert BANK.interpret_virtual_iban(answer(201, made)) == VirtualIban(PAYMENT_ID, "NL07CLRB0066110345")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"id": PAYMENT_ID}),
        (201, {"id": PAYMENT_ID, "identifiers": []}),
        (201, b"made"),
        (422, {"status": 422}),
    ],
)
def test_answer_without_an_iban_is_unreadable(status: int, body: object) -> None:
    with pytest.raises(Unreadable):
        BANK.interpret_virtual_iban(answer(status, body))
