"""A book to be looked back on: a few unbounded accounts, and transfers with an instant and a value date each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger import book
from ledger.core.chart import Code
from ledger.core.commands import Applied, Authority, Command, Hold, Leg, Open, Post, Rate, Result
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.store.notices import keep_notice
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, make_programme

UNBOUNDED = (Code.OWN_FUNDS, Code.COMMISSION, Code.TAX_PAYABLE, Code.BANK_FEES)


def minutes(count: float) -> datetime:
    """An instant of the Monday."""
    return MONDAY_MORNING + timedelta(minutes=count)


@dataclass(frozen=True)
class Chronicle:
    """One programme with some accounts of its own, and a bank's word for all that moves on them."""

    programme_id: ProgrammeId
    authority: Authority
    accounts: tuple[AccountId, ...]

    def transfer(
        self,
        tx: Tx,
        *legs: tuple[int, int, int],
        effective_at: datetime | None = None,
        metadata: dict[str, str] | None = None,
        adjusting: bool = False,
    ) -> Post:
        """A transfer that is not posted yet; a leg is (debit, credit, amount) by the places of the accounts."""
        return Post(
            id=TransferId(tx.new_id("xfr")),
            programme_id=self.programme_id,
            authority=self.authority,
            effective_at=effective_at or tx.now,
            reference="test",
            metadata=metadata or {},
            legs=tuple(
                Leg(self.accounts[debit], self.accounts[credit], amount) for debit, credit, amount in legs
            ),
            adjusting=adjusting,
        )

    def hold(self, tx: Tx, place: int, amount_minor: int) -> Hold:
        return Hold(
            id=TransferId(tx.new_id("xfr")),
            programme_id=self.programme_id,
            authority=self.authority,
            effective_at=tx.now,
            reference="test",
            account_id=self.accounts[place],
            amount_minor=amount_minor,
            expires_at=None,
        )

    def convert(self, tx: Tx, legs: Sequence[Leg], rate: Rate) -> Post:
        return Post(
            id=TransferId(tx.new_id("xfr")),
            programme_id=self.programme_id,
            authority=self.authority,
            effective_at=tx.now,
            reference="test",
            legs=tuple(legs),
            rate=rate,
        )

    def move(self, tx: Tx, *legs: tuple[int, int, int], effective_at: datetime | None = None) -> TransferId:
        """A transfer that is posted."""
        transfer = self.transfer(tx, *legs, effective_at=effective_at)
        done(tx, transfer)
        return transfer.id


def opening(
    tx: Tx,
    programme_id: ProgrammeId,
    code: Code,
    *subdivision: str,
    currency: str = "EUR",
    tags: tuple[str, ...] = (),
) -> Open:
    """An unbounded account of the programme's own."""
    return Open(
        id=TransferId(tx.new_id("xfr")),
        programme_id=programme_id,
        authority=None,
        effective_at=tx.now,
        reference="test",
        account_id=AccountId(tx.new_id("acct")),
        code=code,
        subdivision=subdivision,
        party_id=None,
        currency=currency,
        min_available_minor=None,
        tags=tags,
    )


def begin(
    tx: Tx, *openings: Open, programme_id: ProgrammeId | None = None, name: str = "pay-eu"
) -> Chronicle:
    """A programme with these accounts; without any, one of each unbounded kind."""
    programme = programme_id or make_programme(tx, name)
    wanted = openings or tuple(opening(tx, programme, code) for code in UNBOUNDED)
    word, _ = keep_notice(
        tx,
        bank_connection="sandbox",
        source="webhook",
        key=f"word for {programme}",
        type_="Settled",
        body=b"{}",
    )
    done(tx, *wanted)
    return Chronicle(programme, Authority(notice_id=word), tuple(item.account_id for item in wanted))


def ask(tx: Tx, command: Command) -> Result:
    """What the book says to one command."""
    ((result,),) = book.post(tx, [[command]])
    return result


def done(tx: Tx, *commands: Command) -> None:
    """Carries out commands that must succeed."""
    for (result,) in book.post(tx, [[command] for command in commands]):
        assert isinstance(result, Applied), result


def analyse(database: Database, *tables: str) -> None:
    """Lets the planner know what the tables hold, as it does by itself after a while."""
    with database.owner_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as owner:
        for table in tables:
            owner.execute(sa.text(f"VACUUM ANALYZE {table}"))


def plan_of(tx: Tx, question: Callable[[], object], *, nth: int = -1) -> dict[str, Any]:
    """How the server carries out one statement of a question (its last): the plan at its top, with what it read."""
    said: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        said.append((statement, parameters))

    sa.event.listen(tx.connection, "before_cursor_execute", note)
    question()
    sa.event.remove(tx.connection, "before_cursor_execute", note)
    statement, parameters = said[nth]
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    (plan,) = tx.connection.exec_driver_sql(explain, parameters).scalar_one()
    return dict(plan["Plan"])
