"""What an adapter declares of its bank, and what makes a declaration unusable.

`faults_in` is asked when an adapter is loaded: a bank whose manifest is at odds with itself is not used at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from partners.contract.rails import Rail, RailFacts

CONTRACT: Final = 2  # the version of the contract that this host speaks

# How a bank wants requests signed: the body by RSA, an HTTP message signature (RFC 9421), or a detached JWS.
SignatureScheme: TypeAlias = Literal["body_rsa_sha256", "http_message", "detached_jws"]

_NAME = re.compile(r"\A[a-z][a-z0-9_]{1,31}\Z")
_CURRENCY = re.compile(r"\A[A-Z]{3}\Z")
_COUNTRY = re.compile(r"\A[A-Z]{2}\Z")
ORDER_ID_LENGTH: Final = 36  # of a payout's id, which is the request id of its order


class Operation(StrEnum):
    """What a bank may offer beyond sending payments; each has a protocol of its own in `capabilities`."""

    VERIFY_PAYEE = "verify_payee"
    RECALL = "recall"
    ANSWER_RECALL = "answer_recall"
    RETURN = "return"
    VIRTUAL_IBAN = "virtual_iban"
    BATCH = "batch"
    FILES = "files"


class OnDuplicate(StrEnum):
    """What a bank answers to a request id that it has had before."""

    CONFLICT = "conflict"  # it says that it has it, and not what became of it
    REPLAY = "replay"  # the first answer again
    IGNORED = "ignored"  # it takes the order again: nothing but our own attempts keeps it from paying twice


class NoticeAnswer(StrEnum):
    """What a bank waits for when it has told us something."""

    SIGNED = "signed"  # a body with our signature
    PLAIN = "plain"  # any success
    NONE = "none"  # it left a file, and waits for nothing


@dataclass(frozen=True, slots=True)
class RequestIds:
    """How a bank recognises a request that is sent again."""

    length_max: int
    window: timedelta
    on_duplicate: OnDuplicate


@dataclass(frozen=True, slots=True)
class Notices:
    """How a bank tells us things. `ordered`: never later news before earlier news of the same payment."""

    answer: NoticeAnswer
    deadline: timedelta
    ordered: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a bank lets us ask: requests in a second, and how many at once."""

    per_second: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Magic:
    """A remittance that makes the bank's own sandbox behave in a certain way."""

    rail: Rail
    remittance: str
    behaviour: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the host must know about a bank before it may use it."""

    adapter: str
    version: str
    contract: int
    operations: frozenset[Operation]
    rails: tuple[RailFacts, ...]
    request_ids: RequestIds
    stable_references: frozenset[str]  # which of the bank's ids never change over a payment's life
    notices: Notices
    statement_span_max: timedelta
    signature_scheme: SignatureScheme
    character_set: Literal["sepa"]
    rate: Rate
    sandbox_magic: tuple[Magic, ...]

    def rail(self, rail: Rail) -> RailFacts:
        """The facts of one rail. Raises: KeyError when this bank does not offer it."""
        for facts in self.rails:
            if facts.rail is rail:
                return facts
        raise KeyError(rail)


def faults_in(manifest: Manifest) -> tuple[str, ...]:
    """Everything that makes a manifest unusable, each as a sentence; none for one that can be used."""
    of_rails = (fault for facts in manifest.rails for fault in _faults_in_rail(facts))
    return (*_faults_in_head(manifest), *of_rails)


def _faults_in_head(manifest: Manifest) -> Iterator[str]:
    ids, rails = manifest.request_ids, [facts.rail for facts in manifest.rails]
    takes_batches = any(facts.batch_max > 1 for facts in manifest.rails)
    yield from _unmet(
        ("adapter: 2 to 32 small letters, digits and underscores", _NAME.match(manifest.adapter) is not None),
        (f"contract: this host speaks version {CONTRACT}", manifest.contract == CONTRACT),
        ("signature_scheme: nobody here signs so", manifest.signature_scheme in get_args(SignatureScheme)),
        ("rails: a bank without a rail sends nothing", rails != []),
        ("rails: each rail once", len(set(rails)) == len(rails)),
        ("rails: batch_max is above 1 if batches are offered", takes_batches == _offers_batches(manifest)),
        (f"request_ids: an order's id has {ORDER_ID_LENGTH} characters", ids.length_max >= ORDER_ID_LENGTH),
        ("request_ids: a window is longer than nothing", ids.window > timedelta(0)),
        ("statement_span_max: at least an hour", manifest.statement_span_max >= timedelta(hours=1)),
        ("rate: at least one request a second, one at once", min(_numbers(manifest.rate)) >= 1),
        ("sandbox_magic: on rails of this bank", {item.rail for item in manifest.sandbox_magic} <= {*rails}),
    )


def _faults_in_rail(facts: RailFacts) -> Iterator[str]:
    at, most = f"rails.{facts.rail}", facts.amount_max_minor
    least_number = min(facts.name_max, facts.remittance_max, facts.batch_max)
    yield from _unmet(
        (f"{at}.currencies: ISO 4217 codes, at least one", _are_codes(facts.currencies, _CURRENCY)),
        (
            f"{at}.countries: ISO 3166 codes of two letters, at least one",
            _are_codes(facts.countries, _COUNTRY),
        ),
        (f"{at}.amount_min_minor: at least 1", facts.amount_min_minor >= 1),
        (f"{at}.amount_max_minor: not below the least", most is None or most >= facts.amount_min_minor),
        (f"{at}.hours.zone: a time zone", facts.hours is None or _is_zone(facts.hours.zone)),
        (
            f"{at}.hours: it opens before it closes",
            facts.hours is None or facts.hours.opens < facts.hours.closes,
        ),
        (f"{at}.settles_within: longer than nothing", facts.settles_within > timedelta(0)),
        (f"{at}.return_window: not below nothing", facts.return_window >= timedelta(0)),
        (
            f"{at}.poll_schedule: at least one time, each later than the last",
            _is_schedule(facts.poll_schedule),
        ),
        (f"{at}.name_max, remittance_max, batch_max: at least 1", least_number >= 1),
    )


def _unmet(*rules: tuple[str, bool]) -> Iterator[str]:
    return (rule for rule, is_met in rules if not is_met)


def _offers_batches(manifest: Manifest) -> bool:
    return Operation.BATCH in manifest.operations


def _numbers(rate: Rate) -> tuple[int, int]:
    return rate.per_second, rate.at_once


def _are_codes(codes: frozenset[str], pattern: re.Pattern[str]) -> bool:
    return bool(codes) and all(map(pattern.match, codes))


def _is_zone(name: str) -> bool:
    try:
        return ZoneInfo(name).key == name
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _is_schedule(times: tuple[timedelta, ...]) -> bool:
    return bool(times) and times[0] > timedelta(0) and all(one < next_ for one, next_ in pairwise(times))
