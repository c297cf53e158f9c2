"""The orders and answers that these tests speak of."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from partners.contract import Answer, Instruction, Rail

ORDER = Instruction(
    payout_id="pay_0193a5f2c1d47a8e9b0c1d2e3f405162",
    rail=Rail.SCT,
    amount_minor=12_345,
    currency="EUR",
    creditor_name="Bakery De Gouden Korst",
    creditor_iban="NL73ABNA0529451824",
    debtor_name="Pay Europe B.V.",
    debtor_iban="NL07CLRB0066110345",
    end_to_end_id="PO-20261116-0001",
    remittance="Sales of 15 November",
    ordered_at=datetime(2026, 11, 16, 8, 30, tzinfo=UTC),
)
INSTANT_ORDER = replace(ORDER, rail=Rail.SCT_INST)
PAYMENT_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def answer(status: int, body: object) -> Answer:
    """An answer with a JSON body, or with the bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, (("Content-Type", "application/json"),), content)
