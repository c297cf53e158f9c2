"""Jobs: promises that commit with the facts they follow from. What keeping them means stands in api/jobs.py."""

from collections.abc import Mapping
from typing import Any

from procrastinate import App, SyncPsycopgConnector

from ledger.store.tx import Tx

# Never opened: it only writes the statement, on the connection of the caller's transaction.
_QUEUE = App(connector=SyncPsycopgConnector())


def promise(tx: Tx, job: str, *, delay_s: int = 0, **arguments: Any) -> None:
    """Promises one job, not to be done before the delay has passed on the machine's clock."""
    task = _QUEUE.configure_task(
        job,
        allow_unknown=True,
        schedule_in={"seconds": delay_s} if delay_s else None,
        connection=tx.connection.connection.driver_connection,
    )
    task.defer(**arguments)


def promise_each(tx: Tx, job: str, each: list[Mapping[str, Any]]) -> None:
    """Promises one job for each set of arguments, in one statement."""
    if not each:
        return
    task = _QUEUE.configure_task(
        job, allow_unknown=True, connection=tx.connection.connection.driver_connection
    )
    task.batch_defer(*(dict(arguments) for arguments in each))
