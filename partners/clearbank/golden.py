"""Recorded cases of ClearBank's euro API: what is written for an order, and what the bank's own words mean.

Ids, names and account numbers are those of the bank's public examples, or made up.
Source: ClearBank EU developer documentation, examples of SEPA CT 1.0, SEPA Instant 1.0 and camt.053 statements.
"""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

from partners.contract import (
    Accepted,
    Answer,
    AnswerCase,
    Elsewhere,
    Golden,
    Informational,
    Instruction,
    MoneyArrived,
    NoticeCase,
    NotSent,
    OrderCase,
    PaymentState,
    PayoutAdvanced,
    Rail,
    Reason,
    ReasonCase,
    Rejected,
    Request,
    Signing,
    Statement,
    StatementCase,
    StatementLine,
    StatementReady,
    Unknown,
)

_JSON: Final = (("Content-Type", "application/json"),)
_PAYMENT_ID: Final = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
_TX_ID: Final = "c0ffee00-0000-4000-8000-000000000001"
_IBAN: Final = "NL07CLRB0066110345"

_SCT: Final = Instruction(
    payout_id="pay_0193a5f2c1d47a8e9b0c1d2e3f405162",
    rail=Rail.SCT,
    amount_minor=12_345,
    currency="EUR",
    creditor_name="Bakery De Gouden Korst",
    creditor_iban="NL73ABNA0529451824",
    debtor_name="Pay Europe B.V.",
    debtor_iban=_IBAN,
    end_to_end_id="PO-20261116-0001",
    remittance="Sales of 15 November",
    ordered_at=datetime(2026, 11, 16, 8, 30, tzinfo=UTC),
)
_SCT_INST: Final = replace(_SCT, rail=Rail.SCT_INST)

_ORDERS: Final = (
    OrderCase(
        "a credit transfer",
        _SCT,
        Request(
            "POST",
            "/payments/sepa-ct/v1/customer-payments",
            b'{"endToEndId":"PO-20261116-0001","amount":123.45,"currency":"EUR"'
            b',"debtor":{"name":"Pay Europe B.V.","accountIban":"NL07CLRB0066110345"}'
            b',"creditor":{"name":"Bakery De Gouden Korst","accountIban":"NL73ABNA0529451824"}'
            b',"remittanceInformationUnstructured":"Sales of 15 November"}',
            signing=Signing.PAYOUT,
            profile="clearbank.sct",
        ),
    ),
    OrderCase(
        "an instant payment",
        _SCT_INST,
        Request(
            "POST",
            "/v1/payments/sepa-instant",
            b'{"amount":123.45,"debtor":{"name":"Pay Europe B.V.","accountIban":"NL07CLRB0066110345"}'
            b',"creditor":{"name":"Bakery De Gouden Korst","accountIban":"NL73ABNA0529451824"}'
            b',"endToEndId":"PO-20261116-0001","reference":"Sales of 15 November"}',
            signing=Signing.PAYOUT,
            profile="clearbank.sct_inst",
        ),
    ),
)

_ANSWERS: Final = (
    AnswerCase(
        "taken",
        _SCT,
        Answer(202, _JSON, b'{"paymentId":"3F2504E0-4F89-41D3-9A0C-0305E82C3301"}'),
        Accepted((("payment_id", _PAYMENT_ID),)),
    ),
    AnswerCase("taken, without an id", _SCT, Answer(202, _JSON, b"{}"), Unknown("")),
    AnswerCase(
        "refused",
        _SCT,
        Answer(422, _JSON, b'{"title":"Account is not enabled","status":422}'),
        Rejected(Reason("clearbank.http", "422", "Account is not enabled", "unknown")),
    ),
    AnswerCase(
        "refused by something before the bank",
        _SCT,
        Answer(400, (), b"<html>Bad request</html>"),
        Unknown(""),
    ),
    AnswerCase("had before", _SCT, Answer(409, _JSON, b'{"status":409}'), Unknown("")),
    AnswerCase("asked too much", _SCT, Answer(429, _JSON, b'{"status":429}'), NotSent("")),
    AnswerCase("a fault of the bank", _SCT_INST, Answer(503, (("Retry-After", "30"),), b""), Unknown("")),
)

