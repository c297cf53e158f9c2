"""Sealing by the worker's own job: the enclave signs what the database has, and nothing that was spoilt on the way."""

import secrets
from dataclasses import dataclass

import pytest

from api.embedded import EmbeddedPostgres
from api.jobs import Jobs, NotYet, origin
from enclave.allowance import LEAVES_MAX
from enclave.client import EnclaveRefused
from enclave.notes import Checkpoint, verify_checkpoint
from ledger.core.ids import ProgrammeId
from ledger.core.merkle import EMPTY_ROOT
from ledger.evidence.log import TreeHead, append_leaves
from ledger.store.evidence import latest_checkpoint, log_size
from ledger.store.programmes import Programme, all_programmes, read_programmes
from tests.api.installation import Installation
from tests.api.world import Shop, open_shop
from tests.conftest import Database
from tests.enclave.logs import make_log
from tests.ledger.sealed import rewrite


@dataclass(frozen=True, slots=True)
class Sealer:
    """A programme, and whoever seals its log."""

    shop: Shop
    programme: Programme

    @property
    def origin(self) -> str:
        return origin(self.programme.name)

    def append(self) -> TreeHead:
        """As far as a worker comes that ends before it has its head signed."""
        with self.shop.at.parts.transactions() as tx:
            return append_leaves(tx, self.programme.id)

    def sign(self, size: int, root: bytes) -> str | None:
        """What the enclave says to somebody who asks for a checkpoint; None: it is signed."""
        try:
            self.shop.at.parts.enclave.checkpoint(origin=self.origin, size=size, root=root)
        except EnclaveRefused as refused:
            return refused.code
        return None

    def seal(self) -> Checkpoint:
        """The whole job; what it has kept is what was signed."""
        head, note = Jobs(self.shop.at.parts).seal(self.programme)
        pem = self.shop.at.parts.enclave.public_keys()["checkpoint"].pem
        signed = verify_checkpoint(note, origin=self.origin, public_key_pem=pem)
        with self.shop.at.parts.transactions() as tx:
            kept = latest_checkpoint(tx, self.programme.id)
            assert log_size(tx, self.programme.id) == head.size
        assert kept is not None
        assert (signed.size, signed.root) == (head.size, head.root) == (kept.size, kept.root)
        return signed

    def latest_is_sealed(self) -> bool:
        """Whether the whole log is under a kept checkpoint."""
        with self.shop.at.parts.transactions() as tx:
            kept = latest_checkpoint(tx, self.programme.id)
            return kept is not None and kept.size == log_size(tx, self.programme.id)


def sealer_of(shop: Shop) -> Sealer:
    with shop.at.parts.transactions() as tx:
        (programme,) = read_programmes(tx, [ProgrammeId(shop.programme_id)]).values()
    return Sealer(shop, programme)


@pytest.fixture
def sealer(shop: Shop) -> Sealer:
    """A log with one checkpoint, and transfers that are not under it."""
    made = sealer_of(shop)
    made.seal()
    shop.fund(1_000)
    return made


@pytest.fixture
def database(installation: Installation, postgres: EmbeddedPostgres) -> Database:
    """The installation's."""
    name = str(installation.owner.url.database)
    return Database(postgres, name, installation.owner, installation.owner)


def spoil(database: Database, sealer: Sealer, position: int) -> None:
    """Changes a leaf, or changes it back, as a superuser can."""
    rewrite(
        database,
        "UPDATE log_leaves SET leaf_hash = set_byte(leaf_hash, 0, 255 - get_byte(leaf_hash, 0))"
        f" WHERE position = {position} AND programme_id ="
        f" (SELECT id FROM programmes WHERE name = '{sealer.programme.name}')",
    )


def test_a_worker_that_ends_between_signing_and_keeping_is_followed_by_one_that_keeps(sealer: Sealer) -> None:
    head = sealer.append()
    assert sealer.sign(head.size, head.root) is None
    sealer.shop.fund(2_000)

    assert sealer.seal().size > head.size

    with sealer.shop.at.parts.transactions() as tx:
        before = latest_checkpoint(tx, sealer.programme.id, below=head.size + 1)
    assert before is not None
    assert (before.size, before.root) == (head.size, head.root)


