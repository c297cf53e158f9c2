"""Dated policy: the numbers that the rules decide by, each version valid from its own day.

Reads one file when told to and nothing else; may not decide about any order. Every number is checked when the
file is loaded, so that a slip in it stops the start and never lets an order through. Days are UTC days.

Source: RTS (EU) 2018/389 articles 4 and 16 for the bounds on authentication; EPC218-23 for what is said of payees.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import cast

from ledger.core.errors import InvalidValue
from ledger.core.orders import OrderKind
from ledger.core.payee import PayeeMatch

POLICY_FILE = Path(__file__).with_name("policy.toml")
LIMITED_KINDS = tuple(kind for kind in OrderKind if kind is not OrderKind.ONBOARD)
OWN_UNITS = "own_units"
"""Stands in a table of amounts for whatever a programme counts in besides currencies: coins, points."""
AUTHENTICATION_MINUTES_MAX = 5
AUTHENTICATION_FAILURES_MAX = 5

_CURRENCY = re.compile(r"\A[A-Z]{3}\Z")
_KEYS = {
    "version",
    "valid_from",
    "sca_above_minor",
    "transaction_limit_minor",
    "name_alert_score",
    "authentication_minutes",
    "authentication_failures_max",
    "payee_checks_that_hold",
}

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of the policy. Units: minor units by currency; minutes."""

    version: str
    valid_from: date
    sca_above_minor: Mapping[str, int]
    transaction_limit_minor: Mapping[OrderKind, Mapping[str, int]]
    name_alert_score: float
    authentication_minutes: int
    authentication_failures_max: int
    payee_checks_that_hold: frozenset[PayeeMatch]


@dataclass(frozen=True, slots=True)
class Policies:
    """All versions, the earliest first."""

    versions: tuple[Policy, ...]

    def policy_at(self, day: date) -> Policy:
        """The policy that is valid on a day. Raises: InvalidValue before the first version's day."""
        for policy in reversed(self.versions):
            if policy.valid_from <= day:
                return policy
        raise InvalidValue(f"No policy is valid on {day.isoformat()}.", field="policy")

    def policy_now(self, now: datetime) -> Policy:
        """The policy that is valid at an instant, by its UTC day. Raises: as `policy_at`."""
        return self.policy_at(now.astimezone(UTC).date())


def limit_for(policy: Policy, kind: OrderKind, currency: str) -> int | None:
    """The most that one order of a kind may move in a currency, or in a unit of the programme's own.

    None: the policy says nothing about it. Units: minor units.
    """
    limits = policy.transaction_limit_minor[kind]
    return limits.get(currency if _CURRENCY.match(currency) else OWN_UNITS)


def load_policies(path: Path) -> Policies:
    """All versions of the policy from a TOML file.

    Raises: OSError when the file cannot be read; InvalidValue, naming the field, when it is not TOML, when a
    version lacks a number, has one too many or one out of its range, or when two versions start on one day.
    """
    try:
        document: Table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"The policy file is not TOML: {error}", field="policy") from error
    blocks = document.get("policy")
    if set(document) != {"policy"} or not isinstance(blocks, list) or not blocks:
        raise InvalidValue("The policy file holds [[policy]] blocks and nothing else.", field="policy")
    versions = sorted((_policy(_table({"policy": block}, "policy")) for block in blocks), key=_starts)
    _refuse_repeats(versions)
    return Policies(tuple(versions))


def _starts(policy: Policy) -> date:
    return policy.valid_from


def _refuse_repeats(versions: list[Policy]) -> None:
    if len({policy.version for policy in versions}) < len(versions):
        raise InvalidValue("Two policies have the same version.", field="version")
    if len({policy.valid_from for policy in versions}) < len(versions):
        raise InvalidValue("Two policies start on the same day.", field="valid_from")


def _policy(block: Table) -> Policy:
    if set(block) != _KEYS:
        odd = ", ".join(sorted(set(block) ^ _KEYS))
        raise InvalidValue(f"A policy has exactly its own keys; missing or unknown: {odd}.", field="policy")
    return Policy(
        version=_version(block),
        valid_from=_day(block),
        sca_above_minor=_amounts(block, "sca_above_minor"),
        transaction_limit_minor=_limits(_table(block, "transaction_limit_minor")),
        name_alert_score=_score(block),
        authentication_minutes=_count(block, "authentication_minutes", AUTHENTICATION_MINUTES_MAX),
        authentication_failures_max=_count(block, "authentication_failures_max", AUTHENTICATION_FAILURES_MAX),
        payee_checks_that_hold=_matches(block),
    )


def _version(block: Table) -> str:
    version = block["version"]
    if not isinstance(version, str) or not version:
        raise InvalidValue("A policy's version is a text.", field="version")
    return version


def _day(block: Table) -> date:
    day = block["valid_from"]
    # A datetime is a date to Python, and would not compare with one.
    if not isinstance(day, date) or isinstance(day, datetime):
        raise InvalidValue("A policy is valid from a day.", field="valid_from")
    return day


def _score(block: Table) -> float:
    score = block["name_alert_score"]
    if not isinstance(score, float) or not 0 < score <= 1:
        raise InvalidValue("The score of an alert lies above 0 and not above 1.", field="name_alert_score")
    return score


def _count(block: Table, field: str, maximum: int) -> int:
    count = block[field]
    if type(count) is not int or not 1 <= count <= maximum:
        raise InvalidValue(f"{field} is a whole number from 1 to {maximum}.", field=field)
    return count


def _matches(block: Table) -> frozenset[PayeeMatch]:
    field = "payee_checks_that_hold"
    named = block[field]
    if not isinstance(named, list) or not set(named) <= {
        PayeeMatch.CLOSE_MATCH,
        PayeeMatch.NO_MATCH,
        PayeeMatch.NOT_POSSIBLE,
    }:
        raise InvalidValue(f"{field} lists answers of the scheme other than a match.", field=field)
    return frozenset(map(PayeeMatch, named))


def _limits(table: Table) -> Mapping[OrderKind, Mapping[str, int]]:
    if set(table) != {kind.value for kind in LIMITED_KINDS}:
        raise InvalidValue(
            "Every kind of order that moves money has a limit.", field="transaction_limit_minor"
        )
    return MappingProxyType({kind: _amounts(table, kind.value) for kind in LIMITED_KINDS})


def _amounts(block: Table, field: str) -> Mapping[str, int]:
    amounts: dict[str, int] = {}
    for currency, amount_minor in _table(block, field).items():
        if currency != OWN_UNITS and not _CURRENCY.match(currency):
            raise InvalidValue(f"{currency!r} is not a currency code.", field=field)
        if type(amount_minor) is not int or amount_minor < 0:
            raise InvalidValue("A limit is a whole number of minor units.", field=field)
        amounts[currency] = amount_minor
    return MappingProxyType(amounts)


def _table(block: Table, field: str) -> Table:
    table = block[field]
    if not isinstance(table, dict):
        raise InvalidValue(f"{field} is a table.", field=field)
    return cast("Table", table)  # TOML has no other keys than text
