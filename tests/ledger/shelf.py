"""What the store does, in memory: keeps what was decided, and hands it out for the next decision.

For tests of `decide` alone. It looks at every movement as it puts it away: an account's movements must follow one
from another.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ledger.core.account import Account, Calendar, Entry, HoldState, Movement, Status
from ledger.core.chart import Side, path_of
from ledger.core.commands import Command, Leg, Open, Result, Reverse, content_of
from ledger.core.decide import Changes, Decision, decide
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.core.running import Running
from ledger.core.view import Book, Known, Place, Posted
from tests.ledger.model import Answer, answer_of

NOON = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
_BORN = Entry(AccountId(""), 0, TransferId(""), 0, Movement.OPEN, 0, 0, 0, 0, NOON, NOON)


def account_after(running: Running) -> Account:
    """An account as a batch leaves it."""
    return running.account._replace(
        status=running.status,
        debits_minor=running.debits,
        credits_minor=running.credits,
        held_minor=running.held,
        version=running.version,
        recorded_at=running.recorded_at,
    )


class Shelf:
    """The book of a test: accounts that stand, and all that has come of commands."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = {
            item.id: item._replace(number=number) for number, item in enumerate(accounts, start=1)
        }
        self.holds: dict[TransferId, HoldState] = {}
        self.posted: dict[TransferId, Posted] = {}
        self.known: dict[TransferId, Known] = {}
        self.places: set[Place] = set()
        self.units: dict[ProgrammeId, set[str]] = defaultdict(set)
        self.calendars: dict[ProgrammeId, Calendar] = {}
        self.entries: list[Entry] = []
        self._last: dict[AccountId, Entry] = {}

    def decide(self, *groups: Sequence[Command], now: datetime = NOON) -> Decision:
        """Decides groups on top of what there is, and keeps what comes of it."""
        openings = [command for group in groups for command in group if isinstance(command, Open)]
        first = len(self.accounts) + 1
        book = Book(
            accounts=self.accounts,
            holds=self.holds,
            posted=self.posted,
            known=self.known,
            calendars=self.calendars,
            places=self.places,
            units=self.units,
            numbers={item.account_id: number for number, item in enumerate(openings, start=first)},
        )
        decision, changes = decide(book, groups, now)
        self._keep(decision, changes)
        return decision

    def results(self, *commands: Command, now: datetime = NOON) -> list[Result]:
        """Each command by itself."""
        return [result for (result,) in self.decide(*([command] for command in commands), now=now).results]

    def ask(self, *commands: Command, now: datetime = NOON) -> list[Answer]:
        """Each command by itself; the answers in one word."""
        return [answer_of(result) for result in self.results(*commands, now=now)]

    def ask_group(self, *commands: Command, now: datetime = NOON) -> list[Answer]:
        """All of the commands or none."""
        (results,) = self.decide(commands, now=now).results
        return [answer_of(result) for result in results]

    def available(self, account_id: AccountId) -> int:
        """What may be spent of an account."""
        return self.accounts[account_id].available_minor

    def set_calendar(self, programme_id: ProgrammeId, **until: datetime | None) -> None:
        """Settles the programme's past up to some instants."""
        before = self.calendars.get(programme_id, Calendar())
        self.calendars[programme_id] = before._replace(**until)

    def _keep(self, decision: Decision, changes: Changes) -> None:
        for running in changes.accounts:
            before, after = running.account, account_after(running)
            assert self.accounts.get(before.id, before) == before, "a change is on top of what there is"
            self.accounts[after.id] = after
        for command, _ in decision.opened:
            path = path_of(command.code, command.subdivision)
            self.places.add((command.programme_id, path, command.party_id, command.currency))
        self.holds |= {item.id: item for item in changes.holds}
        entries = decision.entries()
        for entry in entries:
            self._follow(entry)
        self.entries += entries
        of_transfer: dict[TransferId, list[Entry]] = defaultdict(list)
        for entry in entries:
            of_transfer[entry.transfer_id].append(entry)
        for item in decision.recorded:
            self._note(item.command, item.recorded_at, of_transfer[item.command.id])

    def _note(self, command: Command, recorded_at: datetime, entries: Sequence[Entry]) -> None:
        legs = legs_of(entries)
        # A command reserves, moves, or does neither; what a capture moves is what counts of it.
        moved_minor = sum(leg.amount_minor for leg in legs) or sum(entry.amount_minor for entry in entries)
        self.known[command.id] = Known(content_of(command), recorded_at, moved_minor)
        if isinstance(command, Reverse):
            original = self.posted[command.transfer_id]
            self.posted[command.transfer_id] = original._replace(reversed=True)
        elif legs:
            self.posted[command.id] = Posted(command.id, command.programme_id, legs, reversed=False)
        assert {entry.recorded_at for entry in entries} == {recorded_at}, "one command has one instant"

    def _follow(self, entry: Entry) -> None:
        """An entry is the last one of its account with its movement added, no version left out."""
        account = self.accounts[entry.account_id]
        last = self._last.get(entry.account_id) or _born_with(account, entry)
        debits, credits_, held = last.debits_after_minor, last.credits_after_minor, last.held_after_minor
        amount_minor = entry.amount_minor
        match entry.movement:
            case Movement.DEBIT:
                debits += amount_minor
            case Movement.CREDIT:
                credits_ += amount_minor
            case Movement.HOLD:
                held += amount_minor
            case Movement.RELEASE:
                held -= amount_minor
            case _:
                assert amount_minor == 0, "what moves no money has no amount"
        after = entry.debits_after_minor, entry.credits_after_minor, entry.held_after_minor
        assert after == (debits, credits_, held), f"{entry} follows from {last}"
        assert entry.version == last.version + 1, f"{entry} is the next after {last}"
        assert entry.recorded_at >= last.recorded_at, f"{entry} is not before {last}"
        self._last[entry.account_id] = entry


