"""Every refusal of the book at its edge, and their order: on the deciding function alone, and on the real book.

Below the edge, at it and above it, where a rule has one; and for every two refusals that stand next to each other,
a command that deserves both and gets the earlier.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, TypeVar

import pytest

from api.database import engine
from api.embedded import EmbeddedPostgres
from ledger.core.chart import Code
from ledger.core.commands import (
    LEGS_MAX,
    Applied,
    Command,
    Exists,
    Expire,
    Leg,
    Part,
    Rate,
    Refusal,
    Refused,
    Result,
)
from ledger.core.ids import AccountId, derived
from ledger.core.money import MINOR_MAX
from tests.conftest import MONDAY_MORNING, TEMPLATE
from tests.ledger.model import Answer, answer_of
from tests.simulation.caller import INSTANT, MONTHS
from tests.simulation.play import Stage
from tests.simulation.stages import BookStage, ShelfStage

SECOND = timedelta(seconds=1)
ONE_TO_ONE = Rate("EUR", "USD", 1, 1)
F = TypeVar("F", bound=Callable[..., None])
SHOWN: set[Refusal] = set()


def shows(*refusals: Refusal) -> Callable[[F], F]:
    """Marks a test that shows a refusal at its edge."""
    SHOWN.update(refusals)
    return lambda test: test


class Scene:
    """Two programmes with accounts, holds and transfers of every kind; and one who asks in each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.here, self.there = stage.askers
        self.now = MONDAY_MORNING
        here, acct = self.here, self.acct
        done = self.ask(
            *(
                here.open(f"open {name}", acct(name), subdivision=(name,), floor_minor=floor, cap_minor=cap)
                for name, floor, cap in (
                    ("ana", 0, None), ("ben", 0, None), ("line", -30, None), ("capped", 0, 50),
                    ("deep", None, None), ("abyss", None, None), ("full", -30, None), ("frozen", 0, None),
                    ("closed", 0, None),
                )
            ),
            *(
                here.open(
                    f"open {name}", acct(name), code=code, subdivision=(name,), currency=currency,
                    floor_minor=None,
                )
                for name, code, currency in (
                    ("bank", Code.SAFEGUARDING, "EUR"),
                    ("euros", Code.CONVERSION, "EUR"),
                    ("dollars", Code.CONVERSION, "USD"),
                    ("dollar wallet", Code.WALLET, "USD"),
                )
            ),
            self.there.open("open theirs", acct("theirs"), subdivision=("theirs",), floor_minor=None),
            self.there.open("open their other", acct("their other"), subdivision=("other",), floor_minor=None),
            here.post("fund", self.leg("bank", "ana", 120), self.leg("bank", "frozen", 50)),
            here.freeze("freeze", acct("frozen")),
            here.close("close", acct("closed")),
            here.hold("held", acct("ana"), amount_minor=10),
            here.hold("expired", acct("ana"), amount_minor=10, expires_at=self.now),
            here.hold("spent", acct("line"), amount_minor=1),
            here.release("spent back", "spent"),
            here.hold("spent late", acct("line"), amount_minor=1, expires_at=self.now),
            here.release("spend late", "spent late"),
            here.post("paid", self.leg("deep", "line", 7), self.leg("line", "deep", 7)),
            here.post("undone", self.leg("deep", "line", 5), self.leg("line", "deep", 5)),
            here.reverse("undo", "undone"),
            self.there.hold("their hold", acct("theirs"), amount_minor=5),
            self.there.release("their release", "their hold"),
            self.there.post("their payment", self.leg("theirs", "their other", 5)),
            self.there.reverse("their undoing", "their payment"),
        )  # fmt: skip
        assert set(done) == {"applied"}, done

    def acct(self, name: str) -> AccountId:
        return AccountId(derived("acct", self.here.programme_id, name))

    def leg(self, debit: str, credit: str, amount_minor: int, *, up_to: bool = False) -> Leg:
        return Leg(self.acct(debit), self.acct(credit), amount_minor, up_to)

    def results(self, *commands: Command, late: timedelta = timedelta(0)) -> list[Result]:
        """Each command by itself, in a batch of its own."""
        return [self.stage.send([[command]], self.now + late)[0][0] for command in commands]

    def ask(self, *commands: Command, late: timedelta = timedelta(0)) -> list[Answer]:
        """The answers to commands, all in one batch, each by itself."""
        groups = self.stage.send([[command] for command in commands], self.now + late)
        return [answer_of(result) for (result,) in groups]

    def close_the_books(self) -> None:
        """Closes the first month, and the second to all but adjustments."""
        self.stage.close_months(self.here.programme_id, closed=1, soft=1)


@pytest.fixture(scope="module")
def on_database(postgres: EmbeddedPostgres) -> Iterator[Callable[[], Stage]]:
    name = f"test_refusals_{secrets.token_hex(4)}"
    postgres.create_database(name, template=TEMPLATE)
    app = engine(postgres.url("tallystick_app", name))
    yield lambda: BookStage(app)
    app.dispose()
    postgres.drop_database(name)


@pytest.fixture(params=["decided", "posted"])
def scene(request: pytest.FixtureRequest) -> Scene:
    if request.param == "decided":
        return Scene(ShelfStage())
    return Scene(request.getfixturevalue("on_database")())


def dated(command: Command, day: datetime) -> Command:
    return replace(command, effective_at=day)


# The same id ------------------------------------------------------------------------------------------------


Build = Callable[[Scene], Command]


def _post(scene: Scene) -> Command:
    return scene.here.post("x", scene.leg("ana", "ben", 1))


def _up_to(scene: Scene) -> Command:
    return scene.here.post("x", scene.leg("ana", "ben", 5_000, up_to=True))


def _conversion(scene: Scene) -> Command:
    legs = scene.leg("ana", "euros", 3), scene.leg("dollars", "dollar wallet", 3)
    return scene.here.post("x", *legs, rate=ONE_TO_ONE)


def _hold(scene: Scene) -> Command:
    return scene.here.hold("x", scene.acct("ana"), amount_minor=1, expires_at=scene.now + SECOND)


def _increase(scene: Scene) -> Command:
    return scene.here.increase("x", "held", amount_minor=1)


def _capture(scene: Scene) -> Command:
    return scene.here.capture("x", "held", scene.leg("ana", "ben", 1))


def _release(scene: Scene) -> Command:
    return scene.here.release("x", "held", amount_minor=1)


def _release_all(scene: Scene) -> Command:
    return scene.here.release("x", "held")


def _expire(scene: Scene) -> Command:
    return scene.here.expire("x", "expired")


def _reverse(scene: Scene) -> Command:
    return scene.here.reverse("x", "paid")


def _reverse_part(scene: Scene) -> Command:
    return scene.here.reverse("x", "paid", Part(1, 2))


def _open(scene: Scene) -> Command:
    return scene.here.open("x", scene.acct("new"), subdivision=("new",), tags=("shop", "eu"))


