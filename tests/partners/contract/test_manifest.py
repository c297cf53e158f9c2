"""A manifest that is at odds with itself is named fault by fault, before a bank is used."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from partners.clearbank.manifest import MANIFEST
from partners.contract import (
    AfterHours,
    Hours,
    Magic,
    Manifest,
    Operation,
    Rail,
    RailFacts,
    Rate,
    RequestIds,
    faults_in,
)

SCT = MANIFEST.rail(Rail.SCT)
IDS = MANIFEST.request_ids
NIGHT = Hours("Europe/Amsterdam", time(16), time(7), business_days_only=True, after_hours=AfterHours.QUEUED)


def with_rail(facts: RailFacts) -> Manifest:
    return replace(MANIFEST, rails=(facts,), sandbox_magic=())


def test_what_our_own_banks_declare_is_sound() -> None:
    assert faults_in(MANIFEST) == ()


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        (replace(MANIFEST, adapter="Clear Bank"), "adapter"),
        (replace(MANIFEST, contract=1), "contract"),
        (replace(MANIFEST, signature_scheme="hmac"), "signature_scheme"),  # type: ignore[arg-type]  # what is tried
        (replace(MANIFEST, rails=(), sandbox_magic=()), "rails"),
        (replace(MANIFEST, rails=(SCT, SCT), sandbox_magic=()), "rails"),
        (replace(MANIFEST, request_ids=RequestIds(35, IDS.window, IDS.on_duplicate)), "request_ids"),
        (replace(MANIFEST, request_ids=RequestIds(83, timedelta(0), IDS.on_duplicate)), "request_ids"),
        (replace(MANIFEST, statement_span_max=timedelta(minutes=1)), "statement_span_max"),
        (replace(MANIFEST, rate=Rate(per_second=0, at_once=1)), "rate"),
        (replace(MANIFEST, rate=Rate(per_second=1, at_once=0)), "rate"),
        (with_rail(replace(SCT, batch_max=2)), "batch_max"),
        (replace(MANIFEST, operations=MANIFEST.operations | {Operation.BATCH}), "batch_max"),
        (
            replace(with_rail(SCT), sandbox_magic=(Magic(Rail.SCT_INST, "--X--", "does something"),)),
            "sandbox_magic",
        ),
        (with_rail(replace(SCT, currencies=frozenset())), "currencies"),
        (with_rail(replace(SCT, currencies=frozenset({"eur"}))), "currencies"),
        (with_rail(replace(SCT, countries=frozenset({"NLD"}))), "countries"),
        (with_rail(replace(SCT, amount_min_minor=0)), "amount_min_minor"),
        (with_rail(replace(SCT, amount_min_minor=2, amount_max_minor=1)), "amount_max_minor"),
        (with_rail(replace(SCT, hours=NIGHT)), "hours"),
        (with_rail(replace(SCT, hours=replace(NIGHT, zone="Mars/Base"))), "zone"),
        (with_rail(replace(SCT, hours=replace(NIGHT, zone="../etc/passwd"))), "zone"),
        (with_rail(replace(SCT, settles_within=timedelta(0))), "longer than nothing"),
        (with_rail(replace(SCT, return_window=timedelta(days=-1))), "return_window"),
        (with_rail(replace(SCT, poll_schedule=())), "poll_schedule"),
        (with_rail(replace(SCT, poll_schedule=(timedelta(2), timedelta(1)))), "poll_schedule"),
        (with_rail(replace(SCT, name_max=0)), "name_max"),
    ],
)
def test_fault_is_named(manifest: Manifest, names: str) -> None:
    assert any(names in fault for fault in faults_in(manifest)), faults_in(manifest)


def test_every_fault_is_named_not_only_the_first() -> None:
    broken = replace(MANIFEST, adapter="", contract=0, rate=Rate(per_second=0, at_once=0))

    assert [fault.split(":")[0] for fault in faults_in(broken)] == ["adapter", "contract", "rate"]
