"""Loading sanctions lists into a real database: what comes into force, and what changes nothing."""

from datetime import timedelta

import pytest

from compliance.facts import ListHead
from compliance.sanctions_list import Entry
from compliance.store import Loaded, listed_names, lists_in_force, load_list
from ledger.core.errors import InvalidValue
from ledger.core.ids import ProgrammeId
from ledger.store.tx import Tx
from tests.compliance.given import NOW
from tests.conftest import OpenTx, make_programme

ZUBAROV, ORLOV = ("EU.1", "ZUBAROV, Viktor A."), ("EU.2", "Orlov Trading LLC")


def load(
    tx: Tx, programme_id: ProgrammeId, *entries: Entry, name: str = "eu", basis: str = "eu_tfs"
) -> Loaded:
    return load_list(tx, programme_id, name=name, legal_basis=basis, entries=entries)


def in_force(tx: Tx, programme_id: ProgrammeId) -> ListHead:
    (head,) = lists_in_force(tx, [programme_id])
    return head


def test_a_loaded_list_is_in_force_with_its_names(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        loaded = load(tx, programme_id, ORLOV, ZUBAROV, ORLOV)

    assert (loaded.names, loaded.duplicates, loaded.is_new) == (2, 1, True)
    with open_tx() as tx:
        head = in_force(tx, programme_id)
        assert (head.id, head.name, head.legal_basis) == (loaded.list_id, "eu", "eu_tfs")
        assert listed_names(tx, [head.id]) == {head.id: [ZUBAROV, ORLOV]}


def test_the_list_in_force_once_more_changes_nothing(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        first = load(tx, programme_id, ZUBAROV, ORLOV)
    with open_tx(now=NOW + timedelta(days=1)) as tx:
        second = load(tx, programme_id, ORLOV, ZUBAROV, ORLOV)

    assert (second.list_id, second.names, second.duplicates, second.is_new) == (first.list_id, 2, 1, False)


def test_a_changed_list_replaces_the_one_in_force(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        load(tx, programme_id, ORLOV)
        changed = load(tx, programme_id, ORLOV, ZUBAROV)
        assert in_force(tx, programme_id).id == changed.list_id


def test_a_list_that_goes_back_to_older_names_comes_into_force(
    open_tx: OpenTx, programme_id: ProgrammeId
) -> None:
    with open_tx() as tx:
        first = load(tx, programme_id, ZUBAROV, ORLOV)
        load(tx, programme_id, ORLOV)
        again = load(tx, programme_id, ZUBAROV, ORLOV)

        assert again.is_new
        assert again.list_id != first.list_id
        assert in_force(tx, programme_id).id == again.list_id
        assert not load(tx, programme_id, ZUBAROV, ORLOV).is_new


def test_a_clock_that_went_back_does_not_revive_an_old_list(
    open_tx: OpenTx, programme_id: ProgrammeId
) -> None:
    with open_tx() as tx:
        load(tx, programme_id, ORLOV)
    with open_tx(now=NOW - timedelta(days=1)) as tx:
        newer = load(tx, programme_id, ZUBAROV)
        assert in_force(tx, programme_id).id == newer.list_id


def test_another_legal_basis_is_another_list(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        load(tx, programme_id, ZUBAROV, basis="eu_tfs")

        assert load(tx, programme_id, ZUBAROV, basis="un").is_new
        assert in_force(tx, programme_id).legal_basis == "un"


def test_an_empty_list_is_refused(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx, pytest.raises(InvalidValue) as refused:
        load(tx, programme_id)

    assert refused.value.field == "list"


def test_each_programme_has_its_own_lists_and_each_name_its_newest(
    open_tx: OpenTx, programme_id: ProgrammeId
) -> None:
    with open_tx() as tx:
        other = make_programme(tx, "pay-uk")
        load(tx, programme_id, ZUBAROV, name="eu")
        load(tx, programme_id, ORLOV, name="un", basis="un")
        load(tx, other, ORLOV, name="eu")

        heads = lists_in_force(tx, [programme_id, other])

    assert [(head.programme_id, head.name) for head in heads] == [
        *sorted([(programme_id, "eu"), (programme_id, "un"), (other, "eu")])
    ]