def _freeze(scene: Scene) -> Command:
    return scene.here.freeze("x", scene.acct("ana"))


def _unfreeze(scene: Scene) -> Command:
    return scene.here.unfreeze("x", scene.acct("frozen"))


def _close(scene: Scene) -> Command:
    return scene.here.close("x", scene.acct("ben"))


SAMPLES = (
    _post, _up_to, _conversion, _hold, _increase, _capture, _release, _release_all, _expire, _reverse,
    _reverse_part, _open, _freeze, _unfreeze, _close,
)  # fmt: skip


Change = dict[str, object] | Callable[[Scene], dict[str, object]]


def _legs(*legs: tuple[str, str, int, bool]) -> Callable[[Scene], dict[str, object]]:
    return lambda scene: {
        "legs": tuple(scene.leg(debit, credit, minor, up_to=up_to) for debit, credit, minor, up_to in legs)
    }


ANYWHERE: list[tuple[str, Change]] = [
    ("programme_id", lambda scene: {"programme_id": scene.there.programme_id}),
    ("effective_at", {"effective_at": MONDAY_MORNING + INSTANT}),
    ("reference", {"reference": "other"}),
    ("metadata", {"metadata": {"note": "other"}}),
    ("adjusting", {"adjusting": True}),
    ("effective_at", {"effective_at": MONDAY_MORNING + INSTANT, "reference": "other"}),
    ("reference", {"reference": "other", "metadata": {"note": "other"}}),
    ("metadata", {"metadata": {"note": "other"}, "adjusting": True}),
]
OTHERWISE: dict[Build, list[tuple[str, Change]]] = {
    _post: [
        ("legs", _legs(("ana", "ben", 2, False))),
        ("legs", _legs(("ben", "ana", 1, False))),
        ("legs", _legs(("ana", "line", 1, False))),
        ("legs", _legs(("ana", "ben", 1, True))),
        ("legs", _legs(("ana", "ben", 1, False), ("ana", "ben", 1, False))),
        ("legs", _legs()),
        ("rate", {"rate": ONE_TO_ONE}),
    ],
    _up_to: [("legs", _legs(("ana", "ben", 100, False))), ("up_to", _legs(("ana", "ben", 5_001, True)))],
    _conversion: [("rate", {"rate": Rate("EUR", "USD", 2, 2)}), ("rate", {"rate": None})],
    _hold: [
        ("account_id", lambda scene: {"account_id": scene.acct("ben")}),
        ("amount_minor", {"amount_minor": 2}),
        ("expires_at", {"expires_at": None}),
        ("expires_at", {"expires_at": MONDAY_MORNING + 2 * SECOND}),
    ],
    _increase: [
        ("hold_id", lambda scene: {"hold_id": scene.here.xfr("expired")}),
        ("amount_minor", {"amount_minor": 2}),
    ],
    _capture: [("legs", _legs(("ana", "line", 1, False))), ("final", {"final": True})],
    _release: [("amount_minor", {"amount_minor": 2}), ("amount_minor", {"amount_minor": None})],
    _release_all: [("amount_minor", {"amount_minor": 10})],
    _expire: [("hold_id", lambda scene: {"hold_id": scene.here.xfr("held")})],
    _reverse: [
        ("transfer_id", lambda scene: {"transfer_id": scene.here.xfr("fund")}),
        ("parts", {"parts": (Part(1, 7), Part(2, 7))}),
    ],
    _reverse_part: [("parts", {"parts": None}), ("parts", {"parts": (Part(1, 1),)})],
    _open: [
        ("code", {"code": Code.SELLER}),
        ("subdivision", {"subdivision": ("other",)}),
        ("party_id", {"party_id": derived("pty", "someone")}),
        ("currency", {"currency": "USD"}),
        ("min_available_minor", {"min_available_minor": None}),
        ("max_balance_minor", {"max_balance_minor": 1}),
        ("tags", {"tags": ("eu", "shop")}),
        # Of two differences the first is named, whether the id was used just now or years ago.
        ("subdivision", {"subdivision": ("other",), "currency": "USD"}),
        ("min_available_minor", {"min_available_minor": None, "tags": ()}),
    ],
    _freeze: [("account_id", lambda scene: {"account_id": scene.acct("ben")})],
    _unfreeze: [("account_id", lambda scene: {"account_id": scene.acct("ben")})],
    _close: [("account_id", lambda scene: {"account_id": scene.acct("ana")})],
}


def others(scene: Scene, sample: Build) -> tuple[list[str], list[Command]]:
    """Commands under the id of the sample, and the field in which each first differs from it."""
    other_kind = _freeze if sample is not _freeze else _post
    fields, commands = ["kind"], [other_kind(scene)]
    for field, change in [*ANYWHERE, *OTHERWISE[sample]]:
        fields.append(field)
        changed = change(scene) if callable(change) else change
        commands.append(replace(sample(scene), **changed))  # type: ignore[arg-type]  # the table's own fields
    return fields, commands


def refused_fields(results: Sequence[Result]) -> list[str | None]:
    """The fields that differ, of results that are all `id_reused`."""
    assert {answer_of(result) for result in results} == {Refusal.ID_REUSED}, results
    return [result.field for result in results if isinstance(result, Refused)]


@shows(Refusal.ID_REUSED)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_an_id_is_used_for_one_command_and_the_field_that_differs_is_named(
    scene: Scene, sample: Build
) -> None:
    fields, commands = others(scene, sample)

    (applied, *refused) = scene.results(sample(scene), *commands)

    assert isinstance(applied, Applied)
    assert refused_fields(refused) == fields


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_the_same_is_said_of_an_id_that_is_used_again_in_one_batch(scene: Scene, sample: Build) -> None:
    fields, commands = others(scene, sample)

    groups = scene.stage.send([[command] for command in [sample(scene), *commands]], scene.now)

    ((applied,), *refused) = groups
    assert isinstance(applied, Applied)
    assert refused_fields([result for (result,) in refused]) == fields


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_every_command_again_exists_and_has_its_first_result(scene: Scene, sample: Build) -> None:
    command = sample(scene)

    (first,) = scene.results(command)
    later = scene.results(command, replace(command, authority=None), late=SECOND)
    ((twice,), (thrice,)) = scene.stage.send([[command], [command]], scene.now - SECOND)

    assert isinstance(first, Applied)
    assert [*later, twice, thrice] == [Exists(command.id, first.recorded_at, first.moved_minor)] * 4


def test_a_group_again_has_its_first_results_and_a_new_command_in_it_is_carried_out(scene: Scene) -> None:
    group = [_hold(scene), replace(_capture(scene), id=scene.here.xfr("y"))]
    more = replace(_post(scene), id=scene.here.xfr("z"))

    (first,) = scene.stage.send([group], scene.now)
    (again,) = scene.stage.send([group], scene.now + SECOND)
    (grown,) = scene.stage.send([[*group, more]], scene.now + SECOND)

    assert [answer_of(result) for result in first] == ["applied", "applied"]
    assert [tuple(result) for result in again] == [tuple(result) for result in first]
    assert [answer_of(result) for result in grown] == ["exists", "exists", "applied"]


