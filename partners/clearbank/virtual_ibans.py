"""Virtual IBANs: an account number of its own for a customer, under the safeguarding account.

The owner is the customer's legal name (Funds Transfer Regulation) and is sent as it is written; the bank
makes the IBAN. Source: ClearBank EU, multi-currency accounts 1.0, virtual accounts.
"""

import json

from ledger.core.errors import InvalidValue
from partners.clearbank.json_text import objects, read_object, required_text
from partners.clearbank.manifest import OWNER_MAX
from partners.clearbank.references import bank_id
from partners.contract import Answer, Request, Signing, Unreadable, VirtualIban


def virtual_iban_request(*, account_id: str, owner: str) -> Request:
    """Asks for a virtual IBAN under the safeguarding account.

    Raises: InvalidValue when the owner's name is empty, too long or not printable.
    """
    if not owner.strip() or len(owner) > OWNER_MAX or not owner.isprintable():
        raise InvalidValue(f"An owner's name has 1 to {OWNER_MAX} printable characters.", field="owner")
    body = f'{{"accountId":{json.dumps(account_id)},"virtualAccount":{{"owner":{json.dumps(owner)}}}}}'
    return Request(
        "POST",
        "/mccy/v1/VirtualAccounts",
        body.encode("ascii"),
        signing=Signing.MESSAGE,
        profile="clearbank.virtual_account",
    )


def interpret_virtual_iban(answer: Answer) -> VirtualIban:
    """The new virtual IBAN. Raises: Unreadable for any answer that does not hold one."""
    if answer.status != 201:
        raise Unreadable(f"The bank made no virtual account: status {answer.status}.")
    account = read_object(answer.body)
    for identifier in objects(account, "identifiers"):
        if str(identifier.get("kind")).upper() == "IBAN":
            return VirtualIban(
                bank_id=bank_id(required_text(account, "id")), iban=required_text(identifier, "identifier")
            )
    raise Unreadable("The new virtual account has no IBAN.")