_NOTICES: Final = (
    NoticeCase(
        "a credit transfer settled",
        b'{"Type":"Sepa.Ct.OutboundPayment.Completed","Version":1,"Payload":{"PaymentId":"3f2504e0-4f89-41d3-9a0c-'
        b'0305e82c3301","TransactionId":"c0ffee00-0000-4000-8000-000000000001","EndToEndIdentification":'
        b'"PO-20261116-0001"},"Nonce":8590013371}',
        (PayoutAdvanced("PO-20261116-0001", _PAYMENT_ID, PaymentState.SETTLED, _TX_ID, None),),
    ),
    NoticeCase(
        "a credit transfer failed",
        b'{"Type":"Sepa.Ct.OutboundPayment.Failed","Version":1,"Payload":{"PaymentId":"3f2504e0-4f89-41d3-9a0c-'
        b'0305e82c3301","Reason":"AC04","AdditionalInformation":"Closed","EndToEndIdentification":'
        b'"PO-20261116-0001"},"Nonce":1}',
        (
            PayoutAdvanced(
                "PO-20261116-0001",
                _PAYMENT_ID,
                PaymentState.FAILED,
                None,
                Reason("iso.external_status_reason1", "AC04", "The account is closed.", "payee"),
            ),
        ),
    ),
    NoticeCase(
        "money arrived",
        b'{"Type":"Sepa.Instant.Inbound.Payment.Settled","Version":1,"Payload":{"PaymentId":"3f2504e0-4f89-41d3-9a0c-'
        b'0305e82c3301","TransactionId":"c0ffee00-0000-4000-8000-000000000001","EndToEndId":"INV-7","DebtorName":'
        b'"Anna Visser","CreditorName":"Pay Europe B.V.","DebtorAccount":"NL73ABNA0529451824","CreditorAccount":'
        b'"NL07CLRB0066110345","InstructedAmount":10.10,"SchemePaymentMethod":"INST","TransactionReference":"Order 7"},'
        b'"Nonce":2}',
        (MoneyArrived(_TX_ID, "INV-7", 1_010, "EUR", _IBAN, "Anna Visser", "NL73ABNA0529451824", "Order 7"),),
    ),
    NoticeCase(
        "a statement can be fetched",
        b'{"Type":"Statements.ReadyForDownload","Version":1,"Payload":{"MessageId":"CAMT053_20261115_20261116_a1B2c3D4",'
        b'"TotalPages":"2"},"Nonce":3}',
        (StatementReady("CAMT053_20261115_20261116_a1B2c3D4", 2),),
    ),
    NoticeCase(
        "a type that nobody here knows",
        b'{"Type":"Sepa.New.Thing","Version":4,"Payload":"text","Nonce":4}',
        (Informational("Sepa.New.Thing version 4"),),
    ),
)

# The entry of two payments is one line without a reference; the pending one is none.
_STATEMENT: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.11">'
    b"<BkToCstmrStmt><GrpHdr><MsgId>CAMT053_20261115_20261116_a1B2c3D4</MsgId><CreDtTm>2026-11-17T02:00:00Z</CreDtTm>"
    b"</GrpHdr><Stmt><Id>ST-1</Id><FrToDt><FrDtTm>2026-11-15T23:00:00Z</FrDtTm><ToDtTm>2026-11-16T23:00:00Z</ToDtTm>"
    b"</FrToDt><Acct><Id><IBAN>NL07CLRB0066110345</IBAN></Id></Acct>"
    b'<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    b"<Dt><Dt>2026-11-16</Dt></Dt></Bal>"
    b'<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    b"<Dt><Dt>2026-11-16</Dt></Dt></Bal>"
    b'<Ntry><Amt Ccy="EUR">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-16</Dt>'
    b"</BookgDt><ValDt><Dt>2026-11-17</Dt></ValDt><AcctSvcrRef>C0FFEE00000040008000000000000001</AcctSvcrRef><BkTxCd>"
    b"<Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls>"
    b"<TxDtls><Refs><EndToEndId>A-1</EndToEndId></Refs></TxDtls><TxDtls><Refs><EndToEndId>A-2</EndToEndId></Refs>"
    b"</TxDtls></NtryDtls></Ntry>"
    b'<Ntry><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts><BookgDt><Dt>2026-11-16</Dt>'
    b"</BookgDt><AcctSvcrRef>C0FFEE00000040008000000000000002</AcctSvcrRef></Ntry>"
    b"</Stmt></BkToCstmrStmt></Document>"
)

_STATEMENTS: Final = (
    StatementCase(
        "a batch booking and a pending entry",
        (_STATEMENT,),
        (
            Statement(
                "ST-1",
                _IBAN,
                "EUR",
                starts_at=datetime(2026, 11, 15, 23, tzinfo=UTC),
                ends_at=datetime(2026, 11, 16, 23, tzinfo=UTC),
                opening_minor=0,
                closing_minor=3_000,
                lines=(
                    StatementLine(
                        _TX_ID,
                        end_to_end_id=None,
                        amount_minor=3_000,
                        currency="EUR",
                        booked_on=date(2026, 11, 16),
                        value_on=date(2026, 11, 17),
                        reversal=False,
                        bank_code="PMNT/RCDT/ESCT",
                        counterparty_name=None,
                        counterparty_iban=None,
                        remittance=None,
                    ),
                ),
            ),
        ),
    ),
)

GOLDEN: Final = Golden(
    orders=_ORDERS,
    answers=_ANSWERS,
    notices=_NOTICES,
    statements=_STATEMENTS,
    reasons=(
        ReasonCase("AC04", "payee", Elsewhere.NO),
        ReasonCase("FRAD", "payer", Elsewhere.NO),
        ReasonCase("ZZ99", "unknown", Elsewhere.NO),
    ),
)