def test_a_refused_command_leaves_its_id_free(scene: Scene) -> None:
    short = scene.here.post("x", scene.leg("ben", "ana", 10))

    answers = scene.ask(short, scene.here.post("fund ben", scene.leg("ana", "ben", 10)), short)

    assert answers == [Refusal.INSUFFICIENT_FUNDS, "applied", "applied"]


# What a command says by itself -----------------------------------------------------------------------------


@shows(Refusal.TOO_MANY_LEGS)
@pytest.mark.parametrize(
    ("legs", "answer"),
    [
        (0, Refusal.TOO_MANY_LEGS),
        (1, "applied"),
        (LEGS_MAX, "applied"),
        (LEGS_MAX + 1, Refusal.TOO_MANY_LEGS),
    ],
)
def test_a_command_has_one_to_a_thousand_legs(scene: Scene, legs: int, answer: Answer) -> None:
    here = scene.here
    commands = (
        here.hold("vast", scene.acct("deep"), amount_minor=LEGS_MAX + 1),
        here.post("large", scene.leg("bank", "deep", 5_000)),
        here.post("post", *[scene.leg("bank", "ben", 1)] * legs),
        here.capture("capture", "vast", *[scene.leg("deep", "ben", 1)] * legs),
        replace(here.reverse("reverse", "large"), parts=(Part(1, 1),) * legs),
    )

    assert scene.ask(*commands) == ["applied", "applied", answer, answer, answer]


