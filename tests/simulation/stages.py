"""The two stages: the deciding function alone, and the book on its database."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa

from api.posting import PostGroups
from api.transactions import told_at_end
from ledger import book
from ledger.core.account import Account, HoldState
from ledger.core.commands import Authority, Command, Result
from ledger.core.ids import AccountId, NoticeId, ProgrammeId, TransferId, derived
from ledger.core.period import Period, PeriodState
from ledger.core.unit import Unit
from ledger.flows.units import DefineUnit, define_units
from ledger.store.accounts import read_accounts
from ledger.store.history import balances, dated_balance
from ledger.store.periods import PeriodRecord, insert_periods, lock_calendars, save_periods, settle
from ledger.store.postings import read_holds
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, make_programme
from tests.ledger.shelf import Shelf
from tests.ledger.world import Asker, asker, breaches
from tests.simulation.caller import MONTHS, closed_until
from tests.simulation.play import Counters, State

WORD = Authority(notice_id=NoticeId(derived("ntc", "word")))


class ShelfStage:
    """`decide`, and a shelf for what it decides. The shelf looks at every movement when it puts it away."""

    def __init__(self) -> None:
        here, there = (
            Asker(ProgrammeId(derived("prg", name)), WORD, MONDAY_MORNING) for name in ("here", "there")
        )
        self.askers = here, there
        self.shelf = Shelf()

    def send(self, groups: Sequence[Sequence[Command]], now: datetime) -> Sequence[Sequence[Result]]:
        return self.shelf.decide(*groups, now=now).results

    def define_unit(self, programme_id: ProgrammeId, code: str) -> None:
        self.shelf.units[programme_id].add(code)

    def close_months(self, programme_id: ProgrammeId, *, closed: int, soft: int) -> None:
        until, soft_until = closed_until(closed=closed, soft=soft)
        self.shelf.set_calendar(programme_id, closed_until=until, soft_closed_until=soft_until)

    def settle(self, programme_id: ProgrammeId, instant: datetime) -> None:
        calendar = self.shelf.calendars.get(programme_id)
        answered = calendar.answered_until if calendar else None
        self.shelf.set_calendar(programme_id, answered_until=max(answered or instant, instant))

    def states(self, account_ids: Sequence[AccountId]) -> Mapping[str, State]:
        found = [self.shelf.accounts[account_id] for account_id in account_ids]
        return {item.id: _state(item) for item in found}

    def left(self) -> Mapping[str, int]:
        return {key: item.remaining_minor for key, item in self.shelf.holds.items()}

    def known_at(self, programme_id: ProgrammeId, instant: datetime) -> Mapping[str, Counters]:
        known: dict[str, tuple[int, Counters]] = {}
        for entry in self.shelf.entries:
            own = self.shelf.accounts[entry.account_id].programme_id == programme_id
            before = known.get(entry.account_id, (0, (0, 0, 0)))
            if own and entry.recorded_at <= instant and entry.version > before[0]:
                counters = entry.debits_after_minor, entry.credits_after_minor, entry.held_after_minor
                known[entry.account_id] = entry.version, counters
        return {key: counters for key, (_, counters) in known.items()}

    def dated(
        self, programme_id: ProgrammeId, account_id: AccountId, *, effective_at: datetime, known_at: datetime
    ) -> tuple[int, int]:
        own = [
            entry
            for entry in self.shelf.entries
            if entry.account_id == account_id
            and entry.recorded_at <= known_at
            and entry.effective_at <= effective_at
        ]
        sides = ((entry.movement.value, entry.amount_minor) for entry in own)
        debits = credits_ = 0
        for movement, amount_minor in sides:
            debits += amount_minor if movement == "debit" else 0
            credits_ += amount_minor if movement == "credit" else 0
        return debits, credits_

    def breaches(self) -> Sequence[object]:
        totals: dict[tuple[str, str], int] = {}
        for item in self.shelf.accounts.values():
            key = item.programme_id, item.currency
            totals[key] = totals.get(key, 0) + item.debits_minor - item.credits_minor
        return [key for key, total in totals.items() if total]


class BookStage:
    """`ledger.book` on a database, through the application's role; or another door to it."""

    def __init__(self, engine: sa.Engine, post: PostGroups = book.post) -> None:
        self._engine = engine
        self._post = post
        self._holds: set[TransferId] = set()
        self._months: dict[ProgrammeId, list[PeriodRecord]] = {}
        with self._tx() as tx:
            here, there = (asker(tx, self._programme(tx)) for _ in range(2))
        self.askers = here, there

    @contextmanager
    def _tx(self, now: datetime = MONDAY_MORNING) -> Iterator[Tx]:
        with told_at_end() as at_end, self._engine.begin() as connection:
            yield Tx(connection, now, secrets.token_bytes, at_end)

    def _programme(self, tx: Tx) -> ProgrammeId:
        """A programme with a calendar of months, all of them open."""
        programme_id = make_programme(tx, f"p-{secrets.token_hex(6)}")
        starts = (MONTHS[0] - timedelta(days=30), *MONTHS)
        self._months[programme_id] = [
            PeriodRecord(tx.new_id("prd"), programme_id, Period(start, end, PeriodState.OPEN))
            for start, end in zip(starts, MONTHS, strict=False)
        ]
        insert_periods(tx, self._months[programme_id])
        return programme_id

    def send(self, groups: Sequence[Sequence[Command]], now: datetime) -> Sequence[Sequence[Result]]:
        with self._tx(now) as tx:
            results = self._post(tx, groups)
        self._holds |= {command.id for group in groups for command in group}
        return results

    def define_unit(self, programme_id: ProgrammeId, code: str) -> None:
        with self._tx() as tx:
            (defined,) = define_units(tx, [DefineUnit(programme_id, Unit(code, "A coin", 0))])
            assert isinstance(defined, Unit), defined

    def close_months(self, programme_id: ProgrammeId, *, closed: int, soft: int) -> None:
        states = [PeriodState.CLOSED] * closed + [PeriodState.SOFT_CLOSED] * soft
        states += [PeriodState.OPEN] * (len(MONTHS) - len(states))
        with self._tx() as tx:
            lock_calendars(tx, [programme_id])
            save_periods(
                tx,
                [
                    PeriodRecord(record.id, programme_id, record.period._replace(state=state))
                    for record, state in zip(self._months[programme_id], states, strict=True)
                ],
            )

    def settle(self, programme_id: ProgrammeId, instant: datetime) -> None:
        with self._tx() as tx:
            settle(tx, programme_id, instant)

    def states(self, account_ids: Sequence[AccountId]) -> Mapping[str, State]:
        with self._tx() as tx:
            found = [place.account for place in read_accounts(tx, account_ids).values()]
        return {item.id: _state(item) for item in found}

    def left(self) -> Mapping[str, int]:
        with self._tx() as tx:
            holds: Mapping[TransferId, HoldState] = read_holds(tx, self._holds)
        return {key: item.remaining_minor for key, item in holds.items()}

    def known_at(self, programme_id: ProgrammeId, instant: datetime) -> Mapping[str, Counters]:
        with self._tx() as tx:
            found = balances(tx, programme_id, at=instant)
        return {item.id: (item.debits_minor, item.credits_minor, item.held_minor) for item in found}

    def dated(
        self, programme_id: ProgrammeId, account_id: AccountId, *, effective_at: datetime, known_at: datetime
    ) -> tuple[int, int]:
        with self._tx() as tx:
            found = dated_balance(tx, programme_id, account_id, effective_at=effective_at, known_at=known_at)
        assert found is not None, "the programme has the account"
        return found.debits_minor, found.credits_minor

    def breaches(self) -> Sequence[object]:
        with self._tx() as tx:
            return breaches(tx, [ask.programme_id for ask in self.askers])


def _state(account: Account) -> State:
    return State(
        account.status.value,
        account.debits_minor,
        account.credits_minor,
        account.held_minor,
        account.version,
        account.recorded_at,
    )
