"""A dialect that no bank could have is refused when it is made."""

from typing import Any

import pytest

from partners.messages.dialects import SEPA_OF_2009, Dialect, Edition


@pytest.mark.parametrize(
    "impossible",
    [
        {"edition": Edition.OF_2009},
        {"edition": Edition.OF_2009, "execution_times": False},
        {"edition": Edition.OF_2009, "uetr": False},
        {"payments_max": 0},
        {"payments_max": 1_000_001},
    ],
)
def test_an_impossible_profile_is_refused(impossible: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="odd"):
        Dialect(name="odd", **impossible)


def test_the_edition_of_2009_has_neither_uetr_nor_times() -> None:
    assert not SEPA_OF_2009.uetr
    assert not SEPA_OF_2009.execution_times
