"""Plain valid files of orders, to be changed in one place by a test."""

from datetime import UTC, date, datetime
from typing import Final

from partners.contract import Rail
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup
from partners.messages.pain008 import (
    Collection,
    CollectionGroup,
    DebitScheme,
    DirectDebitFile,
    Mandate,
    MandateUse,
)

PAYER: Final = AccountHolder(name="Tally Pay BV", iban="NL91ABNA0417164300", bic="ABNANL2A")
PAYEE: Final = AccountHolder(name="Maria Garcia", iban="DE89370400440532013000")
HEADER: Final = Header(
    message_id="MSG-1", created_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC), initiating_party="Tally Pay BV"
)
PAYMENT: Final = Payment(
    instruction_id="I-1",
    end_to_end_id="E-1",
    amount_minor=12_34,
    currency="EUR",
    creditor=PAYEE,
    remittance="Invoice 17",
    uetr="6e1f1a10-8a52-4f0c-9d39-3a2d4b7a9f01",
)
GROUP: Final = PaymentGroup(
    group_id="G-1", rail=Rail.SCT, debtor=PAYER, execute_at=date(2026, 11, 24), payments=(PAYMENT,)
)
TRANSFERS: Final = CreditTransferFile(HEADER, (GROUP,))
COLLECTION: Final = Collection(
    instruction_id="I-1",
    end_to_end_id="E-1",
    amount_minor=12_34,
    currency="EUR",
    mandate=Mandate(mandate_id="M-1", signed_on=date(2026, 1, 31)),
    debtor=PAYEE,
    remittance="Invoice 17",
)
COLLECTION_GROUP: Final = CollectionGroup(
    group_id="G-1",
    scheme=DebitScheme.CORE,
    use=MandateUse.RECURRENT,
    creditor=PAYER,
    creditor_id="NL79ZZZ999999990000",
    collect_on=date(2026, 11, 24),
    collections=(COLLECTION,),
)
DEBITS: Final = DirectDebitFile(HEADER, (COLLECTION_GROUP,))