@shows(Refusal.AMOUNT_OUT_OF_RANGE)
@pytest.mark.parametrize(
    ("amount_minor", "answer"),
    [
        (-MINOR_MAX, Refusal.AMOUNT_OUT_OF_RANGE),
        (-1, Refusal.AMOUNT_OUT_OF_RANGE),
        (0, Refusal.AMOUNT_OUT_OF_RANGE),
        (1, "applied"),
        (2, "applied"),
        (MINOR_MAX + 1, Refusal.AMOUNT_OUT_OF_RANGE),
        (10**400, Refusal.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_an_amount_is_a_whole_number_from_1(scene: Scene, amount_minor: int, answer: Answer) -> None:
    leg = scene.leg("ana", "ben", amount_minor)
    commands = (
        scene.here.post("post", leg),
        scene.here.post("up to", replace(leg, up_to=True)),
        scene.here.hold("hold", leg.debit, amount_minor=amount_minor),
        scene.here.increase("increase", "held", amount_minor=amount_minor),
        scene.here.capture("capture", "held", leg),
        scene.here.release("release", "held", amount_minor=amount_minor),
        scene.here.reverse("reverse", "paid", Part(1, amount_minor)),
    )

    assert scene.ask(*commands) == [answer] * len(commands)


def test_the_largest_amount_is_in_range_and_only_the_money_is_missing(scene: Scene) -> None:
    hold = scene.here.hold("hold", scene.acct("ben"), amount_minor=MINOR_MAX)

    assert scene.ask(hold) == [Refusal.INSUFFICIENT_FUNDS]


@pytest.mark.parametrize(
    ("floor", "cap", "answer"),
    [
        (-MINOR_MAX - 1, None, Refusal.AMOUNT_OUT_OF_RANGE),
        (-MINOR_MAX, None, "applied"),
        (0, 0, "applied"),
        (1, None, Refusal.AMOUNT_OUT_OF_RANGE),
        (None, -1, Refusal.AMOUNT_OUT_OF_RANGE),
        (None, MINOR_MAX, "applied"),
        (None, MINOR_MAX + 1, Refusal.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_an_account_is_opened_within_its_limits(
    scene: Scene, floor: int | None, cap: int | None, answer: Answer
) -> None:
    command = scene.here.open("x", scene.acct("x"), subdivision=("x",), floor_minor=floor, cap_minor=cap)

    assert scene.ask(command) == [answer]


@shows(Refusal.SAME_ACCOUNT)
def test_a_leg_joins_two_accounts(scene: Scene) -> None:
    other, same = scene.leg("ana", "ben", 1), scene.leg("ana", "ana", 1)

    assert scene.ask(
        scene.here.post("fine", other),
        scene.here.post("one of two", other, same),
        scene.here.capture("capture", "held", same),
    ) == ["applied", Refusal.SAME_ACCOUNT, Refusal.SAME_ACCOUNT]


# The calendar -----------------------------------------------------------------------------------------------


@shows(Refusal.PERIOD_CLOSED, Refusal.PERIOD_SOFT_CLOSED)
@pytest.mark.parametrize(
    ("day", "answer", "adjustment"),
    [
        (MONTHS[0] - INSTANT, Refusal.PERIOD_CLOSED, Refusal.PERIOD_CLOSED),
        (MONTHS[0], Refusal.PERIOD_SOFT_CLOSED, "applied"),
        (MONTHS[1] - INSTANT, Refusal.PERIOD_SOFT_CLOSED, "applied"),
        (MONTHS[1], "applied", "applied"),
    ],
)
def test_a_closed_period_takes_nothing_and_a_soft_closed_one_adjustments(
    scene: Scene, day: datetime, answer: Answer, adjustment: Answer
) -> None:
    scene.close_the_books()
    command = dated(_post(scene), day)

    answers = scene.ask(command, replace(command, id=scene.here.xfr("y"), adjusting=True))

    assert answers == [answer, adjustment]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_every_command_looks_at_the_calendar(scene: Scene, sample: Build) -> None:
    scene.close_the_books()
    command = sample(scene)

    answers = scene.ask(
        dated(command, MONTHS[0] - INSTANT),
        dated(command, MONTHS[0]),
        replace(dated(command, MONTHS[0]), adjusting=True),
    )

    assert answers == [Refusal.PERIOD_CLOSED, Refusal.PERIOD_SOFT_CLOSED, "applied"]


def test_the_calendar_of_one_programme_is_not_that_of_another(scene: Scene) -> None:
    scene.close_the_books()

    assert scene.ask(dated(scene.there.freeze("x", scene.acct("theirs")), MONTHS[0] - INSTANT)) == ["applied"]


# Holds ------------------------------------------------------------------------------------------------------


def on_hold(scene: Scene, hold: str) -> list[Command]:
    """Everything that can be done with a hold on ana's account."""
    return [
        scene.here.increase("increase", hold, amount_minor=1),
        scene.here.capture("capture", hold, scene.leg("ana", "ben", 1)),
        scene.here.release("release", hold, amount_minor=1),
        scene.here.expire("expire", hold),
    ]


@shows(Refusal.HOLD_UNKNOWN)
def test_a_hold_is_one_that_was_made_in_this_programme(scene: Scene) -> None:
    theirs = [
        replace(command, hold_id=scene.there.xfr("their hold"))  # type: ignore[arg-type]  # all are of holds
        for command in on_hold(scene, "")
    ]

    assert scene.ask(*on_hold(scene, "nobody's")) == [Refusal.HOLD_UNKNOWN] * 4
    assert scene.ask(*on_hold(scene, "paid")) == [Refusal.HOLD_UNKNOWN] * 4
    assert scene.ask(*theirs) == [Refusal.HOLD_UNKNOWN] * 4
    assert scene.ask(*on_hold(scene, "held")[:3]) == ["applied"] * 3


@shows(Refusal.HOLD_CLOSED)
@pytest.mark.parametrize(("left", "answer"), [(1, "applied"), (0, Refusal.HOLD_CLOSED)])
def test_a_hold_is_closed_when_nothing_is_left_of_it(scene: Scene, left: int, answer: Answer) -> None:
    for number, command in enumerate(on_hold(scene, "")):
        hold = f"hold {number}"
        prepared = scene.ask(
            scene.here.hold(hold, scene.acct("ana"), amount_minor=10, expires_at=scene.now + SECOND),
            scene.here.capture(f"most {number}", hold, scene.leg("ana", "ben", 10 - left)),
        )
        late = SECOND if isinstance(command, Expire) else timedelta(0)
        aimed = replace(command, hold_id=scene.here.xfr(hold))  # type: ignore[arg-type]  # all are of holds

        assert prepared == ["applied", "applied"]
        assert scene.ask(aimed, late=late) == [answer]


@shows(Refusal.HOLD_EXPIRED, Refusal.HOLD_NOT_EXPIRED)
@pytest.mark.parametrize(
    ("late", "use", "expiry"),
    [
        (-INSTANT, "applied", Refusal.HOLD_NOT_EXPIRED),
        (timedelta(0), Refusal.HOLD_EXPIRED, "applied"),
        (INSTANT, Refusal.HOLD_EXPIRED, "applied"),
    ],
)
def test_a_hold_expires_at_its_instant_and_not_before(
    scene: Scene, late: timedelta, use: Answer, expiry: Answer
) -> None:
    scene.ask(scene.here.hold("hold", scene.acct("ana"), amount_minor=9, expires_at=scene.now + SECOND))

    answers = scene.ask(*on_hold(scene, "hold"), late=SECOND + late)

    assert answers == [use, use, "applied", expiry]


def test_a_hold_without_an_end_does_not_expire(scene: Scene) -> None:
    far = timedelta(days=3_650)

    assert scene.ask(scene.here.expire("x", "held"), late=far) == [Refusal.HOLD_NOT_EXPIRED]


@shows(Refusal.LEG_NOT_FROM_HOLD)
def test_every_leg_of_a_capture_draws_on_the_held_account(scene: Scene) -> None:
    own, other, backwards = (
        scene.leg("ana", "ben", 1),
        scene.leg("line", "ben", 1),
        scene.leg("ben", "ana", 1),
    )

    assert scene.ask(
        scene.here.capture("other", "held", own, other),
        scene.here.capture("backwards", "held", own, backwards),
        scene.here.capture("fine", "held", own, own),
    ) == [Refusal.LEG_NOT_FROM_HOLD, Refusal.LEG_NOT_FROM_HOLD, "applied"]


def test_a_hold_on_an_asset_is_captured_by_crediting_it(scene: Scene) -> None:
    assert scene.ask(
        scene.here.hold("hold", scene.acct("bank"), amount_minor=10),
        scene.here.capture("wrong way", "hold", scene.leg("bank", "ana", 1)),
        scene.here.capture("fine", "hold", scene.leg("ana", "bank", 1)),
    ) == ["applied", Refusal.LEG_NOT_FROM_HOLD, "applied"]


@shows(Refusal.EXCEEDS_HOLD)
@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.EXCEEDS_HOLD)]
)
def test_no_more_is_taken_of_a_hold_than_is_left(scene: Scene, amount_minor: int, answer: Answer) -> None:
    half, rest = scene.leg("ana", "ben", 5), scene.leg("ana", "ben", amount_minor - 5)
    hold = scene.here.hold("hold", scene.acct("ana"), amount_minor=20)
    most = scene.here.capture("most", "hold", scene.leg("ana", "ben", 10))

    assert scene.ask(hold, most, scene.here.capture("rest", "hold", half, rest)) == [
        "applied",
        "applied",
        answer,
    ]
    assert scene.ask(scene.here.release("release", "held", amount_minor=amount_minor)) == [answer]


def test_a_capture_of_what_is_available_is_no_capture(scene: Scene) -> None:
    command = scene.here.capture("x", "held", scene.leg("ana", "ben", 1, up_to=True))

    assert scene.ask(command) == [Refusal.EXCEEDS_HOLD]


# Reversals --------------------------------------------------------------------------------------------------


@shows(Refusal.TRANSFER_UNKNOWN)
def test_only_transfers_of_money_in_this_programme_are_reversed(scene: Scene) -> None:
    theirs = replace(scene.here.reverse("theirs", ""), transfer_id=scene.there.xfr("their payment"))
    names = ("nobody's", "held", "spent back", "undo", "freeze", "open ana")

    assert scene.ask(*(scene.here.reverse(f"undo {name}", name) for name in names), theirs) == [
        Refusal.TRANSFER_UNKNOWN
    ] * (len(names) + 1)
    assert scene.ask(scene.here.reverse("fine", "paid")) == ["applied"]


@shows(Refusal.ALREADY_REVERSED)
def test_a_transfer_is_reversed_once_in_full_or_in_part(scene: Scene) -> None:
    answers = scene.ask(
        scene.here.reverse("again", "undone"),
        scene.here.reverse("some", "paid", Part(1, 1)),
        scene.here.reverse("some more", "paid", Part(2, 1)),
    )

    assert answers == [Refusal.ALREADY_REVERSED, "applied", Refusal.ALREADY_REVERSED]
    assert scene.ask(scene.here.reverse("rest", "paid")) == [Refusal.ALREADY_REVERSED]


@shows(Refusal.LEG_UNKNOWN)
@pytest.mark.parametrize(
    ("leg", "answer"),
    [
        (-1, Refusal.LEG_UNKNOWN),
        (0, Refusal.LEG_UNKNOWN),
        (1, "applied"),
        (2, "applied"),
        (3, Refusal.LEG_UNKNOWN),
    ],
)
def test_a_part_is_of_a_leg_that_is_there(scene: Scene, leg: int, answer: Answer) -> None:
    assert scene.ask(scene.here.reverse("x", "paid", Part(leg, 1))) == [answer]


@shows(Refusal.EXCEEDS_LEG)
@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(6, "applied"), (7, "applied"), (8, Refusal.EXCEEDS_LEG)]
)
def test_no_more_of_a_leg_is_undone_than_it_moved(scene: Scene, amount_minor: int, answer: Answer) -> None:
    again = scene.here.post("paid again", scene.leg("deep", "line", 7), scene.leg("line", "deep", 7))
    split = scene.here.reverse("split", "paid again", Part(1, 5), Part(2, 7), Part(1, amount_minor - 5))

    assert scene.ask(scene.here.reverse("x", "paid", Part(1, amount_minor), Part(2, 7))) == [answer]
    assert scene.ask(again, split) == ["applied", answer]


# Accounts ---------------------------------------------------------------------------------------------------


@shows(Refusal.ACCOUNT_UNKNOWN)
@pytest.mark.parametrize("stranger", ["nobody", "theirs"])
def test_an_account_is_one_of_this_programme(scene: Scene, stranger: str) -> None:
    commands = (
        scene.here.post("to", scene.leg("ana", stranger, 1)),
        scene.here.post("from", scene.leg(stranger, "ana", 1)),
        scene.here.hold("hold", scene.acct(stranger), amount_minor=1),
        scene.here.capture("capture", "held", scene.leg("ana", stranger, 1)),
        scene.here.freeze("freeze it", scene.acct(stranger)),
        scene.here.unfreeze("unfreeze it", scene.acct(stranger)),
        scene.here.close("close it", scene.acct(stranger)),
    )

    assert scene.ask(*commands) == [Refusal.ACCOUNT_UNKNOWN] * len(commands)


@shows(Refusal.ACCOUNT_EXISTS)
def test_an_account_has_an_id_and_a_place_of_its_own(scene: Scene) -> None:
    here, new = scene.here, scene.acct("new")

    answers = scene.ask(
        here.open("taken id", scene.acct("ana"), subdivision=("new",)),
        here.open("their id", scene.acct("theirs"), subdivision=("new",)),
        here.open("taken place", new, subdivision=("ana",)),
        here.open("other currency", new, subdivision=("ana",), currency="USD"),
        here.open("other code", scene.acct("new 2"), subdivision=("ana",), code=Code.SELLER),
        here.open("other subdivision", scene.acct("new 3"), subdivision=("ana", "savings")),
        scene.there.open("other programme", scene.acct("new 4"), subdivision=("ana",)),
        here.open("taken just now", scene.acct("new 5"), subdivision=("ana", "savings")),
    )

    assert answers == [Refusal.ACCOUNT_EXISTS] * 3 + ["applied"] * 4 + [Refusal.ACCOUNT_EXISTS]


@shows(Refusal.CURRENCY_UNKNOWN)
@pytest.mark.parametrize(
    ("currency", "answer"),
    [
        ("EUR", "applied"),
        ("COIN", "applied"),
        ("QQQ", Refusal.CURRENCY_UNKNOWN),
        ("COINS", Refusal.CURRENCY_UNKNOWN),
        ("eur", Refusal.CURRENCY_UNKNOWN),
        ("", Refusal.CURRENCY_UNKNOWN),
    ],
)
def test_an_account_counts_in_a_currency_or_a_unit_of_its_programme(
    scene: Scene, currency: str, answer: Answer
) -> None:
    scene.stage.define_unit(scene.here.programme_id, "COIN")
    scene.stage.define_unit(scene.there.programme_id, "COINS")

    assert scene.ask(scene.here.open("x", scene.acct("x"), subdivision=("x",), currency=currency)) == [answer]


@shows(Refusal.CURRENCY_DIFFERS)
def test_a_leg_stays_in_one_currency(scene: Scene) -> None:
    within, across = scene.leg("ana", "ben", 1), scene.leg("ana", "dollar wallet", 1)

    assert scene.ask(
        scene.here.post("alone", across),
        scene.here.post("beside another", within, across),
        scene.here.post("at a rate", across, rate=ONE_TO_ONE),
        scene.here.capture("capture", "held", across),
        scene.here.post("fine", within, scene.leg("dollars", "dollar wallet", 1)),
    ) == [Refusal.CURRENCY_DIFFERS] * 4 + ["applied"]


@shows(Refusal.RATE_DIFFERS)
@pytest.mark.parametrize(
    ("sold_minor", "bought_minor", "numerator", "denominator", "answer"),
    [
        (100, 108, 109, 100, Refusal.RATE_DIFFERS),
        (100, 109, 109, 100, "applied"),
        (100, 110, 109, 100, Refusal.RATE_DIFFERS),
        (5, 2, 1, 2, "applied"),  # 2.5: half to even
        (5, 3, 1, 2, Refusal.RATE_DIFFERS),
        (7, 4, 1, 2, "applied"),  # 3.5
        (7, 3, 1, 2, Refusal.RATE_DIFFERS),
        (1, 1, 0, 1, Refusal.RATE_DIFFERS),
        (1, 1, 1, 0, Refusal.RATE_DIFFERS),
        (1, 1, -1, -1, Refusal.RATE_DIFFERS),
    ],
)
def test_a_conversion_buys_what_its_rate_says(
    scene: Scene, sold_minor: int, bought_minor: int, numerator: int, denominator: int, answer: Answer
) -> None:
    legs = scene.leg("ana", "euros", sold_minor), scene.leg("dollars", "dollar wallet", bought_minor)

    command = scene.here.post("x", *legs, rate=Rate("EUR", "USD", numerator, denominator))

    assert scene.ask(scene.here.release("free", "held"), scene.here.release("free too", "expired"), command) == [
        "applied", "applied", answer,
    ]  # fmt: skip


def test_a_conversion_is_between_its_two_currencies_and_of_exact_amounts(scene: Scene) -> None:
    sold, bought = scene.leg("ana", "euros", 5), scene.leg("dollars", "dollar wallet", 5)
    post = scene.here.post

    assert scene.ask(
        post("one currency", sold, rate=Rate("EUR", "EUR", 1, 1)),
        post("other currencies", sold, bought, rate=Rate("EUR", "JPY", 1, 1)),
        post("the other way", sold, scene.leg("dollars", "dollar wallet", 4), rate=Rate("USD", "EUR", 4, 5)),
        post("up to", replace(sold, up_to=True), bought, rate=ONE_TO_ONE),
        post("in two parts", sold, sold, bought, scene.leg("dollars", "dollar wallet", 5), rate=ONE_TO_ONE),
    ) == [Refusal.RATE_DIFFERS] * 4 + ["applied"]


@shows(Refusal.ACCOUNT_CLOSED)
def test_a_closed_account_takes_no_movement(scene: Scene) -> None:
    commands = (
        scene.here.post("to", scene.leg("ana", "closed", 1)),
        scene.here.post("from", scene.leg("closed", "ana", 1)),
        scene.here.hold("hold", scene.acct("closed"), amount_minor=1),
        scene.here.capture("capture", "held", scene.leg("ana", "closed", 1)),
        scene.here.freeze("freeze it", scene.acct("closed")),
        scene.here.unfreeze("unfreeze it", scene.acct("closed")),
        scene.here.close("close it", scene.acct("closed")),
    )

    assert scene.ask(*commands) == [Refusal.ACCOUNT_CLOSED] * len(commands)


@shows(Refusal.ACCOUNT_FROZEN, Refusal.ACCOUNT_NOT_FROZEN)
def test_a_frozen_account_gives_nothing_until_it_is_thawed(scene: Scene) -> None:
    here, frozen = scene.here, scene.acct("frozen")

    def gifts(times: str) -> tuple[Command, ...]:
        return (
            here.post(f"{times} out", scene.leg("frozen", "ana", 1)),
            here.post(f"{times} most", scene.leg("frozen", "ana", 1, up_to=True)),
            here.hold(f"{times} hold", frozen, amount_minor=1),
            here.freeze(f"{times} freeze", frozen),
        )

    assert scene.ask(*gifts("first")) == [Refusal.ACCOUNT_FROZEN] * 4
    assert scene.ask(
        here.post("in", scene.leg("ana", "frozen", 1)),
        here.unfreeze("unfreeze", frozen),
        here.unfreeze("unfreeze again", frozen),
        *gifts("then"),
    ) == ["applied", "applied", Refusal.ACCOUNT_NOT_FROZEN, "applied", "applied", "applied", "applied"]


@shows(Refusal.ACCOUNT_NOT_EMPTY)
@pytest.mark.parametrize(
    ("posted_minor", "held_minor", "answer"),
    [
        (-1, 0, Refusal.ACCOUNT_NOT_EMPTY),
        (0, 0, "applied"),
        (1, 0, Refusal.ACCOUNT_NOT_EMPTY),
        (0, 1, Refusal.ACCOUNT_NOT_EMPTY),
        (1, 1, Refusal.ACCOUNT_NOT_EMPTY),
    ],
)
def test_an_account_is_closed_when_nothing_is_on_it(
    scene: Scene, posted_minor: int, held_minor: int, answer: Answer
) -> None:
    here, moved = scene.here, max(posted_minor, -posted_minor)
    pair = ("deep", "line") if posted_minor > 0 else ("line", "deep")
    prepared: list[Command] = [here.post("pay", scene.leg(*pair, moved))] if moved else []
    prepared += [here.hold("hold", scene.acct("line"), amount_minor=held_minor)] if held_minor else []

    assert scene.ask(*prepared, here.close("x", scene.acct("line"))) == ["applied"] * len(prepared) + [answer]


# Limits -----------------------------------------------------------------------------------------------------


@shows(Refusal.NOTHING_AVAILABLE)
@pytest.mark.parametrize(
    ("spent_minor", "answer"), [(99, "applied"), (100, Refusal.NOTHING_AVAILABLE), (101, None)]
)
def test_a_leg_up_to_what_is_available_needs_something(
    scene: Scene, spent_minor: int, answer: Answer | None
) -> None:
    """Of ana's 120, 20 are held."""
    spend = scene.here.post("spend", scene.leg("ana", "ben", spent_minor))
    sweep = scene.here.post("sweep", scene.leg("ana", "ben", 1_000, up_to=True))

    expected = [Refusal.INSUFFICIENT_FUNDS, "applied"] if answer is None else ["applied", answer]
    assert scene.ask(spend, sweep) == expected


@shows(Refusal.OVERFLOW)
@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.OVERFLOW)]
)
def test_counters_are_filled_to_63_bits_and_no_further(
    scene: Scene, amount_minor: int, answer: Answer
) -> None:
    here, most = scene.here, MINOR_MAX - 10
    fill = here.post("fill", scene.leg("abyss", "full", most))

    assert scene.ask(fill, here.post("over", scene.leg("bank", "full", amount_minor))) == ["applied", answer]
    # What the abyss still has above the bottom of 63 bits is 10, or what is left of it.
    assert scene.ask(here.hold("below", scene.acct("abyss"), amount_minor=amount_minor)) == [answer]


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.OVERFLOW)]
)
def test_what_is_held_is_filled_to_63_bits_and_no_further(
    scene: Scene, amount_minor: int, answer: Answer
) -> None:
    here, abyss = scene.here, scene.acct("abyss")
    most = here.hold("most", abyss, amount_minor=MINOR_MAX - 10)

    assert scene.ask(most, here.hold("more", abyss, amount_minor=amount_minor)) == ["applied", answer]
    assert scene.ask(here.release("free", "more"))[0] in {"applied", Refusal.HOLD_UNKNOWN}
    assert scene.ask(here.increase("most more", "most", amount_minor=amount_minor)) == [answer]


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.OVERFLOW)]
)
def test_one_hold_is_increased_to_63_bits_in_all_its_life(
    scene: Scene, amount_minor: int, answer: Answer
) -> None:
    here = scene.here
    prepared = (
        here.hold("most", scene.acct("abyss"), amount_minor=MINOR_MAX - 10),
        here.release("give back", "most", amount_minor=MINOR_MAX - 11),
    )

    assert scene.ask(*prepared, here.increase("x", "most", amount_minor=amount_minor)) == [
        "applied", "applied", answer,
    ]  # fmt: skip


