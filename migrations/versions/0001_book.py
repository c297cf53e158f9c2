"""The book, the stories of money, the gate's records, reconciliation and evidence; and who may touch what.

Roles are made when missing: `tallystick_app` writes facts and keeps projections, `tallystick_enclave` sees
payouts with what was approved and tried of them, adds heads of its log, and nothing else, `tallystick_auditor` reads.
"""

from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001_book"
down_revision = None

# What the application may change in place: projections and states, never facts. None means every column.
CHANGEABLE: dict[str, tuple[str, ...] | None] = {
    "standings": ("status", "debits_minor", "credits_minor", "held_minor", "version", "recorded_at"),
    "holds": ("amount_minor", "captured_minor", "released_minor", "is_open"),
    "periods": ("state",),
    "horizons": ("answered_until",),
    "parties": ("status", "payout_name", "payout_iban"),
    "authentications": ("failures", "state", "answered_at"),
    "notices": ("processed_at",),
    "virtual_ibans": ("state", "iban", "bank_id"),
    "deposits": ("state",),
    "checkouts": ("state", "hold_id"),
    "checkout_lines": ("captured_minor", "refunded_minor", "captured_parts", "refunded_parts", "final"),
    "payouts": ("state",),
    "attempts": (
        "request_body",
        "signature",
        "sent_at",
        "outcome",
        "cause",
        "bank_references",
        "answered_at",
    ),
    "statement_requests": ("state", "detail"),
    "breaks": ("state", "closed_at"),
    "exports": ("state", "directory", "detail"),
    "idempotency_keys": ("status", "body"),
    "test_clock": None,
}
# What the server writes down by itself: the transaction that wrote a transfer decides when it is sealed, and the times
# decide when the enclave signs a payout.
SERVERS_OWN = {
    "transfers": "xid",
    "clearances": "screened_at",
    "payout_accounts": "set_at",
    "payout_account_verifications": "verified_at",
    "payout_approvals": "received_at",
    "payout_screenings": "screened_at",
}
VIEWS = ("legs", "account_steps", "account_entries", "entries", "enclave_payouts")
ENCLAVES_OWN = "enclave_heads"
CUSTODIANS_OWN = "key_resolutions"
ROLES = ("tallystick_app", "tallystick_enclave", "tallystick_custodian", "tallystick_auditor")


def upgrade() -> None:
    """Makes the schema, the job queue's schema, and the grants."""
    run = op.get_bind().exec_driver_sql
    for role in ROLES:
        run(
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    for statements in (Path(__file__).with_suffix(".sql").read_text(), SchemaManager.get_schema()):
        run(statements.replace("%", "%%"))
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(f"GRANT USAGE ON SCHEMA public TO {', '.join(ROLES)}")
    run("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO tallystick_app")
    run(f"REVOKE INSERT ON {', '.join((*VIEWS, ENCLAVES_OWN, CUSTODIANS_OWN))} FROM tallystick_app")
    for table, own in SERVERS_OWN.items():
        described = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        others = ", ".join(name for (name,) in run(described) if name != own)
        run(f"REVOKE INSERT ON {table} FROM tallystick_app")
        run(f"GRANT INSERT ({others}) ON {table} TO tallystick_app")
    run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO tallystick_app")
    run("GRANT DELETE ON idempotency_keys TO tallystick_app")
    for table, columns in CHANGEABLE.items():
        listed = f" ({', '.join(columns)})" if columns else ""
        run(f"GRANT UPDATE{listed} ON {table} TO tallystick_app")
    for (table,) in run(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'procrastinate%%'"
    ).all():
        run(f"GRANT UPDATE, DELETE ON {table} TO tallystick_app")
    run(f"GRANT SELECT ON enclave_payouts, {ENCLAVES_OWN}, {CUSTODIANS_OWN} TO tallystick_enclave")
    run(f"GRANT INSERT (enclave, count, hash) ON {ENCLAVES_OWN} TO tallystick_enclave")
    run(f"GRANT SELECT ON {CUSTODIANS_OWN} TO tallystick_custodian")
    run(f"GRANT INSERT (document, signatures) ON {CUSTODIANS_OWN} TO tallystick_custodian")
    run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO tallystick_auditor")
    run("REVOKE SELECT ON clients, idempotency_keys FROM tallystick_auditor")
