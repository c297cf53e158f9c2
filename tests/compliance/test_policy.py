"""The policy file: dated, complete, and refused whole when one number in it is off."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from compliance.policy import POLICY_FILE, load_policies
from ledger.core.errors import InvalidValue
from ledger.core.orders import OrderKind
from tests.compliance.given import policies

Write = Callable[[str], Path]
TEXT = POLICY_FILE.read_text("utf-8")
BLOCK = TEXT[TEXT.index("[[policy]]") :]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_the_shipped_policy_holds_the_numbers_of_the_law() -> None:
    policy = policies().policy_at(date(2026, 11, 16))

    assert policy.sca_above_minor == {"EUR": 3_000}
    assert policy.authentication_failures_max == 5
    assert policy.authentication_minutes == 5
    assert policy.transaction_limit_minor[OrderKind.CHECKOUT] == {"EUR": 1_000_000}
    assert policy.transaction_limit_minor[OrderKind.SWEEP] == {"EUR": 100_000_000}
    assert policy.transaction_limit_minor[OrderKind.TRANSFER]["EUR"] == 10_000_000


def test_a_version_is_valid_from_its_own_day(written: Write) -> None:
    later = BLOCK.replace("2026-01-01", "2026-07-01").replace('"2026-01"', '"2026-07"')
    dated = load_policies(written(later + BLOCK))

    assert dated.policy_at(date(2026, 6, 30)).version == "2026-01"
    assert dated.policy_at(date(2026, 7, 1)).version == "2026-07"
    assert dated.policy_now(datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)).version == "2026-01"


def test_no_policy_is_valid_before_the_first() -> None:
    with pytest.raises(InvalidValue) as refused:
        policies().policy_at(date(2025, 12, 31))

    assert refused.value.field == "policy"


@pytest.mark.parametrize(
    ("good", "bad", "field"),
    [
        ("EUR = 3_000", "EUR = -1", "sca_above_minor"),
        ("EUR = 3_000", "EUR = 30.0", "sca_above_minor"),
        ("EUR = 3_000", "EUR = true", "sca_above_minor"),
        ("EUR = 3_000", "eur = 3_000", "sca_above_minor"),
        ("sweep = { EUR = 100_000_000 }", "", "transaction_limit_minor"),
        ("sweep = {", "swoop = {", "transaction_limit_minor"),
        ("own_units =", "own_coins =", "transfer"),
        ("own_units =", "COINS =", "transfer"),
        ("own_units = 1_000_000_000", "own_units = -1", "transfer"),
        ("= 0.88", "= 0.0", "name_alert_score"),
        ("= 0.88", "= 1.01", "name_alert_score"),
        ("= 0.88", "= nan", "name_alert_score"),
        ("failures_max = 5", "failures_max = 6", "authentication_failures_max"),
        ("failures_max = 5", "failures_max = 0", "authentication_failures_max"),
        ("minutes = 5", "minutes = 6", "authentication_minutes"),
        ("= 2026-01-01", "= 2026-01-01T00:00:00Z", "valid_from"),
        ('version = "2026-01"', 'version = ""', "version"),
        ('version = "2026-01"', "", "policy"),
        ('version = "2026-01"', 'version = "2026-01"\nspare = 1', "policy"),
        ("[[policy]]", "[[policies]]", "policy"),
        ("[[policy]]", "[[policy", "policy"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(written: Write, good: str, bad: str, field: str) -> None:
    assert good in BLOCK

    with pytest.raises(InvalidValue) as refused:
        load_policies(written(BLOCK.replace(good, bad)))

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [(("2026-01-01", "2026-07-01"), "version"), (('"2026-01"', '"2026-07"'), "valid_from")],
)
def test_versions_and_days_do_not_repeat(written: Write, change: tuple[str, str], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        load_policies(written(BLOCK + BLOCK.replace(*change)))

    assert refused.value.field == field