@shows(Refusal.INSUFFICIENT_FUNDS)
@pytest.mark.parametrize(("floor", "below", "at", "above"), [("ana", 99, 100, 101), ("line", 29, 30, 31)])
def test_an_account_gives_what_is_available_and_no_more(
    scene: Scene, floor: str, below: int, at: int, above: int
) -> None:
    """Of ana's 120, 20 are held; the line reaches down to -30."""
    here = scene.here
    for amount_minor, answer in ((above, Refusal.INSUFFICIENT_FUNDS), (at, "applied"), (below, "applied")):
        name = f"{amount_minor}"
        hold = here.hold(f"hold {name}", scene.acct(floor), amount_minor=amount_minor)
        post = here.post(f"post {name}", scene.leg(floor, "deep", amount_minor))
        back = here.post(f"back {name}", scene.leg("deep", floor, amount_minor))
        small = here.hold(f"small {name}", scene.acct(floor), amount_minor=1)
        more = here.increase(f"increase {name}", f"small {name}", amount_minor=amount_minor - 1)

        assert scene.ask(hold)[0] == answer
        assert scene.ask(here.release(f"free {name}", f"hold {name}"))[0] in {"applied", Refusal.HOLD_UNKNOWN}
        assert scene.ask(small, more, here.release(f"free small {name}", f"small {name}")) == [
            "applied", answer, "applied",
        ]  # fmt: skip
        assert scene.ask(post)[0] == answer
        assert answer != "applied" or scene.ask(back) == ["applied"]


