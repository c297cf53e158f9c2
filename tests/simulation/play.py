"""One play: the model and a book side by side, step by step, and everything that must be true after each step.

`Stage` is what a book must offer to be played with: the real one on its database, and the deciding function alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple, Protocol

from ledger.core.commands import Command, Result
from ledger.core.ids import AccountId, ProgrammeId
from tests.ledger.model import Days, Model, answer_of, plain
from tests.ledger.world import Asker
from tests.simulation.caller import COIN, INSTANT, KINDS, Caller, closed_until

Counters = tuple[int, int, int]


class State(NamedTuple):
    """An account as it stands."""

    status: str
    debits: int
    credits: int
    held: int
    version: int
    seen_at: datetime


class Stage(Protocol):
    """A book that can be played with, in two programmes that nobody else uses."""

    @property
    def askers(self) -> tuple[Asker, Asker]:
        """One who asks, for each programme."""

    def send(self, groups: Sequence[Sequence[Command]], now: datetime) -> Sequence[Sequence[Result]]:
        """Has the book carry groups out."""

    def define_unit(self, programme_id: ProgrammeId, code: str) -> None:
        """A programme counts in a unit of its own from now on."""

    def close_months(self, programme_id: ProgrammeId, *, closed: int, soft: int) -> None:
        """Closes the first `closed` months, and the `soft` after them to all but adjustments; opens the others."""

    def settle(self, programme_id: ProgrammeId, instant: datetime) -> None:
        """Nothing is recorded at or before this instant any more."""

    def states(self, account_ids: Sequence[AccountId]) -> Mapping[str, State]:
        """Accounts as they stand."""

    def left(self) -> Mapping[str, int]:
        """What is left of each hold."""

    def known_at(self, programme_id: ProgrammeId, instant: datetime) -> Mapping[str, Counters]:
        """Debits, credits and holds of each account, as they were known at an instant."""

    def dated(
        self, programme_id: ProgrammeId, account_id: AccountId, *, effective_at: datetime, known_at: datetime
    ) -> tuple[int, int]:
        """Debits and credits by value date, of what was recorded until an instant."""

    def breaches(self) -> Sequence[object]:
        """What the book itself finds wrong with what it keeps."""


@dataclass
class Play:
    """A stage, the model, and a caller; every step is compared."""

    stage: Stage
    model: Model = field(default_factory=Model)
    answers: Counter[str] = field(default_factory=Counter)
    """How often each answer was given: a play in which nothing succeeds shows nothing."""
    told: list[tuple[ProgrammeId, datetime, Mapping[str, Counters]]] = field(default_factory=list)
    """What the book has said of the past."""

    def __post_init__(self) -> None:
        self.caller = Caller(self.model, self.stage.askers)

    def begin(self) -> None:
        """Sets the scene."""
        self._define_unit(self.stage.askers[0].programme_id)
        self.send([[command] for command in self.caller.setting()])
        assert set(self.answers) == {"applied"}, "the scene is set"
        self.check()

    def step(self, dice: Random, kind: str) -> None:
        """Does one thing of a kind, and looks at all that must be true after it."""
        STEPS[kind](self, dice)
        self.check()

    def check(self) -> None:
        """Raises: AssertionError when the book and the model differ, or the book breaks an invariant."""
        purses = self.model.purses
        states = self.stage.states([AccountId(key) for key in purses])
        assert dict(states) == {
            key: State(item.status, item.debits, item.credits, item.held, item.version, _seen(item.seen_at))
            for key, item in purses.items()
        }
        assert dict(self.stage.left()) == {key: pledge.left for key, pledge in self.model.pledges.items()}
        assert list(self.stage.breaches()) == []

    def send(self, groups: Sequence[Sequence[Command]]) -> None:
        """Sends groups to both, and compares every result."""
        now = self.caller.now
        predicted = [self.model.carry_out(group, now) for group in groups]
        results = plain(self.stage.send(groups, now))
        assert results == predicted, f"asked {groups}, the book said {results}, and the model {predicted}"
        self.caller.sent += groups
        self.answers.update(str(answer_of(result)) for group in results for result in group)

    # What a step can be

    def send_one(self, dice: Random, kind: str) -> None:
        """A new command."""
        self.send([[self.caller.command(dice, kind)]])

    def send_groups(self, dice: Random) -> None:
        """A batch of groups that speak of each other; at times with one of them, or part of it, once more."""
        sizes = [dice.choice([1, 1, 2, 3]) for _ in range(dice.randint(1, 4))]
        groups = self.caller.groups(dice, sizes)
        if dice.random() < 0.5:
            groups.append(dice.choice(groups))
            groups.append([dice.choice(dice.choice(groups))])
        self.send(groups)

    def send_again(self, dice: Random) -> None:
        """What was sent before, once more, and twice in one batch."""
        group = dice.choice(self.caller.sent)
        self.send([group] * dice.choice([1, 1, 2]))

    def send_other_under_a_used_id(self, dice: Random) -> None:
        """Something else under an id that was sent before; at times together with its first use."""
        other = self.caller.another_under_its_id(dice)
        self.send([[other]])

    def send_twice_in_a_batch(self, dice: Random) -> None:
        """A new command, what differs from it under the same id, itself again, and the same under another id."""
        command = self.caller.command(dice, dice.choice(list(KINDS)))
        self.caller.sent.append([command])
        other = self.caller.another_under_its_id(dice)
        self.send([[command], [other], [command], [self.caller.under_another_id(command)]])

    def let_time_pass(self, dice: Random) -> None:
        """Or sets the clock back."""
        seconds = dice.choice([dice.randint(-40, 120), dice.randint(-40, 120), dice.randint(-3600, 7200)])
        expiries = [
            pledge.expires_at for pledge in self.model.pledges.values() if pledge.expires_at and pledge.left
        ]
        if expiries and dice.random() < 0.3:
            self.caller.now = dice.choice(expiries) + dice.choice([-INSTANT, INSTANT - INSTANT])
        else:
            self.caller.now += timedelta(seconds=seconds, microseconds=dice.randint(0, 3))

    def close_months(self, dice: Random) -> None:
        """Closes or opens some of the past."""
        programme_id = dice.choice(self.caller.programme_ids)
        closed = dice.randint(0, 3)
        soft = dice.randint(0, 2)
        self.stage.close_months(programme_id, closed=closed, soft=soft)
        until, soft_until = closed_until(closed=closed, soft=soft)
        self.model.days[programme_id] = self._days(programme_id)._replace(closed=until, soft=soft_until)

    def define_unit(self, dice: Random) -> None:
        """The other programme begins to count in the same unit."""
        programme_id = dice.choice(self.caller.programme_ids)
        if (programme_id, COIN) not in self.model.units:
            self._define_unit(programme_id)

    def _define_unit(self, programme_id: ProgrammeId) -> None:
        self.stage.define_unit(programme_id, COIN)
        self.model.units.add((programme_id, COIN))

    def look_back(self, dice: Random) -> None:
        """Asks about the past by both times; and again about what was answered before."""
        programme_id = dice.choice(self.caller.programme_ids)
        instant = dice.choice(
            [self.caller.now, *(line.recorded_at for line in self.model.lines[-30:])]
        ) + dice.choice([-INSTANT, INSTANT - INSTANT, INSTANT])
        self.stage.settle(programme_id, instant)
        days = self._days(programme_id)
        self.model.days[programme_id] = days._replace(answered=max(days.answered or instant, instant))
        answer = self.stage.known_at(programme_id, instant)
        assert answer == self._known_at(programme_id, instant)
        self.told.append((programme_id, instant, answer))
        before = dice.choice(self.told)
        assert self.stage.known_at(*before[:2]) == before[2], "what was said of the past stands"
        self._look_at_value_dates(dice, programme_id, instant)

    def _look_at_value_dates(self, dice: Random, programme_id: ProgrammeId, instant: datetime) -> None:
        own = [key for key, purse in self.model.purses.items() if purse.programme_id == programme_id]
        account_id = AccountId(dice.choice(own))
        effective_at = dice.choice([instant, *(line.effective_at for line in self.model.lines[-30:])])
        lines = [
            line
            for line in self.model.lines
            if line.account_id == account_id
            and line.recorded_at <= instant
            and line.effective_at <= effective_at
        ]
        found = self.stage.dated(programme_id, account_id, effective_at=effective_at, known_at=instant)
        assert found == (sum(line.debits for line in lines), sum(line.credits for line in lines))

    def _known_at(self, programme_id: ProgrammeId, instant: datetime) -> Mapping[str, Counters]:
        known: dict[str, Counters] = {}
        for line in self.model.lines:
            if (
                self.model.purses[line.account_id].programme_id == programme_id
                and line.recorded_at <= instant
            ):
                debits, credits_, held = known.get(line.account_id, (0, 0, 0))
                known[line.account_id] = debits + line.debits, credits_ + line.credits, held + line.held
        return known

    def _days(self, programme_id: ProgrammeId) -> Days:
        return self.model.days.get(programme_id, Days())


def _seen(at: datetime | None) -> datetime:
    assert at is not None, "every account has seen its own opening"
    return at


def _one(kind: str) -> Callable[[Play, Random], None]:
    return lambda play, dice: play.send_one(dice, kind)


STEPS: dict[str, Callable[[Play, Random], None]] = {
    **{kind: _one(kind) for kind in KINDS},
    "groups": Play.send_groups,
    "again": Play.send_again,
    "other under a used id": Play.send_other_under_a_used_id,
    "twice in a batch": Play.send_twice_in_a_batch,
    "time": Play.let_time_pass,
    "months": Play.close_months,
    "unit": Play.define_unit,
    "look back": Play.look_back,
}
_WEIGHTS = {"post": 4, "hold": 3, "capture": 3, "post up to": 2, "convert": 2, "groups": 3, "again": 2}
OFTEN = tuple(kind for kind in STEPS for _ in range(_WEIGHTS.get(kind, 1)))
"""What a step can be, some kinds more often than others: without money on the way, nothing can be done with it."""


def play_on(stage: Stage, *, seed: int, steps: int) -> Play:
    """A play of so many steps, always the same for a seed. Raises: AssertionError, with the step that was wrong."""
    dice, play = Random(seed), Play(stage)
    play.begin()
    for number in range(steps):
        kind = dice.choice(OFTEN)
        try:
            play.step(dice, kind)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {number} ({kind}): {error}") from error
    return play
