"""How long the enclave waits for its database, added up: over a round, and over a long time."""

import threading
from contextlib import suppress

import pytest

from enclave.patience import QUICK_S, ROUND_S, Patience

SHORT_S = 0.02


def waited(patience: Patience, length_s: float) -> None:
    """Waits for something that does not come."""
    with patience.waiting():
        threading.Event().wait(length_s)


def test_what_is_left_is_less_what_the_round_has_waited() -> None:
    patience = Patience()

    waited(patience, 3 * SHORT_S)

    assert ROUND_S - 6 * SHORT_S < patience.left_s <= ROUND_S - 3 * SHORT_S
    patience.begin_round()
    assert patience.left_s == ROUND_S


def test_rounds_that_wait_for_long_leave_less_to_the_next() -> None:
    patience = Patience()

    waited(patience, QUICK_S)
    patience.begin_round()

    assert patience.left_s == pytest.approx(ROUND_S - QUICK_S, abs=0.1)


def test_quick_rounds_never_use_it_up() -> None:
    patience = Patience()

    for _ in range(20):
        patience.begin_round()
        waited(patience, SHORT_S)

    patience.begin_round()
    assert patience.left_s == ROUND_S


def test_spent_it_is_gone_for_this_round_and_the_next_and_comes_back_whole() -> None:
    patience = Patience(whole_s=2 * SHORT_S, quick_s=SHORT_S)
    waited(patience, 2 * SHORT_S)
    assert patience.left_s == 0.0
    patience.begin_round()
    assert patience.left_s == 0.0

    # Ten times as long as was waited for.
    threading.Event().wait(30 * SHORT_S)

    patience.begin_round()
    assert patience.left_s == pytest.approx(2 * SHORT_S)


def test_a_wait_that_fails_has_been_one_as_well() -> None:
    patience = Patience()

    with suppress(ZeroDivisionError), patience.waiting():
        threading.Event().wait(SHORT_S)
        raise ZeroDivisionError

    assert patience.left_s <= ROUND_S - SHORT_S