def test_a_reversal_needs_the_money_to_be_there_still(scene: Scene) -> None:
    answers = scene.ask(
        scene.here.post("pay", scene.leg("ana", "ben", 60)),
        scene.here.post("spend", scene.leg("ben", "line", 1)),
        scene.here.reverse("undo it", "pay"),
        scene.here.reverse("undo what is there", "pay", Part(1, 59)),
    )

    assert answers == ["applied", "applied", Refusal.INSUFFICIENT_FUNDS, "applied"]


@shows(Refusal.BALANCE_CAP)
@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(49, "applied"), (50, "applied"), (51, Refusal.BALANCE_CAP)]
)
def test_an_account_is_filled_to_its_cap(scene: Scene, amount_minor: int, answer: Answer) -> None:
    through = scene.here.post("through", scene.leg("bank", "capped", 70), scene.leg("capped", "ben", 70))
    fill = scene.here.post("fill", scene.leg("bank", "capped", amount_minor))

    assert scene.ask(through, fill) == ["applied", answer]


@shows(Refusal.GROUP_REFUSED)
def test_a_group_is_all_or_nothing(scene: Scene) -> None:
    fine, short, worse = (
        scene.here.post("fine", scene.leg("ana", "ben", 1)),
        scene.here.post("short", scene.leg("ben", "ana", 2)),
        scene.here.post("worse"),
    )

    (all_of_them,) = scene.stage.send([[fine, short, worse]], scene.now)
    (without_the_short,) = scene.stage.send([[fine]], scene.now)

    assert [answer_of(result) for result in all_of_them] == [
        Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS, Refusal.GROUP_REFUSED,
    ]  # fmt: skip
    assert isinstance(all_of_them[0], Refused)
    assert all_of_them[0].detail == f"refused together with {short.id}: insufficient_funds"
    assert [answer_of(result) for result in without_the_short] == ["applied"]


