"""Promises kept in this process: payouts that are due and jobs in the queue, by the worker's own methods."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from api.jobs import Jobs
from api.parts import Parts

KEPT_MAX = 200


@dataclass(frozen=True, slots=True)
class Promise:
    """One job that waits."""

    id: int
    name: str
    arguments: dict[str, object]


def promises(parts: Parts) -> list[Promise]:
    """The jobs that may be done now, oldest first. Those that are promised for later are left out."""
    query = sa.text(
        "SELECT id, task_name, args FROM procrastinate_jobs"
        " WHERE status = 'todo' AND scheduled_at IS NULL ORDER BY id"
    )
    with parts.engine.connect() as connection:
        return [Promise(*row) for row in connection.execute(query)]


def keep_promises(parts: Parts) -> list[str]:
    """Does everything that waits, and what follows from it; the names of what was done.

    A job that fails stays in the queue, as it would with a worker, and its error is raised.
    """
    done: list[str] = []
    while (found := Jobs(parts).dispatch()) + len(waiting := promises(parts)):
        done += ["dispatch"] if found else []
        for promise in waiting:
            keep(parts, promise)
            done.append(promise.name)
        assert len(done) < KEPT_MAX, "promises never end"
    return done


def keep(parts: Parts, promise: Promise) -> None:
    """Does one job, and takes it off the queue as a worker does when it has succeeded."""
    job: Callable[..., None] = getattr(Jobs(parts), promise.name)
    job(**promise.arguments)
    with parts.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM procrastinate_jobs WHERE id = :id"), {"id": promise.id})
