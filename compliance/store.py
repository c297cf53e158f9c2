"""All SQL of the gate. One statement a function, whatever the number of orders; may not decide about any.

Lists and their names are facts and only added to. A list's digest covers its names, its legal basis and the
digest of the list before it: loading the newest list once more changes nothing, while a list that goes back
to what an older one said is a new list and comes into force.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from compliance.facts import AuthenticationFact, CheckoutFact, ListHead, OwnerFact, PartyFact
from compliance.sanctions_list import Entry
from ledger.core.canonical import Canonical, digest
from ledger.core.errors import InvalidValue
from ledger.core.ids import PartyId, ProgrammeId
from ledger.store.rows import Page, insert_rows, page_of
from ledger.store.schema import (
    accounts,
    authentications,
    authenticators,
    cases,
    checkout_lines,
    checkouts,
    parties,
    sanctions_lists,
    sanctions_names,
)
from ledger.store.tx import Tx

# --- sanctions lists --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading a list: its names, how many rows were repeats, and whether it is new."""

    list_id: str
    names: int
    duplicates: int
    is_new: bool


def load_list(
    tx: Tx, programme_id: ProgrammeId, *, name: str, legal_basis: str, entries: Sequence[Entry]
) -> Loaded:
    """Puts a sanctions list into force for a programme; the list already in force is left as it is.

    Raises: InvalidValue when the list is empty: an empty list would clear everybody.
    """
    kept = sorted(set(entries))
    if not kept:
        raise InvalidValue("A sanctions list has at least one name.", field="list")
    repeats = len(entries) - len(kept)
    lock_list_name(tx, programme_id, name)
    newest, before = newest_two_lists(tx, programme_id, name)
    content = {"legal_basis": legal_basis, "names": kept}
    if newest is not None and newest["content_digest"] == digest(content | {"after": _hex(before)}):
        return Loaded(newest["id"], len(kept), repeats, is_new=False)
    list_id = tx.new_id("lst")
    # A list never counts as older than the one it follows, whatever the clock says.
    loaded_at = tx.now if newest is None else max(tx.now, newest["loaded_at"] + timedelta(microseconds=1))
    row = {
        "id": list_id,
        "programme_id": programme_id,
        "name": name,
        "content_digest": digest(content | {"after": _hex(newest)}),
        "legal_basis": legal_basis,
        "loaded_at": loaded_at,
    }
    insert_rows(tx, sanctions_lists, [row])
    insert_rows(
        tx, sanctions_names, [{"list_id": list_id, "entry": entry, "name": listed} for entry, listed in kept]
    )
    return Loaded(list_id, len(kept), repeats, is_new=True)


def lock_list_name(tx: Tx, programme_id: ProgrammeId, name: str) -> None:
    """Lets one load at a time of a list through, until the transaction ends."""
    key = sa.func.hashtextextended(f"sanctions_list {programme_id} {name}", 0)
    tx.run(sa.select(sa.func.pg_advisory_xact_lock(key)))


def newest_two_lists(
    tx: Tx, programme_id: ProgrammeId, name: str
) -> tuple[sa.RowMapping | None, sa.RowMapping | None]:
    """The list in force of a name and the one before it."""
    listed = sanctions_lists.c
    rows = tx.rows(
        sa.select(listed.id, listed.content_digest, listed.loaded_at)
        .where(listed.programme_id == programme_id, listed.name == name)
        .order_by(listed.loaded_at.desc())
        .limit(2)
    )
    newest, before, *_ = (*rows, None, None)
    return newest, before


def lists_in_force(tx: Tx, programme_ids: Collection[str]) -> tuple[ListHead, ...]:
    """The newest list of each name, for these programmes."""
    listed = sanctions_lists.c
    rows = tx.rows(
        sa.select(listed.id, listed.programme_id, listed.name, listed.content_digest, listed.legal_basis)
        .ext(distinct_on(listed.programme_id, listed.name))
        .where(_among(listed.programme_id, programme_ids))
        .order_by(listed.programme_id, listed.name, listed.loaded_at.desc())
    )
    return tuple(
        ListHead(row["id"], row["programme_id"], row["name"], row["content_digest"].hex(), row["legal_basis"])
        for row in rows
    )


def listed_names(tx: Tx, list_ids: Collection[str]) -> dict[str, list[Entry]]:
    """The names of these lists."""
    listed = sanctions_names.c
    rows = tx.rows(
        sa.select(listed.list_id, listed.entry, listed.name)
        .where(_among(listed.list_id, list_ids))
        .order_by(listed.list_id, listed.entry, listed.name)
    )
    names: dict[str, list[Entry]] = defaultdict(list)
    for row in rows:
        names[row["list_id"]].append((row["entry"], row["name"]))
    return dict(names)


# --- what orders are about --------------------------------------------------------------------------------


def parties_by_id(tx: Tx, party_ids: Collection[str]) -> dict[str, PartyFact]:
    """The parties of these ids that exist, of whatever programme."""
    party = parties.c
    rows = tx.rows(
        sa.select(party.id, party.programme_id, party.name, party.status).where(_among(party.id, party_ids))
    )
    return {
        row["id"]: PartyFact(row["id"], row["programme_id"], row["name"], row["status"] == "active")
        for row in rows
    }


def owners_by_account(tx: Tx, account_ids: Collection[str]) -> dict[str, OwnerFact]:
    """Whose these accounts are."""
    account = accounts.c
    rows = tx.rows(
        sa.select(account.id, account.programme_id, account.party_id, account.currency).where(
            _among(account.id, account_ids)
        )
    )
    return {row["id"]: OwnerFact(row["programme_id"], row["party_id"], row["currency"]) for row in rows}


