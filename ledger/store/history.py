"""What the book knew and when: balances as of an instant or a value date, statements, and transfers by what they say.

Reads only. A question about an instant is final once its programme's calendar is settled up to it
(`ledger.store.periods.settle`); whoever asks sees to that first.

Two times. By recorded time, an account's balance is that of its last entry until the instant: one look-up. By value
date, it is the recorded balance at the date, corrected by the legs whose two times lie on different sides of it; only
legs that were not effective when they were recorded can, and they have indexes of their own.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledger.core.account import Movement, Status
from ledger.core.chart import AccountClass, Code, Side
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.store.rows import Page, page_of
from ledger.store.schema import (
    ACCOUNT,
    PROGRAMME,
    TIME,
    TRANSFER,
    account_steps,
    accounts,
    entries,
    legs,
    standings,
    transfers,
)
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account with its counters, as they were. Units: minor units. `version` 0: nothing had happened to it."""

    id: AccountId
    code: Code
    path: str
    account_class: AccountClass
    party_id: PartyId | None
    currency: str
    side: Side
    pool: str | None
    tags: tuple[str, ...]
    version: int
    debits_minor: int
    credits_minor: int
    held_minor: int

    @property
    def net_minor(self) -> int:
        """Debits less credits: what sums to zero over all accounts."""
        return self.debits_minor - self.credits_minor

    @property
    def posted_minor(self) -> int:
        """The balance on the account's own side."""
        return self.side.own(self.net_minor)

    @property
    def available_minor(self) -> int:
        """What could be spent: held + available = posted."""
        return self.posted_minor - self.held_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Many accounts of one currency together. Units: minor units; `balance_minor` is each on its own side."""

    currency: str
    accounts: int
    debits_minor: int
    credits_minor: int
    balance_minor: int
    held_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """An account's posted money by value date. Units: minor units. Holds have no value date."""

    id: AccountId
    currency: str
    side: Side
    debits_minor: int
    credits_minor: int

    @property
    def posted_minor(self) -> int:
        """The balance on the account's own side."""
        return self.side.own(self.debits_minor - self.credits_minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementEntry:
    """One line of an account's statement. `leg` 0: nothing but this account was touched. Units: minor units."""

    version: int
    transfer_id: TransferId
    leg: int
    movement: Movement
    amount_minor: int
    debits_after_minor: int
    credits_after_minor: int
    held_after_minor: int
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLeg:
    """One leg of a transfer, by the ids of its accounts. Units: minor units of `currency`."""

    leg: int
    debit: AccountId
    credit: AccountId
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStep:
    """What a transfer did to one account alone. Units: minor units."""

    account_id: AccountId
    movement: Movement
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A command that was carried out, with what it moved. `asked`: what it said beyond what it moved."""

    id: TransferId
    kind: str
    reference: str
    hold_id: TransferId | None
    reverses_id: TransferId | None
    clearance_id: str | None
    notice_id: str | None
    effective_at: datetime
    recorded_at: datetime
    asked: Mapping[str, Any]
    metadata: Mapping[str, str]
    legs: tuple[TransferLeg, ...]
    steps: tuple[TransferStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Among:
    """Which accounts are meant: under a path of the tree, with all of these tags, of a code, of a party."""

    path: str | None = None
    tags: tuple[str, ...] = ()
    code: Code | None = None
    party_id: PartyId | None = None


EVERY = Among()

# Accounts, now and then --------------------------------------------------------------------------------------

_PLACE = tuple(
    accounts.c[name]
    for name in ("id", "code", "path", "class", "party_id", "currency", "side", "pool", "tags")
)


@dataclass(frozen=True, slots=True)
class _Counters:
    """Where counters are read: from where accounts stand, or from each one's last entry until an instant."""

    source: sa.FromClause
    version: sa.ColumnElement[int]
    debits_minor: sa.ColumnElement[int]
    credits_minor: sa.ColumnElement[int]
    held_minor: sa.ColumnElement[int]

    def columns(self) -> list[sa.ColumnElement[Any]]:
        named = {
            name: getattr(self, name) for name in ("version", "debits_minor", "credits_minor", "held_minor")
        }
        return [sa.func.coalesce(column, 0).label(name) for name, column in named.items()]


def balances(
    tx: Tx, programme_id: ProgrammeId, *, at: datetime | None = None, among: Among = EVERY
) -> list[Balance]:
    """Accounts as they stand, or as they were known at an instant; those that were not open then are left out."""
    counters = _counters(at)
    query = (
        sa.select(*_PLACE, *counters.columns())
        .select_from(counters.source)
        .where(counters.version.is_not(None), *_meant(programme_id, among))
    )
    order = list(Code)
    found = [_balance(row) for row in tx.rows(query)]
    return sorted(found, key=lambda balance: (order.index(balance.code), balance.id))


def balance_of(
    tx: Tx, programme_id: ProgrammeId, account_id: AccountId, *, at: datetime | None = None
) -> Balance | None:
    """One account as it stands, or as it was known at an instant. None: the programme has no such account."""
    counters = _counters(at)
    query = (
        sa.select(*_PLACE, *counters.columns())
        .select_from(counters.source)
        .where(accounts.c.programme_id == programme_id, accounts.c.id == account_id)
    )
    row = tx.row(query)
    return None if row is None else _balance(row)


def totals(
    tx: Tx, programme_id: ProgrammeId, *, at: datetime | None = None, among: Among = EVERY
) -> list[Total]:
    """What accounts hold together, currency by currency, now or as it was known at an instant."""
    counters = _counters(at)
    net = counters.debits_minor - counters.credits_minor
    sums = {
        "debits_minor": counters.debits_minor,
        "credits_minor": counters.credits_minor,
        "balance_minor": sa.case((accounts.c.side == Side.DEBIT.value, net), else_=-net),
        "held_minor": counters.held_minor,
    }
    query = (
        sa.select(
            accounts.c.currency,
            sa.func.count().label("accounts"),
            *(sa.func.sum(column).label(name) for name, column in sums.items()),
        )
        .select_from(counters.source)
        .where(counters.version.is_not(None), *_meant(programme_id, among))
        .group_by(accounts.c.currency)
        .order_by(accounts.c.currency)
    )
    return [_total(row) for row in tx.rows(query)]


def accounts_page(
    tx: Tx, programme_id: ProgrammeId, page: Page, *, among: Among = EVERY
) -> list[tuple[Balance, Status]]:
    """A page of accounts as they stand."""
    counters = _counters(None)
    query = (
        sa.select(*_PLACE, standings.c.status, *counters.columns())
        .select_from(counters.source)
        .where(*_meant(programme_id, among))
    )
    return [(_balance(row), Status(row["status"])) for row in tx.rows(page_of(query, accounts, page))]


def _counters(at: datetime | None) -> _Counters:
    if at is None:
        now = standings.c
        stands = accounts.join(standings, now.number == accounts.c.number)
        return _Counters(stands, now.version, now.debits_minor, now.credits_minor, now.held_minor)
    then = (
        # OFFSET keeps the planner from looking the version up once for each branch of the view.
        sa.select(sa.func.version_at(accounts.c.number, sa.cast(at, TIME)).label("version"))
        .correlate(accounts)
        .offset(0)
        .lateral("then")
    )
    entry = (
        sa.select(
            entries.c.version,
            entries.c.debits_after_minor,
            entries.c.credits_after_minor,
            entries.c.held_after_minor,
        )
        .where(entries.c.account_number == accounts.c.number, entries.c.version == then.c.version)
        .correlate(accounts, then)
        # There is no more than one; saying so keeps the plan to one look-up for each account.
        .limit(1)
        .lateral("entry")
    )
    return _Counters(
        accounts.outerjoin(then, sa.true()).outerjoin(entry, sa.true()),
        entry.c.version,
        entry.c.debits_after_minor,
        entry.c.credits_after_minor,
        entry.c.held_after_minor,
    )


def _meant(programme_id: ProgrammeId, among: Among) -> list[sa.ColumnElement[bool]]:
    conditions = [accounts.c.programme_id == programme_id]
    if among.path is not None:
        # Everything that begins with the path and a slash sorts before the path and the next character.
        below = sa.and_(accounts.c.path >= f"{among.path}/", accounts.c.path < f"{among.path}0")
        conditions.append(sa.or_(accounts.c.path == among.path, below))
    if among.tags:
        conditions.append(accounts.c.tags.contains(list(among.tags)))
    if among.code is not None:
        conditions.append(accounts.c.code == among.code.value)
    if among.party_id is not None:
        conditions.append(accounts.c.party_id == among.party_id)
    return conditions


def _balance(row: sa.RowMapping) -> Balance:
    return Balance(
        id=row["id"],
        code=Code(row["code"]),
        path=row["path"],
        account_class=AccountClass(row["class"]),
        party_id=row["party_id"],
        currency=row["currency"],
        side=Side(row["side"]),
        pool=row["pool"],
        tags=tuple(row["tags"]),
        version=row["version"],
        debits_minor=row["debits_minor"],
        credits_minor=row["credits_minor"],
        held_minor=row["held_minor"],
    )


def _total(row: sa.RowMapping) -> Total:
    # The database adds BIGINT up as NUMERIC, which has no end; so do Python's integers.
    sums = {name: int(row[name]) for name in ("debits_minor", "credits_minor", "balance_minor", "held_minor")}
    return Total(currency=row["currency"], accounts=row["accounts"], **sums)


# By value date -------------------------------------------------------------------------------------------------

# A leg is odd when its two times differ. Known early and effective late: not yet; the other way about: already.
_ODD = """
    coalesce((
        SELECT sum(amount_minor) FROM legs WHERE {side}_number = account.number AND effective_at <> recorded_at
            AND effective_at <= account.by_date AND recorded_at > account.until AND recorded_at <= account.known_at
    ), 0) - coalesce((
        SELECT sum(amount_minor) FROM legs WHERE {side}_number = account.number AND effective_at <> recorded_at
            AND effective_at > account.by_date AND recorded_at <= account.until
    ), 0)
"""
_DATED = (
    sa.text(f"""
    WITH asked AS (
        SELECT CAST(:effective_at AS timestamptz) AS by_date,
            coalesce(CAST(:known_at AS timestamptz), 'infinity') AS known_at,
            least(CAST(:effective_at AS timestamptz), CAST(:known_at AS timestamptz)) AS until
    ), account AS MATERIALIZED (
        SELECT id, currency, side, number, by_date, known_at, until, version_at(number, until) AS version
        FROM accounts, asked WHERE id = :account_id AND programme_id = :programme_id
    )
    SELECT account.id, account.currency, account.side,
        CAST(coalesce(entry.debits_after_minor, 0) + {_ODD.format(side="debit")} AS bigint) AS debits_minor,
        CAST(coalesce(entry.credits_after_minor, 0) + {_ODD.format(side="credit")} AS bigint) AS credits_minor
    FROM account LEFT JOIN LATERAL (
        SELECT debits_after_minor, credits_after_minor FROM account_entries
        WHERE account_number = account.number AND version = account.version LIMIT 1
    ) AS entry ON true
    """)  # noqa: S608 - the two sides are this file's own
    .bindparams(
        sa.bindparam("account_id", type_=ACCOUNT),
        sa.bindparam("programme_id", type_=PROGRAMME),
    )
    .columns(id=ACCOUNT)
)


def _look_up_odd_legs(tx: Tx) -> None:
    """Odd legs are found by their own index, which the planner would not believe: it takes two columns to differ in
    almost every row, and would rather read the whole table. Until the transaction ends, which only reads.
    """
    tx.row(sa.text("SELECT set_config('enable_seqscan', 'off', true) AS done"))


def dated_balance(
    tx: Tx,
    programme_id: ProgrammeId,
    account_id: AccountId,
    *,
    effective_at: datetime,
    known_at: datetime | None = None,
) -> Dated | None:
    """What an account had by value date, of all that was recorded until `known_at` (None: of all that stands).

    The recorded balance at the earlier of the two, less what is recorded by then and effective only later, and with
    what was recorded later and was effective already. Its cost grows with the legs whose two times differ, not with
    the account's history. None: the programme has no such account.
    """
    asked = {
        "account_id": account_id,
        "programme_id": programme_id,
        "effective_at": effective_at,
        "known_at": known_at,
    }
    _look_up_odd_legs(tx)
    row = tx.row(_DATED, asked)
    if row is None:
        return None
    return Dated(
        id=row["id"],
        currency=row["currency"],
        side=Side(row["side"]),
        debits_minor=row["debits_minor"],
        credits_minor=row["credits_minor"],
    )


# Statements ------------------------------------------------------------------------------------------------------

_ENTRY = tuple(entries.c[name] for name in StatementEntry.__slots__)


def entries_page(
    tx: Tx, account_id: AccountId, *, after: int, limit: int, at: datetime | None = None
) -> list[StatementEntry]:
    """Entries of one account, oldest first, from behind a version; with `at`, those recorded until then."""
    query = sa.select(*_ENTRY).where(
        entries.c.account_number == _number_of(account_id), entries.c.version > after
    )
    if at is not None:
        last = sa.select(sa.func.version_at(accounts.c.number, sa.cast(at, TIME)))
        last = last.where(accounts.c.id == account_id)
        query = query.where(entries.c.version <= last.scalar_subquery())
    return [_entry(row) for row in tx.rows(query.order_by(entries.c.version).limit(limit))]


def effective_at_of(tx: Tx, account_id: AccountId, version: int) -> datetime | None:
    """The value date of one entry: where a page of a dated statement goes on."""
    query = sa.select(entries.c.effective_at).where(
        entries.c.account_number == _number_of(account_id), entries.c.version == version
    )
    row = tx.row(query)
    return None if row is None else row["effective_at"]


_DATED_PAGE = (
    sa.text(f"""
    WITH account AS MATERIALIZED (
        SELECT number,
            version_at(number, CAST(:starts_at AS timestamptz) - interval '1 microsecond') AS first,
            version_at(number, least(
                CAST(:ends_at AS timestamptz) - interval '1 microsecond', CAST(:known_at AS timestamptz)
            )) AS last
        FROM accounts WHERE id = :account_id
    ), prompt AS (
        SELECT {", ".join(StatementEntry.__slots__)} FROM account_entries
        WHERE account_number = (SELECT number FROM account) AND effective_at = recorded_at AND leg > 0
            AND version > (SELECT first FROM account) AND version <= (SELECT last FROM account)
    ), otherwise AS (
        SELECT {", ".join(StatementEntry.__slots__)} FROM account_entries
        WHERE account_number = (SELECT number FROM account) AND effective_at <> recorded_at AND leg > 0
            AND effective_at >= :starts_at AND effective_at < :ends_at AND recorded_at <= :known_at
    )
    SELECT {", ".join(StatementEntry.__slots__)}
    FROM (SELECT * FROM prompt UNION ALL SELECT * FROM otherwise) AS dated
    WHERE (effective_at, version) > (:starts_at, :after)
    ORDER BY effective_at, version LIMIT :limit
    """)  # noqa: S608 - the names are this file's own
    .bindparams(sa.bindparam("account_id", type_=ACCOUNT))
    .columns(transfer_id=TRANSFER)
)


def dated_entries_page(
    tx: Tx,
    account_id: AccountId,
    *,
    starts_at: datetime,
    ends_at: datetime,
    known_at: datetime,
    after: int,
    limit: int,
) -> list[StatementEntry]:
    """Movements of money on one account whose value date lies in a range, by value date and then by version.

    Of those recorded until `known_at`, and from behind the entry of version `after`, whose value date is `starts_at`
    (0: from the beginning). Movements that were effective when they were recorded are found by their versions.
    """
    asked = {
        "account_id": account_id,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "known_at": known_at,
        "after": after,
        "limit": limit,
    }
    _look_up_odd_legs(tx)
    return [_entry(row) for row in tx.rows(_DATED_PAGE, asked)]


def _number_of(account_id: AccountId) -> sa.ScalarSelect[int]:
    return sa.select(accounts.c.number).where(accounts.c.id == account_id).scalar_subquery()


def _entry(row: sa.RowMapping) -> StatementEntry:
    return StatementEntry(**{**row, "movement": Movement(row["movement"])})


# Transfers -------------------------------------------------------------------------------------------------------

_TRANSFER = tuple(transfers.c[name] for name in Transfer.__slots__ if name not in {"legs", "steps"})


def read_transfer(tx: Tx, programme_id: ProgrammeId, transfer_id: TransferId) -> Transfer | None:
    """One transfer of a programme."""
    query = sa.select(*_TRANSFER).where(
        transfers.c.id == transfer_id, transfers.c.programme_id == programme_id
    )
    found = _with_movements(tx, tx.rows(query))
    return found[0] if found else None


def transfers_page(
    tx: Tx, programme_id: ProgrammeId, page: Page, *, metadata: Mapping[str, str] | None = None
) -> list[Transfer]:
    """A page of transfers in the order of their ids, of all or of those whose metadata says all of this.

    Metadata are found by their index and then sorted: the cost grows with what is found, not with the book.
    """
    query = sa.select(*_TRANSFER).where(transfers.c.programme_id == programme_id)
    if metadata:
        found = query.where(transfers.c.metadata.contains(dict(metadata))).cte("found")
        # Found first, and only then cut to a page: otherwise a page might be looked for in the order of ids.
        found = found.prefix_with("MATERIALIZED")
        query = sa.select(found)
        if page.after is not None:
            query = query.where(found.c.id > sa.bindparam("after", page.after, type_=TRANSFER))
        query = query.order_by(found.c.id).limit(page.limit)
    else:
        query = page_of(query, transfers, page)
    return _with_movements(tx, tx.rows(query))


def _with_movements(tx: Tx, rows: Sequence[sa.RowMapping]) -> list[Transfer]:
    ids = [row["id"] for row in rows]
    legs_of, steps_of = _legs(tx, ids), _steps(tx, ids)
    return [
        Transfer(
            **{
                **row,
                "asked": row["asked"] or {},
                "metadata": row["metadata"] or {},
                "legs": tuple(legs_of[row["id"]]),
                "steps": tuple(steps_of[row["id"]]),
            }
        )
        for row in rows
    ]


def _legs(tx: Tx, ids: Collection[TransferId]) -> Mapping[TransferId, list[TransferLeg]]:
    debit, credit = accounts.alias("debit"), accounts.alias("credit")
    query = (
        sa.select(
            legs.c.transfer_id,
            legs.c.leg,
            debit.c.id.label("debit"),
            credit.c.id.label("credit"),
            legs.c.amount_minor,
            debit.c.currency,
        )
        .select_from(
            legs.join(debit, debit.c.number == legs.c.debit_number).join(
                credit, credit.c.number == legs.c.credit_number
            )
        )
        .where(legs.c.transfer_id.in_(ids))
        .order_by(legs.c.transfer_id, legs.c.leg)
    )
    found: dict[TransferId, list[TransferLeg]] = defaultdict(list)
    for row in tx.rows(query):
        found[row["transfer_id"]].append(TransferLeg(**{name: row[name] for name in TransferLeg.__slots__}))
    return found


def _steps(tx: Tx, ids: Collection[TransferId]) -> Mapping[TransferId, list[TransferStep]]:
    query = (
        sa.select(
            account_steps.c.transfer_id,
            accounts.c.id.label("account_id"),
            account_steps.c.movement,
            account_steps.c.amount_minor,
        )
        .select_from(account_steps.join(accounts, accounts.c.number == account_steps.c.account_number))
        .where(account_steps.c.transfer_id.in_(ids))
        .order_by(account_steps.c.transfer_id, account_steps.c.version)
    )
    found: dict[TransferId, list[TransferStep]] = defaultdict(list)
    for row in tx.rows(query):
        step = TransferStep(
            account_id=row["account_id"], movement=Movement(row["movement"]), amount_minor=row["amount_minor"]
        )
        found[row["transfer_id"]].append(step)
    return found