def _born_with(account: Account, first: Entry) -> Entry:
    """What an account of a test had before its first entry: a balance that no entry tells of."""
    movement, amount_minor = first.movement, first.amount_minor
    return _BORN._replace(
        account_id=account.id,
        debits_after_minor=first.debits_after_minor - (amount_minor if movement is Movement.DEBIT else 0),
        credits_after_minor=first.credits_after_minor - (amount_minor if movement is Movement.CREDIT else 0),
        recorded_at=first.recorded_at,
    )


def legs_of(entries: Iterable[Entry]) -> tuple[Leg, ...]:
    """The legs of one transfer, from what its accounts saw."""
    sides = {(entry.leg, entry.movement): entry for entry in entries if entry.leg}
    pairs = [
        (sides[number, Movement.DEBIT], sides[number, Movement.CREDIT])
        for number in sorted({number for number, _ in sides})
    ]
    assert all(debit.amount_minor == credit.amount_minor for debit, credit in pairs), "a leg balances"
    return tuple(Leg(debit.account_id, credit.account_id, debit.amount_minor) for debit, credit in pairs)


def account(
    account_id: AccountId,
    programme_id: ProgrammeId,
    *,
    floor: int | None = 0,
    cap: int | None = None,
    side: Side = Side.CREDIT,
    currency: str = "EUR",
    status: Status = Status.OPEN,
    posted: int = 0,
) -> Account:
    """An account that stands, with a balance that came from somewhere."""
    debits, credits_ = (posted, 0) if side is Side.DEBIT else (0, posted)
    return Account(
        id=account_id,
        number=0,
        programme_id=programme_id,
        currency=currency,
        side=side,
        status=status,
        min_available_minor=floor,
        max_balance_minor=cap,
        debits_minor=debits,
        credits_minor=credits_,
        held_minor=0,
        version=0,
        recorded_at=NOON,
    )