def test_every_refusal_is_shown_at_its_edge() -> None:
    assert set(Refusal) == SHOWN


# Which comes first ------------------------------------------------------------------------------------------


class Both(NamedTuple):
    """A command that deserves both refusals and must get the first; and the same with the first fault mended."""

    first: Refusal
    second: Refusal
    command: Build
    mended: Build


def _posts(*legs: tuple[str, str, int], rate: Rate | None = None) -> Build:
    return lambda scene: scene.here.post("x", *(scene.leg(*leg) for leg in legs), rate=rate)


def _captures(hold: str, *legs: tuple[str, str, int]) -> Build:
    return lambda scene: scene.here.capture("x", hold, *(scene.leg(*leg) for leg in legs))


def _early(build: Build, day: datetime = MONTHS[0] - INSTANT) -> Build:
    return lambda scene: dated(build(scene), day)


def _opens(name: str, place: str, currency: str = "EUR", cap: int | None = None) -> Build:
    return lambda scene: scene.here.open(
        "x", scene.acct(name), subdivision=(place,), currency=currency, cap_minor=cap
    )


def _theirs(build: Build, **change: str) -> Build:
    """The same of the other programme's things, which have these names there."""
    return lambda scene: replace(
        build(scene),
        **{field: scene.there.xfr(name) for field, name in change.items()},  # type: ignore[arg-type]
    )


def _by_them(build: Build) -> Build:
    return lambda scene: replace(build(scene), programme_id=scene.there.programme_id)


def _sweeps(*legs: tuple[str, str, int]) -> Build:
    """The first leg is up to what is available, and nothing is."""
    return lambda scene: scene.here.post(
        "x", scene.leg("ben", "ana", 5, up_to=True), *(scene.leg(*leg) for leg in legs)
    )


