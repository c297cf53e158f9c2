"""Logs of leaves that tests make up: in lists, and in a database."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from enclave.facts import FactsUnavailable
from enclave.tree import Tree
from ledger.core.merkle import leaf_hash, root
from tests.conftest import Database

ORIGIN = "ledger.example"


def leaf_of(position: int, history: int = 0) -> bytes:
    """The hash of one leaf; in another history every one is another."""
    return leaf_hash(f"{history} {position}".encode())


def leaves_of(size: int, history: int = 0) -> list[bytes]:
    return [leaf_of(position, history) for position in range(size)]


def root_of(size: int, history: int = 0) -> bytes:
    """The root of a log of so many leaves, as the ledger computes it."""
    return root(leaves_of(size, history))


@dataclass(slots=True)
class ListedLogs:
    """Leaves and kept trees from lists: the second implementation of `Leaves`. Notes what was read."""

    logs: dict[str, list[bytes]] = field(default_factory=dict)
    trees: dict[str, list[Tree]] = field(default_factory=dict)
    read: list[tuple[int, int]] = field(default_factory=list)

    def kept(self, origin: str, *, size_max: int) -> Sequence[Tree] | None:
        if origin not in self.logs:
            return None
        found = [tree for tree in self.trees.get(origin, []) if tree.size <= size_max]
        return [*sorted(found, key=lambda tree: tree.size, reverse=True), Tree()]

    def hashes(self, origin: str, *, start: int, end: int) -> Sequence[bytes]:
        self.read.append((start, end))
        return self.logs[origin][start:end]


@dataclass(frozen=True, slots=True)
class SilentLogs:
    """Leaves that are not to be had."""

    def kept(self, origin: str, *, size_max: int) -> Sequence[Tree] | None:
        raise FactsUnavailable("down")

    def hashes(self, origin: str, *, start: int, end: int) -> Sequence[bytes]:
        raise FactsUnavailable("down")


def make_log(database: Database, size: int, name: str = "pay-eu") -> str:
    """A programme with so many leaves in its log, over no transfers; the origin of the log."""
    programme_id = secrets.token_hex(16)
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute(
            "INSERT INTO programmes VALUES (%(id)s, %(name)s, 'Pay', 'bank', %(ours)s, %(ours)s, %(name)s, %(name)s,"
            " 'EUR', now())",
            {"id": programme_id, "name": name, "ours": f"{name} own"},
        )
        copy = "COPY log_leaves (programme_id, position, transfer_id, leaf_hash) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copy) as rows:
            for position in range(size):
                rows.write_row((programme_id, position, secrets.token_hex(16), leaf_of(position)))
    return f"tallystick.dev/{name}"