@pytest.mark.parametrize("size", ["one more", "the largest"])
def test_a_head_larger_than_the_log_is_refused_and_the_true_one_is_signed_after_it(
    sealer: Sealer, size: str
) -> None:
    head = sealer.append()

    assert sealer.sign(head.size + 1 if size == "one more" else 2**63 - 1, head.root) == (
        "checkpoint_beyond_log"
    )

    assert sealer.seal().size == head.size


def test_a_root_of_other_leaves_is_refused_and_the_true_one_is_signed_after_it(sealer: Sealer) -> None:
    head = sealer.append()

    assert sealer.sign(head.size, EMPTY_ROOT) == "checkpoint_forks"
    assert sealer.sign(head.size - 1, head.root) == "checkpoint_forks"

    assert sealer.seal().root == head.root


def test_a_log_that_no_programme_has_is_refused(sealer: Sealer) -> None:
    with pytest.raises(EnclaveRefused) as refused:
        sealer.shop.at.parts.enclave.checkpoint(origin="tallystick.dev/nobody", size=0, root=EMPTY_ROOT)
    assert refused.value.code == "checkpoint_beyond_log"


def test_a_leaf_that_was_changed_before_its_head_was_signed_is_not_sealed(
    sealer: Sealer, database: Database
) -> None:
    head = sealer.append()
    spoil(database, sealer, head.size - 1)

    assert sealer.sign(head.size, head.root) == "checkpoint_forks"

    # The enclave reads it anew a minute later (`tests/enclave/test_growth.py`).
    spoil(database, sealer, head.size - 1)


def test_a_log_that_cannot_be_sealed_keeps_no_other_back(sealer: Sealer, database: Database) -> None:
    others = [sealer_of(open_shop(sealer.shop.at).fund(3_000)) for _ in range(2)]
    spoilt, *sound = sorted([sealer, *others], key=lambda one: one.programme.id)
    head = spoilt.append()
    assert spoilt.sign(head.size, head.root) is None
    spoil(database, spoilt, head.size - 1)

    with pytest.raises(NotYet, match="checkpoint_forks"):
        Jobs(sealer.shop.at.parts).seal_checkpoints()

    for one in sound:
        assert one.latest_is_sealed()
    assert not spoilt.latest_is_sealed()
    spoil(database, spoilt, head.size - 1)
    assert spoilt.seal().root == head.root


def test_a_leaf_that_was_changed_after_its_head_was_signed_ends_the_sealing(
    sealer: Sealer, database: Database
) -> None:
    head = sealer.append()
    assert sealer.sign(head.size, head.root) is None
    spoil(database, sealer, head.size - 1)
    sealer.shop.fund(2_000)

    with pytest.raises(NotYet, match="checkpoint_forks"):
        sealer.seal()

    spoil(database, sealer, head.size - 1)
    assert sealer.seal().size > head.size


def test_two_programmes_are_sealed_each_over_its_own_leaves(sealer: Sealer) -> None:
    other = sealer_of(open_shop(sealer.shop.at).fund(3_000))
    head, others = sealer.append(), other.append()

    assert sealer.sign(others.size, others.root) == "checkpoint_forks"
    assert other.sign(others.size, others.root) is None
    assert sealer.seal().root == head.root
    assert other.seal().root == others.root


def test_a_log_that_is_larger_than_one_request_reads_is_sealed_all_the_same(
    installation: Installation, database: Database
) -> None:
    name = f"large-{secrets.token_hex(4)}"
    make_log(database, LEAVES_MAX + 10, name)
    parts = installation.parts
    with parts.transactions() as tx:
        (programme,) = (one for one in all_programmes(tx) if one.name == name)

    head, _ = Jobs(parts).seal(programme)

    assert head.size == LEAVES_MAX + 10