SOFT = MONTHS[0]
BOTH = [
    Both(Refusal.ID_REUSED, Refusal.TOO_MANY_LEGS,
         lambda scene: replace(scene.here.post("x"), id=scene.here.xfr("paid")), _posts()),
    Both(Refusal.TOO_MANY_LEGS, Refusal.AMOUNT_OUT_OF_RANGE,
         _posts(*[("ana", "ben", 0)] * (LEGS_MAX + 1)), _posts(("ana", "ben", 0))),
    Both(Refusal.AMOUNT_OUT_OF_RANGE, Refusal.SAME_ACCOUNT,
         _posts(("ana", "ana", 1), ("ana", "ben", 0)), _posts(("ana", "ana", 1), ("ana", "ben", 1))),
    Both(Refusal.SAME_ACCOUNT, Refusal.PERIOD_CLOSED,
         _early(_posts(("ana", "ana", 1))), _early(_posts(("ana", "ben", 1)))),
    Both(Refusal.AMOUNT_OUT_OF_RANGE, Refusal.PERIOD_CLOSED,
         _early(_opens("new", "new", cap=-1)), _early(_opens("new", "new"))),
    Both(Refusal.PERIOD_CLOSED, Refusal.PERIOD_SOFT_CLOSED,
         _early(_posts(("ana", "ben", 1))), _early(_posts(("ana", "ben", 1)), SOFT)),
    Both(Refusal.PERIOD_SOFT_CLOSED, Refusal.HOLD_UNKNOWN,
         _early(_captures("nobody's", ("ana", "ben", 1)), SOFT), _captures("nobody's", ("ana", "ben", 1))),
    Both(Refusal.HOLD_UNKNOWN, Refusal.HOLD_CLOSED,
         _theirs(_release_all, hold_id="their hold"), _by_them(_theirs(_release_all, hold_id="their hold"))),
    Both(Refusal.HOLD_CLOSED, Refusal.HOLD_EXPIRED,
         _captures("spent late", ("line", "ben", 1)), _captures("expired", ("ana", "ben", 1))),
    Both(Refusal.HOLD_CLOSED, Refusal.HOLD_NOT_EXPIRED,
         lambda scene: scene.here.expire("x", "spent"), lambda scene: scene.here.expire("x", "held")),
    Both(Refusal.HOLD_EXPIRED, Refusal.LEG_NOT_FROM_HOLD,
         _captures("expired", ("line", "ben", 1)), _captures("held", ("line", "ben", 1))),
    Both(Refusal.LEG_NOT_FROM_HOLD, Refusal.EXCEEDS_HOLD,
         _captures("held", ("ana", "ben", 11), ("line", "ben", 1)), _captures("held", ("ana", "ben", 11))),
    Both(Refusal.HOLD_CLOSED, Refusal.EXCEEDS_HOLD,
         lambda scene: scene.here.release("x", "spent", amount_minor=11),
         lambda scene: scene.here.release("x", "held", amount_minor=11)),
    Both(Refusal.EXCEEDS_HOLD, Refusal.ACCOUNT_UNKNOWN,
         _captures("held", ("ana", "nobody", 11)), _captures("held", ("ana", "nobody", 1))),
    Both(Refusal.PERIOD_SOFT_CLOSED, Refusal.TRANSFER_UNKNOWN,
         _early(lambda scene: scene.here.reverse("x", "nobody's"), SOFT),
         lambda scene: scene.here.reverse("x", "nobody's")),
    Both(Refusal.TRANSFER_UNKNOWN, Refusal.ALREADY_REVERSED,
         _theirs(_reverse, transfer_id="their payment"),
         _by_them(_theirs(_reverse, transfer_id="their payment"))),
    Both(Refusal.ALREADY_REVERSED, Refusal.LEG_UNKNOWN,
         lambda scene: scene.here.reverse("x", "undone", Part(3, 1)),
         lambda scene: scene.here.reverse("x", "paid", Part(3, 1))),
    Both(Refusal.LEG_UNKNOWN, Refusal.EXCEEDS_LEG,
         lambda scene: scene.here.reverse("x", "paid", Part(1, 8), Part(3, 1)),
         lambda scene: scene.here.reverse("x", "paid", Part(1, 8))),
    Both(Refusal.EXCEEDS_LEG, Refusal.INSUFFICIENT_FUNDS,
         lambda scene: scene.here.reverse("x", "fund", Part(1, 121)),
         lambda scene: scene.here.reverse("x", "fund", Part(1, 101))),
    Both(Refusal.PERIOD_SOFT_CLOSED, Refusal.ACCOUNT_UNKNOWN,
         _early(_posts(("ana", "nobody", 1)), SOFT), _posts(("ana", "nobody", 1))),
    Both(Refusal.PERIOD_SOFT_CLOSED, Refusal.ACCOUNT_EXISTS,
         _early(_opens("ana", "new"), SOFT), _opens("ana", "new")),
    Both(Refusal.ACCOUNT_EXISTS, Refusal.CURRENCY_UNKNOWN,
         _opens("ana", "new", "QQQ"), _opens("new", "new", "QQQ")),
    Both(Refusal.ACCOUNT_UNKNOWN, Refusal.CURRENCY_DIFFERS,
         _posts(("ana", "dollars", 1), ("ana", "nobody", 1)), _posts(("ana", "dollars", 1))),
    Both(Refusal.CURRENCY_DIFFERS, Refusal.RATE_DIFFERS,
         _posts(("ana", "euros", 5), ("ana", "dollars", 1), rate=ONE_TO_ONE),
         _posts(("ana", "euros", 5), rate=ONE_TO_ONE)),
    Both(Refusal.RATE_DIFFERS, Refusal.ACCOUNT_CLOSED,
         _posts(("ana", "closed", 5), ("dollars", "dollar wallet", 6), rate=ONE_TO_ONE),
         _posts(("ana", "closed", 5), ("dollars", "dollar wallet", 5), rate=ONE_TO_ONE)),
    Both(Refusal.ACCOUNT_CLOSED, Refusal.ACCOUNT_FROZEN,
         _posts(("frozen", "ben", 1), ("ana", "closed", 1)), _posts(("frozen", "ben", 1))),
    Both(Refusal.ACCOUNT_CLOSED, Refusal.ACCOUNT_NOT_FROZEN,
         lambda scene: scene.here.unfreeze("x", scene.acct("closed")),
         lambda scene: scene.here.unfreeze("x", scene.acct("ana"))),
    Both(Refusal.ACCOUNT_UNKNOWN, Refusal.ACCOUNT_NOT_EMPTY,
         _by_them(lambda scene: scene.here.close("x", scene.acct("ana"))),
         lambda scene: scene.here.close("x", scene.acct("ana"))),
    Both(Refusal.ACCOUNT_FROZEN, Refusal.NOTHING_AVAILABLE,
         _sweeps(("frozen", "ben", 1)), _sweeps(("ana", "ben", 1))),
    Both(Refusal.NOTHING_AVAILABLE, Refusal.OVERFLOW,
         _sweeps(("bank", "ana", MINOR_MAX)), _posts(("bank", "ana", MINOR_MAX))),
    Both(Refusal.OVERFLOW, Refusal.INSUFFICIENT_FUNDS,
         _posts(("ben", "ana", MINOR_MAX)), _posts(("ben", "full", MINOR_MAX))),
    Both(Refusal.INSUFFICIENT_FUNDS, Refusal.BALANCE_CAP,
         _posts(("bank", "capped", 51), ("ben", "ana", 1)), _posts(("bank", "capped", 51))),
]  # fmt: skip
NEVER_TOGETHER = {
    (Refusal.HOLD_EXPIRED, Refusal.HOLD_NOT_EXPIRED): "a hold has expired or it has not",
    (Refusal.HOLD_NOT_EXPIRED, Refusal.LEG_NOT_FROM_HOLD): "an expiry has no legs",
    (Refusal.EXCEEDS_HOLD, Refusal.TRANSFER_UNKNOWN): "a command is of a hold or of a transfer",
    (Refusal.EXCEEDS_LEG, Refusal.ACCOUNT_UNKNOWN): "the accounts of a transfer are never taken away",
    (Refusal.ACCOUNT_UNKNOWN, Refusal.ACCOUNT_EXISTS): "an opening asks for an account that is not there",
    (Refusal.CURRENCY_UNKNOWN, Refusal.CURRENCY_DIFFERS): "an opening has no legs",
    (Refusal.ACCOUNT_FROZEN, Refusal.ACCOUNT_NOT_FROZEN): "an account is frozen or it is not",
    (Refusal.ACCOUNT_NOT_FROZEN, Refusal.ACCOUNT_NOT_EMPTY): "a thawing does not ask what is on an account",
    (Refusal.ACCOUNT_NOT_EMPTY, Refusal.NOTHING_AVAILABLE): "a closing has no legs",
    (Refusal.BALANCE_CAP, Refusal.GROUP_REFUSED): "group_refused is said of the others in a group",
}


@pytest.mark.parametrize("both", BOTH, ids=lambda both: f"{both.first}-{both.second}")
def test_of_two_refusals_the_earlier_is_the_answer(scene: Scene, both: Both) -> None:
    scene.close_the_books()

    assert scene.ask(both.command(scene)) == [both.first]
    assert scene.ask(both.mended(scene)) == [both.second]


def test_an_increase_that_would_overflow_its_hold_is_not_called_short_of_funds(scene: Scene) -> None:
    """The limits are looked at last, those of a hold no later than those of an account."""
    here, full = scene.here, scene.acct("full")
    prepared = scene.ask(
        here.post("fill", scene.leg("abyss", "full", MINOR_MAX)),
        here.hold("large", full, amount_minor=MINOR_MAX - 5),
        here.release("nearly all", "large", amount_minor=MINOR_MAX - 6),
        here.hold("small", full, amount_minor=1),
        here.post("spend", scene.leg("full", "ben", MINOR_MAX)),
    )

    answers = scene.ask(
        here.increase("small more", "small", amount_minor=29), here.increase("more", "large", amount_minor=29)
    )

    assert prepared == ["applied"] * 5
    assert answers == [Refusal.INSUFFICIENT_FUNDS, Refusal.OVERFLOW]


def neighbours() -> Sequence[tuple[Refusal, Refusal]]:
    return list(pairwise(Refusal))


def test_every_two_neighbours_are_tried_together_or_can_never_meet() -> None:
    tried = {(both.first, both.second) for both in BOTH}
    order = list(Refusal)

    assert tried | NEVER_TOGETHER.keys() >= set(neighbours())
    assert tried.isdisjoint(NEVER_TOGETHER)
    assert all(order.index(first) < order.index(second) for first, second in tried)


def test_an_id_is_looked_at_before_everything_else(scene: Scene) -> None:
    scene.ask(scene.here.post("x", scene.leg("line", "ben", 1)))
    scene.close_the_books()

    assert {answer for both in BOTH[1:] for answer in scene.ask(both.command(scene))} == {Refusal.ID_REUSED}
