"""Statements come in, and every line is matched with the movement that it is; what is left over is a break.

Nothing is posted here: a break is work for a person, who corrects the book by a new transfer or asks the bank.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.core.chart import Code
from ledger.core.errors import InvalidValue
from ledger.core.ids import ProgrammeId
from ledger.core.matching import match
from ledger.core.statement import Statement
from ledger.store.accounts import shared_accounts
from ledger.store.events import Event, record_events
from ledger.store.programmes import Programme
from ledger.store.statements import (
    close_breaks,
    fulfil_statement_requests,
    insert_matches,
    insert_statements,
    open_breaks,
    unmatched_lines,
    unmatched_movements,
)
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one run of matching found."""

    matched: int
    lines_left: int
    movements_left: int


def import_statements(
    tx: Tx, programme: Programme, statements: Sequence[Statement], *, document: bytes
) -> list[str]:
    """Keeps the statements of a programme's own bank accounts; says which were new.

    The bank's document may cover other accounts as well: those are not this programme's business.
    Raises: InvalidValue when no statement is for an account of the programme.
    """
    places = {
        programme.safeguarding_iban: shared_accounts(tx, [programme.id], Code.SAFEGUARDING)[programme.id],
        programme.operating_iban: shared_accounts(tx, [programme.id], Code.OPERATING)[programme.id],
    }
    ours = [(places[item.iban], item) for item in statements if item.iban in places]
    if not ours:
        raise InvalidValue(
            "No statement in this document is for an account of this programme.", field="document"
        )
    new = insert_statements(tx, programme.id, ours, hashlib.sha256(document).digest())
    for starts_at, ends_at in {(item.starts_at, item.ends_at) for _, item in ours}:
        fulfil_statement_requests(tx, programme.id, starts_at, ends_at)
    record_events(tx, [Event(programme.id, item, "statement.imported", {}) for item in new])
    return new


def reconcile(tx: Tx, programme_id: ProgrammeId) -> Reconciled:
    """Matches every open line with the book, opens a break for what is left over, closes those that are explained."""
    found = match(unmatched_lines(tx, programme_id), unmatched_movements(tx, programme_id))
    insert_matches(tx, found.matches)
    close_breaks(tx, found.matches)
    open_breaks(tx, programme_id, found.lines, found.movements)
    return Reconciled(len(found.matches), len(found.lines), len(found.movements))
