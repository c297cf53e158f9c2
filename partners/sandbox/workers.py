"""The bank's two workers: one moves payments on, one delivers webhooks. They rest until there is something
to do.

A worker that fails stops the bank: its books are sound, and a bank that answers but never pays would mislead.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx

from partners.sandbox import recalls
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp, wall_now
from partners.sandbox.delivery import deliver_due
from partners.sandbox.returns import return_due
from partners.sandbox.settlement import advance_due
from partners.sandbox.store.clients import forget_request_ids
from partners.sandbox.store.database import begin

POLL_S = 0.1
REQUEST_IDS_KEPT = timedelta(hours=48)
FORGET_EVERY = timedelta(hours=1)
_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def working(bank: Bank) -> AsyncIterator[None]:
    """Keep both workers at work inside the block."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as http:  # noqa: S113 - every attempt is timed as a whole
        tasks = [asyncio.create_task(_settle(bank)), asyncio.create_task(_deliver(bank, http))]
        for task in tasks:
            task.add_done_callback(_stop_the_bank_on_failure)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _settle(bank: Bank) -> None:
    forget_at = wall_now()
    while True:
        forget_at = _forget_old_request_ids(bank, forget_at)
        while advance_due(bank) + return_due(bank) + recalls.answer_due(bank) > 0:
            bank.webhooks_due.set()
            await asyncio.sleep(0)
        await _rest(bank.payments_due)


async def _deliver(bank: Bank, http: httpx.AsyncClient) -> None:
    while True:
        if await deliver_due(bank, http) == 0:
            await _rest(bank.webhooks_due)


async def _rest(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_S):
            await bell.wait()
    except TimeoutError:
        return
    bell.clear()


def _forget_old_request_ids(bank: Bank, due_at: datetime) -> datetime:
    now = wall_now()
    if now < due_at:
        return due_at
    with begin(bank.books) as tx:
        forget_request_ids(tx, seen_before=stamp(now - REQUEST_IDS_KEPT))
    return now + FORGET_EVERY


def _stop_the_bank_on_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.critical("worker failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
