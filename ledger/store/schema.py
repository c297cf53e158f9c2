"""The tables as Python sees them: names and types of columns. Constraints, triggers and grants stand in migrations/.

A test compares this file with the migrated database.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.engine import Dialect

from ledger.core.ids import to_text, to_uuid

metadata = sa.MetaData()


class Id(sa.types.TypeDecorator[str]):
    """A prefixed id in Python, its 16 bytes in the database: an id of another kind does not get in."""

    impl = sa.Uuid(as_uuid=True)
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Dialect) -> UUID | None:  # noqa: ARG002 - SQLAlchemy's hook
        """Text to UUID."""
        return None if value is None else to_uuid(self.prefix, value)

    def process_result_value(self, value: UUID | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's hook
        """UUID to text."""
        return None if value is None else to_text(self.prefix, value)


PROGRAMME, PARTY, ACCOUNT, TRANSFER = Id("prg"), Id("pty"), Id("acct"), Id("xfr")
CLEARANCE, CASE, NOTICE, EVENT = Id("clr"), Id("case"), Id("ntc"), Id("evt")
CHECKOUT, CAPTURE, REFUND, PAYOUT, ATTEMPT = Id("chk"), Id("cap"), Id("rfd"), Id("pay"), Id("att")
DEPOSIT, VIBAN, AUTHENTICATION, AUTHENTICATOR = Id("dep"), Id("vib"), Id("sca"), Id("atc")
PAYOUT_ACCOUNT, SCREENING, PAYEE_CHECK = Id("pac"), Id("scr"), Id("pck")
PERIOD, STATEMENT, LINE, REQUEST, BREAK, EXPORT, LIST, STEP = (
    Id("prd"),
    Id("stm"),
    Id("sln"),
    Id("srq"),
    Id("brk"),
    Id("exp"),
    Id("lst"),
    Id("stp"),
)
CARD = Id("crd")
TIME = sa.DateTime(timezone=True)


def _table(name: str, /, **columns: sa.types.TypeEngine[Any]) -> sa.Table:
    return sa.Table(name, metadata, *(sa.Column(column, kind) for column, kind in columns.items()))


programmes = _table(
    "programmes",
    id=PROGRAMME,
    name=sa.Text(),
    legal_name=sa.Text(),
    bank_connection=sa.Text(),
    safeguarding_bank_id=sa.Text(),
    safeguarding_iban=sa.Text(),
    operating_bank_id=sa.Text(),
    operating_iban=sa.Text(),
    currency=sa.Text(),
    created_at=TIME,
)
clients = _table(
    "clients",
    id=sa.Text(),
    programme_id=PROGRAMME,
    secret_digest=BYTEA(),
    scopes=ARRAY(sa.Text()),
    created_at=TIME,
)
parties = _table(
    "parties",
    id=PARTY,
    programme_id=PROGRAMME,
    role=sa.Text(),
    name=sa.Text(),
    reference=sa.Text(),
    status=sa.Text(),
    payout_name=sa.Text(),
    payout_iban=sa.Text(),
    commission_bps=sa.Integer(),
    created_at=TIME,
)
payout_accounts = _table(
    "payout_accounts",
    id=PAYOUT_ACCOUNT,
    programme_id=PROGRAMME,
    party_id=PARTY,
    name=sa.Text(),
    iban=sa.Text(),
    set_by=sa.Text(),
    set_at=TIME,
)
payout_account_verifications = _table(
    "payout_account_verifications",
    payout_account_id=PAYOUT_ACCOUNT,
    how=sa.Text(),
    verified_by=sa.Text(),
    verified_at=TIME,
)
authenticators = _table(
    "authenticators",
    id=AUTHENTICATOR,
    programme_id=PROGRAMME,
    party_id=PARTY,
    public_key_pem=sa.Text(),
    created_at=TIME,
)
clearances = _table(
    "clearances",
    id=CLEARANCE,
    programme_id=PROGRAMME,
    order_kind=sa.Text(),
    order_canonical=sa.Text(),
    order_digest=BYTEA(),
    decision=JSONB(),
    redeemed_at=TIME,
    screened_at=TIME,
)
cases = _table(
    "cases",
    id=CASE,
    programme_id=PROGRAMME,
    order_kind=sa.Text(),
    order_canonical=sa.Text(),
    outcome=sa.Text(),
    findings=JSONB(),
    inputs=JSONB(),
    opened_at=TIME,
)
sanctions_lists = _table(
    "sanctions_lists",
    id=LIST,
    programme_id=PROGRAMME,
    name=sa.Text(),
    content_digest=BYTEA(),
    legal_basis=sa.Text(),
    loaded_at=TIME,
)
sanctions_names = _table("sanctions_names", list_id=LIST, entry=sa.Text(), name=sa.Text())
authentications = _table(
    "authentications",
    id=AUTHENTICATION,
    programme_id=PROGRAMME,
    party_id=PARTY,
    subject_id=sa.Text(),
    challenge=sa.Text(),
    failures=sa.Integer(),
    state=sa.Text(),
    expires_at=TIME,
    asked_at=TIME,
    answered_at=TIME,
)
notices = _table(
    "notices",
    id=NOTICE,
    bank_connection=sa.Text(),
    source=sa.Text(),
    key=sa.Text(),
    type=sa.Text(),
    body=BYTEA(),
    received_at=TIME,
    processed_at=TIME,
)
units = _table(
    "units",
    programme_id=PROGRAMME,
    code=sa.Text(),
    name=sa.Text(),
    decimals=sa.SmallInteger(),
    defined_at=TIME,
)
periods = _table(
    "periods",
    id=PERIOD,
    programme_id=PROGRAMME,
    starts_at=TIME,
    ends_at=TIME,
    state=sa.Text(),
    created_at=TIME,
)
horizons = _table("horizons", programme_id=PROGRAMME, answered_until=TIME)
accounts = _table(
    "accounts",
    id=ACCOUNT,
    number=sa.Integer(),
    programme_id=PROGRAMME,
    code=sa.Text(),
    path=sa.Text(),
    party_id=PARTY,
    currency=sa.Text(),
    **{"class": sa.Text()},
    side=sa.Text(),
    pool=sa.Text(),
    tags=ARRAY(sa.Text()),
    min_available_minor=sa.BigInteger(),
    max_balance_minor=sa.BigInteger(),
    opened_at=TIME,
)
standings = _table(
    "standings",
    debits_minor=sa.BigInteger(),
    credits_minor=sa.BigInteger(),
    held_minor=sa.BigInteger(),
    version=sa.BigInteger(),
    recorded_at=TIME,
    min_available_minor=sa.BigInteger(),
    max_balance_minor=sa.BigInteger(),
    number=sa.Integer(),
    side=sa.Text(),
    status=sa.Text(),
)
_LEG: dict[str, sa.types.TypeEngine[Any]] = {
    "amount_minor": sa.BigInteger(),
    "debit_version": sa.BigInteger(),
    "credit_version": sa.BigInteger(),
    "debit_debits_minor": sa.BigInteger(),
    "debit_credits_minor": sa.BigInteger(),
    "debit_held_minor": sa.BigInteger(),
    "credit_debits_minor": sa.BigInteger(),
    "credit_credits_minor": sa.BigInteger(),
    "credit_held_minor": sa.BigInteger(),
    "debit_number": sa.Integer(),
    "credit_number": sa.Integer(),
}
_OF_A_TRANSFER: dict[str, sa.types.TypeEngine[Any]] = {
    "transfer_id": TRANSFER,
    "leg": sa.SmallInteger(),
    "effective_at": TIME,
    "recorded_at": TIME,
}
transfers = _table(
    "transfers",
    **_LEG,
    step_version=sa.BigInteger(),
    step_amount_minor=sa.BigInteger(),
    step_debits_minor=sa.BigInteger(),
    step_credits_minor=sa.BigInteger(),
    step_held_minor=sa.BigInteger(),
    step_number=sa.Integer(),
    id=TRANSFER,
    programme_id=PROGRAMME,
    hold_id=TRANSFER,
    reverses_id=TRANSFER,
    clearance_id=CLEARANCE,
    notice_id=NOTICE,
    effective_at=TIME,
    recorded_at=TIME,
    xid=sa.Text(),
    kind=sa.Text(),
    reference=sa.Text(),
    asked=JSONB(),
    metadata=JSONB(),
)
further_legs = _table("further_legs", **_LEG, **_OF_A_TRANSFER)
# Views: the first leg of a transfer, and its step, stand in its own row; the legs behind it in `further_legs`.
legs = _table("legs", **_LEG, **_OF_A_TRANSFER)
_ON_AN_ACCOUNT: dict[str, sa.types.TypeEngine[Any]] = {
    "account_number": sa.Integer(),
    "version": sa.BigInteger(),
    "transfer_id": TRANSFER,
    "movement": sa.Text(),
    "amount_minor": sa.BigInteger(),
    "debits_after_minor": sa.BigInteger(),
    "credits_after_minor": sa.BigInteger(),
    "held_after_minor": sa.BigInteger(),
    "effective_at": TIME,
    "recorded_at": TIME,
}
account_steps = _table("account_steps", **_ON_AN_ACCOUNT)
# A view as well: every leg as its two accounts saw it, and every step as its one account did; for who names an account.
entries = _table("account_entries", leg=sa.SmallInteger(), **_ON_AN_ACCOUNT)
holds = _table(
    "holds",
    amount_minor=sa.BigInteger(),
    captured_minor=sa.BigInteger(),
    released_minor=sa.BigInteger(),
    expires_at=TIME,
    transfer_id=TRANSFER,
    programme_id=PROGRAMME,
    account_id=ACCOUNT,
    is_open=sa.Boolean(),
)

virtual_ibans = _table(
    "virtual_ibans",
    id=VIBAN,
    programme_id=PROGRAMME,
    account_id=ACCOUNT,
    state=sa.Text(),
    iban=sa.Text(),
    bank_id=sa.Text(),
    requested_at=TIME,
)
deposits = _table(
    "deposits",
    id=DEPOSIT,
    programme_id=PROGRAMME,
    account_id=ACCOUNT,
    amount_minor=sa.BigInteger(),
    currency=sa.Text(),
    debtor_name=sa.Text(),
    debtor_iban=sa.Text(),
    creditor_iban=sa.Text(),
    remittance=sa.Text(),
    transaction_id=sa.Text(),
    state=sa.Text(),
    notice_id=NOTICE,
    received_at=TIME,
)
checkouts = _table(
    "checkouts",
    id=CHECKOUT,
    programme_id=PROGRAMME,
    payer_id=PARTY,
    reference=sa.Text(),
    currency=sa.Text(),
    amount_minor=sa.BigInteger(),
    state=sa.Text(),
    hold_id=TRANSFER,
    expires_at=TIME,
    created_at=TIME,
)
checkout_lines = _table(
    "checkout_lines",
    checkout_id=CHECKOUT,
    line_no=sa.SmallInteger(),
    reference=sa.Text(),
    seller_id=PARTY,
    quantity=sa.Integer(),
    unit_minor=sa.BigInteger(),
    amount_minor=sa.BigInteger(),
    splits=JSONB(),
    captured_minor=sa.BigInteger(),
    refunded_minor=sa.BigInteger(),
    captured_parts=JSONB(),
    refunded_parts=JSONB(),
    final=sa.Boolean(),
)
line_steps = _table(
    "line_steps",
    id=STEP,
    programme_id=PROGRAMME,
    checkout_id=CHECKOUT,
    line_no=sa.SmallInteger(),
    step=sa.Text(),
    order_id=sa.Uuid(),
    amount_minor=sa.BigInteger(),
    parts=JSONB(),
    transfer_id=TRANSFER,
    recorded_at=TIME,
)
payouts = _table(
    "payouts",
    id=PAYOUT,
    programme_id=PROGRAMME,
    kind=sa.Text(),
    reference=sa.Text(),
    party_id=PARTY,
    account_id=ACCOUNT,
    rail=sa.Text(),
    amount_minor=sa.BigInteger(),
    currency=sa.Text(),
    creditor_name=sa.Text(),
    creditor_iban=sa.Text(),
    debtor_name=sa.Text(),
    debtor_iban=sa.Text(),
    end_to_end_id=sa.Text(),
    remittance=sa.Text(),
    initiator=sa.Text(),
    order_digest=BYTEA(),
    clearance_id=CLEARANCE,
    transfer_id=TRANSFER,
    state=sa.Text(),
    send_at=TIME,
    due_at=TIME,
    returned_minor=sa.BigInteger(),
    created_at=TIME,
)
payout_approvals = _table(
    "payout_approvals", payout_id=PAYOUT, approver_id=sa.Text(), signature=BYTEA(), received_at=TIME
)
payout_screenings = _table(
    "payout_screenings", id=SCREENING, payout_id=PAYOUT, decision=JSONB(), screened_at=TIME
)
payee_checks = _table(
    "payee_checks",
    id=PAYEE_CHECK,
    programme_id=PROGRAMME,
    bank_connection=sa.Text(),
    name=sa.Text(),
    iban=sa.Text(),
    match=sa.Text(),
    matched_name=sa.Text(),
    asked_at=TIME,
)
payee_choices = _table(
    "payee_choices",
    payee_check_id=PAYEE_CHECK,
    payout_id=PAYOUT,
    chosen_by=sa.Text(),
    reason=sa.Text(),
    chosen_at=TIME,
)
attempts = _table(
    "attempts",
    id=ATTEMPT,
    payout_id=PAYOUT,
    attempt_no=sa.SmallInteger(),
    request_id=sa.Text(),
    opened_at=TIME,
    request_body=BYTEA(),
    signature=sa.Text(),
    sent_at=TIME,
    outcome=sa.Text(),
    cause=sa.Text(),
    bank_references=JSONB(),
    answered_at=TIME,
    sender=sa.BigInteger(),
)
events = _table(
    "events",
    id=EVENT,
    programme_id=PROGRAMME,
    subject_id=sa.Text(),
    type=sa.Text(),
    data=JSONB(),
    occurred_at=TIME,
)
statements = _table(
    "statements",
    id=STATEMENT,
    programme_id=PROGRAMME,
    account_id=ACCOUNT,
    bank_statement_id=sa.Text(),
    iban=sa.Text(),
    currency=sa.Text(),
    starts_at=TIME,
    ends_at=TIME,
    opening_minor=sa.BigInteger(),
    closing_minor=sa.BigInteger(),
    document_digest=BYTEA(),
    imported_at=TIME,
)
statement_lines = _table(
    "statement_lines",
    id=LINE,
    statement_id=STATEMENT,
    account_id=ACCOUNT,
    line_no=sa.Integer(),
    transaction_id=sa.Text(),
    end_to_end_id=sa.Text(),
    amount_minor=sa.BigInteger(),
    booked_on=sa.Date(),
    value_on=sa.Date(),
    bank_code=sa.Text(),
    counterparty=sa.Text(),
    remittance=sa.Text(),
)
statement_requests = _table(
    "statement_requests",
    id=REQUEST,
    programme_id=PROGRAMME,
    day=sa.Date(),
    state=sa.Text(),
    detail=sa.Text(),
    requested_at=TIME,
    starts_at=TIME,
    ends_at=TIME,
)
matches = _table(
    "matches", line_id=LINE, account_id=ACCOUNT, version=sa.BigInteger(), rule=sa.Text(), matched_at=TIME
)
breaks = _table(
    "breaks",
    id=BREAK,
    programme_id=PROGRAMME,
    kind=sa.Text(),
    account_id=ACCOUNT,
    line_id=LINE,
    version=sa.BigInteger(),
    amount_minor=sa.BigInteger(),
    state=sa.Text(),
    opened_at=TIME,
    closed_at=TIME,
)
log_leaves = _table(
    "log_leaves", programme_id=PROGRAMME, position=sa.BigInteger(), transfer_id=TRANSFER, leaf_hash=BYTEA()
)
checkpoints = _table(
    "checkpoints",
    programme_id=PROGRAMME,
    size=sa.BigInteger(),
    root=BYTEA(),
    peaks=BYTEA(),
    note=sa.Text(),
    sealed_at=TIME,
)
exports = _table(
    "exports",
    id=EXPORT,
    programme_id=PROGRAMME,
    state=sa.Text(),
    directory=sa.Text(),
    detail=sa.Text(),
    requested_at=TIME,
)
cards = _table(
    "cards",
    id=CARD,
    programme_id=PROGRAMME,
    bin=sa.Text(),
    last_four=sa.Text(),
    expiry_month=sa.SmallInteger(),
    expiry_year=sa.SmallInteger(),
    fingerprint=BYTEA(),
    key_id=sa.Text(),
    sealed=BYTEA(),
    stored_at=TIME,
    erased_at=TIME,
)
idempotency_keys = _table(
    "idempotency_keys",
    client_id=sa.Text(),
    endpoint=sa.Text(),
    key=sa.Text(),
    fingerprint=BYTEA(),
    status=sa.Integer(),
    body=sa.Text(),
    created_at=TIME,
)
enclave_heads = _table(
    "enclave_heads",
    id=sa.BigInteger(),
    enclave=sa.Text(),
    count=sa.BigInteger(),
    hash=BYTEA(),
    kept_at=TIME,
)
key_resolutions = _table(
    "key_resolutions",
    id=sa.BigInteger(),
    document=sa.Text(),
    signatures=JSONB(),
    registered_at=TIME,
)
test_clock = _table("test_clock", only_row=sa.Boolean(), offset_us=sa.BigInteger())