def checkouts_by_id(tx: Tx, checkout_ids: Collection[str]) -> dict[str, CheckoutFact]:
    """The checkouts of these ids, with the seller of each line."""
    checkout, line = checkouts.c, checkout_lines.c
    rows = tx.rows(
        sa.select(
            checkout.id,
            checkout.programme_id,
            checkout.currency,
            checkout.payer_id,
            sa.func.array_agg(line.reference, type_=ARRAY(sa.Text())).label("lines"),
            sa.func.array_agg(line.seller_id, type_=ARRAY(line.seller_id.type)).label("sellers"),
        )
        .join(checkout_lines, line.checkout_id == checkout.id)
        .where(_among(checkout.id, checkout_ids))
        .group_by(checkout.id)
    )
    return {row["id"]: _checkout(row) for row in rows}


def _checkout(row: sa.RowMapping) -> CheckoutFact:
    sellers = dict(zip(row["lines"], row["sellers"], strict=True))
    return CheckoutFact(row["programme_id"], row["currency"], row["payer_id"], sellers)


def insert_cases(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Opens cases for the orders that were held or refused."""
    insert_rows(tx, cases, rows)


def cases_of_orders(
    tx: Tx, programme_ids: Collection[str], texts: Collection[str]
) -> Sequence[sa.RowMapping]:
    """The cases that these very orders have been before."""
    case = cases.c
    return tx.rows(
        sa.select(case.id, case.order_canonical, case.outcome, case.findings).where(
            _among(case.programme_id, programme_ids), _among(case.order_canonical, texts)
        )
    )


# --- strong customer authentication -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """An authentication as it stands."""

    id: str
    party_id: PartyId
    challenge: str
    failures: int
    state: str
    expires_at: datetime


def authentications_by_subject(tx: Tx, subject_ids: Collection[str]) -> dict[str, AuthenticationFact]:
    """What was asked and answered about these checkouts."""
    asked = authentications.c
    rows = tx.rows(
        sa.select(
            asked.id, asked.programme_id, asked.party_id, asked.subject_id, asked.challenge, asked.state
        ).where(_among(asked.subject_id, subject_ids))
    )
    return {
        row["subject_id"]: AuthenticationFact(
            row["id"],
            row["programme_id"],
            row["party_id"],
            json.loads(row["challenge"])["order_digest"],
            row["state"] == "answered",
        )
        for row in rows
    }


def insert_authentications(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Asks for authentications; a subject that was asked about before keeps its first challenge."""
    insert_rows(tx, authentications, rows, ignore_conflicts=True)


def challenges_by_subject(tx: Tx, subject_ids: Collection[str]) -> dict[str, Asked]:
    """The authentications that were asked for about these subjects."""
    rows = tx.rows(
        sa.select(*_ASKED, authentications.c.subject_id).where(
            _among(authentications.c.subject_id, subject_ids)
        )
    )
    return {row["subject_id"]: _asked(row) for row in rows}


def lock_authentication(tx: Tx, programme_id: ProgrammeId, subject_id: str) -> Asked | None:
    """The authentication about a subject, kept from other answers until the transaction ends."""
    asked = authentications.c
    row = tx.row(
        sa.select(*_ASKED)
        .where(asked.programme_id == programme_id, asked.subject_id == subject_id)
        .with_for_update()
    )
    return None if row is None else _asked(row)


def record_failure(tx: Tx, authentication_id: str, *, failures: int, state: str) -> None:
    """Counts a wrong answer."""
    asked = authentications.c
    tx.run(
        sa.update(authentications).where(asked.id == authentication_id).values(failures=failures, state=state)
    )


def record_answer(tx: Tx, authentication_id: str) -> None:
    """Marks an authentication as answered, now."""
    asked = authentications.c
    tx.run(
        sa.update(authentications)
        .where(asked.id == authentication_id)
        .values(state="answered", answered_at=tx.now)
    )


def insert_authenticator(tx: Tx, row: dict[str, Any]) -> None:
    """Enrols a public key."""
    insert_rows(tx, authenticators, [row])


def newest_public_key(tx: Tx, programme_id: ProgrammeId, party_id: PartyId) -> str | None:
    """The public key that a party enrolled last, as PEM."""
    key = authenticators.c
    row = tx.row(
        sa.select(key.public_key_pem)
        .where(key.programme_id == programme_id, key.party_id == party_id)
        .order_by(key.created_at.desc(), key.id.desc())
        .limit(1)
    )
    return None if row is None else str(row["public_key_pem"])


_ASKED = tuple(
    authentications.c[name] for name in ("id", "party_id", "challenge", "failures", "state", "expires_at")
)


def _asked(row: sa.RowMapping) -> Asked:
    return Asked(*(row[column.name] for column in _ASKED))


def _among(column: sa.Column[Any], values: Collection[str]) -> sa.ColumnElement[bool]:
    """One array parameter, so that the statement is the same for one value and for thousands."""
    return column == sa.any_(
        sa.cast(sa.bindparam(None, list(values), type_=ARRAY(column.type)), ARRAY(column.type))
    )


def _hex(row: sa.RowMapping | None) -> Canonical:
    return None if row is None else row["content_digest"].hex()


def programme_cases(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[dict[str, Any]]:
    """A page of what the gate held or refused in a programme, oldest first, with what it found."""
    columns = (cases.c.id, cases.c.order_kind, cases.c.outcome, cases.c.findings, cases.c.opened_at)
    query = sa.select(*columns).where(cases.c.programme_id == programme_id)
    return [dict(row) for row in tx.rows(page_of(query, cases, page))]
