"""The canonical bytes of a fact: put together by hand for speed, and the same as the rule for all canonical text."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.canonical import Canonical, canonical_text
from ledger.core.facts import FACT_FORMAT, EntryFact, TransferFact, canonical_fact, instant_text

texts = st.text(max_size=20)
optional_texts = st.none() | texts
instants = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]),
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9000, 1, 1),  # noqa: DTZ001 - the same
)
amounts = st.integers(-(2**63), 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=4)
transfer_facts = st.builds(
    TransferFact,
    id=texts,
    programme_id=texts,
    kind=texts,
    reference=texts,
    hold_id=optional_texts,
    reverses_id=optional_texts,
    clearance_id=optional_texts,
    notice_id=optional_texts,
    effective_at=instants,
    recorded_at=instants,
    asked=objects,
    metadata=objects,
)
entry_facts = st.builds(
    EntryFact, texts, amounts, texts, amounts, texts, amounts, amounts, amounts, amounts, instants, instants
)


def _by_the_rule(transfer: TransferFact, entries: list[EntryFact]) -> str:
    """The canonical text of the fact as one value."""
    members: dict[str, Canonical] = {
        "format": FACT_FORMAT,
        "transfer": _plain(asdict(transfer)),
        "entries": [_plain(entry._asdict()) for entry in sorted(entries)],
    }
    return canonical_text(members)


def _plain(members: dict[str, object]) -> dict[str, Canonical]:
    return {
        name: instant_text(value) if isinstance(value, datetime) else value  # type: ignore[misc]  # drawn canonical
        for name, value in members.items()
    }


@given(transfer_facts, st.lists(entry_facts, max_size=4))
def test_the_bytes_of_a_fact_are_its_canonical_text(transfer: TransferFact, entries: list[EntryFact]) -> None:
    assert canonical_fact(transfer, entries) == _by_the_rule(transfer, entries).encode("ascii")


@given(transfer_facts, st.lists(entry_facts, min_size=2, max_size=4))
def test_the_order_in_which_entries_come_does_not_matter(
    transfer: TransferFact, entries: list[EntryFact]
) -> None:
    assert canonical_fact(transfer, entries) == canonical_fact(transfer, entries[::-1])


@given(transfer_facts, st.sampled_from(["asked", "metadata"]), st.floats())
def test_what_has_no_canonical_form_is_no_part_of_a_fact(
    transfer: TransferFact, member: str, value: float
) -> None:
    broken = replace(transfer, **{member: {"x": [value]}})  # type: ignore[arg-type]  # that is the point

    with pytest.raises(TypeError, match="has no canonical form"):
        canonical_fact(broken, [])


def test_the_bytes_of_a_fact_are_these() -> None:
    at = datetime(2026, 11, 16, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    transfer = TransferFact(
        id="xfr_1",
        programme_id="prg_1",
        kind="hold",
        reference='a "cart"',
        hold_id=None,
        reverses_id=None,
        clearance_id="clr_1",
        notice_id=None,
        effective_at=at,
        recorded_at=at + timedelta(microseconds=1),
        asked={"expires_at": "2026-11-23T09:00:00+00:00"},
        metadata={},
    )
    entry = EntryFact("acct_1", 2, "xfr_1", 0, "hold", 60, 0, 100, 60, at, at)

    assert canonical_fact(transfer, [entry]).decode() == (
        '{"entries":[{"account_id":"acct_1","amount_minor":60,"credits_after_minor":100,"debits_after_minor":0,'
        '"effective_at":"2026-11-16T09:00:00.000000Z","held_after_minor":60,"leg":0,"movement":"hold",'
        '"recorded_at":"2026-11-16T09:00:00.000000Z","transfer_id":"xfr_1","version":2}],'
        '"format":"tallystick-fact-v2","transfer":{"asked":{"expires_at":"2026-11-23T09:00:00+00:00"},'
        '"clearance_id":"clr_1","effective_at":"2026-11-16T09:00:00.000000Z","hold_id":null,"id":"xfr_1",'
        '"kind":"hold","metadata":{},"notice_id":null,"programme_id":"prg_1",'
        '"recorded_at":"2026-11-16T09:00:00.000001Z","reference":"a \\"cart\\"","reverses_id":null}}'
    )


def test_an_instant_that_does_not_say_its_zone_is_none() -> None:
    with pytest.raises(ValueError, match="time zone"):
        instant_text(datetime(2026, 11, 16))  # noqa: DTZ001 - that is the point
