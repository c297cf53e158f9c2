"""Batches as they are made: one transaction's time, the bank's word that allows what it moves, and its commands."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from api.bench.mint import Mint
from api.bench.writers import Batch
from ledger.core.commands import Authority, Command
from ledger.core.ids import NoticeId, ProgrammeId, TransferId

CONNECTION = "bench"


class Common(TypedDict):
    """What every command says."""

    id: TransferId
    programme_id: ProgrammeId
    authority: Authority | None
    effective_at: datetime
    reference: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the commands of one batch have in common. They are effective when they are recorded, as flows post."""

    mint: Mint
    programme_id: ProgrammeId
    authority: Authority
    effective_at: datetime

    def common(self, *, under_authority: bool = True) -> Common:
        """The common part of the next command, with an id and a reference of its own."""
        return {
            "id": TransferId(self.mint.id("xfr")),
            "programme_id": self.programme_id,
            "authority": self.authority if under_authority else None,
            "effective_at": self.effective_at,
            "reference": self.mint.reference(),
        }


Make = Callable[[Head], Iterable[Command]]


def make_batch(mint: Mint, programme_id: ProgrammeId, make: Make) -> Batch:
    """A batch of commands, each a group of its own: one that were refused would leave the others alone."""
    now, notice_id = mint.instant(), NoticeId(mint.id("ntc"))
    head = Head(mint, programme_id, Authority(notice_id=notice_id), now)
    return Batch(now, notice_row(notice_id, now), tuple((command,) for command in make(head)))


def notice_row(notice_id: NoticeId, now: datetime) -> dict[str, Any]:
    """A notice that has been heeded: a row is written for it in the transaction that moves the money."""
    return {
        "id": notice_id,
        "bank_connection": CONNECTION,
        "source": "webhook",
        "key": notice_id,
        "type": "bench",
        "body": b"{}",
        "received_at": now,
        "processed_at": now,
    }
