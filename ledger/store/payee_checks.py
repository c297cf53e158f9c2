"""What banks have said of payees' names, and who paid all the same. Facts: only added to."""

from collections.abc import Collection
from dataclasses import asdict
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from ledger.core.ids import PayeeCheckId, PayoutId, ProgrammeId
from ledger.core.payee import PayeeCheck, PayeeChoice, PayeeMatch
from ledger.store.rows import insert_rows
from ledger.store.schema import payee_checks, payee_choices
from ledger.store.tx import Tx

Payee: TypeAlias = tuple[ProgrammeId, str, str]  # whose, IBAN, name

_COLUMNS = tuple(payee_checks.c[name] for name in PayeeCheck.__slots__)
_CHOICE_COLUMNS = tuple(payee_choices.c[name] for name in PayeeChoice.__slots__)


def insert_payee_check(tx: Tx, check: PayeeCheck) -> None:
    """Writes what a bank said."""
    insert_rows(tx, payee_checks, [asdict(check) | {"match": check.match.value}])


def newest_payee_checks(tx: Tx, payees: Collection[Payee]) -> dict[Payee, PayeeCheck]:
    """What was said last of these payees."""
    payee = (payee_checks.c.programme_id, payee_checks.c.iban, payee_checks.c.name)
    query = (
        sa.select(*_COLUMNS)
        .ext(distinct_on(*payee))
        .where(sa.tuple_(*payee).in_(sorted(payees)))
        .order_by(*payee, payee_checks.c.asked_at.desc(), payee_checks.c.id.desc())
    )
    found = [PayeeCheck(**{**row, "match": PayeeMatch(row["match"])}) for row in tx.rows(query)]
    return {(check.programme_id, check.iban, check.name): check for check in found}


def insert_payee_choice(tx: Tx, choice: PayeeChoice, payout_id: PayoutId) -> None:
    """Writes that somebody chose to pay; the first one stands."""
    insert_rows(tx, payee_choices, [asdict(choice) | {"payout_id": payout_id}], ignore_conflicts=True)


def payee_choices_on(tx: Tx, check_ids: Collection[PayeeCheckId]) -> dict[PayeeCheckId, PayeeChoice]:
    """Who chose to pay on these checks, where anybody did."""
    query = sa.select(*_CHOICE_COLUMNS).where(payee_choices.c.payee_check_id.in_(sorted(check_ids)))
    return {row["payee_check_id"]: PayeeChoice(**row) for row in tx.rows(query)}
