"""The worker: Procrastinate on the same PostgreSQL, with the jobs of api/jobs.py and the rhythm in which some repeat.

A worker that dies leaves its jobs to the next one, once it has been silent for `worker_stall_s`.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from procrastinate import App, PsycopgConnector, RetryStrategy

from api.jobs import Jobs
from api.parts import Parts
from api.sender import Sender
from enclave.client import EnclaveUntrusted

RETRY = RetryStrategy(max_attempts=100, linear_wait=1)
CONCURRENCY = 4
EXPIRE_EVERY_S = 5
DUE_EVERY_S = 2
COLLECT_EVERY_S = 10  # between the two looks at which a file has to be as long
CHASE_EVERY_S = 300
SEAL_EVERY_S = 60
STATEMENT_EVERY_S = 600
RESEAL_EVERY_S = 6 * 3600  # so that a worker that is started anew every day comes to it as well
POLL_EVERY_S = 1.0
LOOK_EVERY_S = 0.2  # for payouts that are due
SENDING_LANES = 2  # while one waits for signatures or answers, the other takes up what is next
_log = logging.getLogger("tallystick.worker")


def run_worker(parts: Parts) -> None:
    """Works until the process is asked to stop."""
    try:
        asyncio.run(work(parts))
    finally:
        parts.close()


async def work(parts: Parts) -> None:
    """Keeps promises until the process is asked to stop."""
    queue = build_queue(parts)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop.set)
    stall_s = parts.settings.worker_stall_s
    async with queue.open_async():
        running = asyncio.create_task(
            queue.run_worker_async(
                concurrency=CONCURRENCY,
                wait=True,
                fetch_job_polling_interval=POLL_EVERY_S,
                install_signal_handlers=False,
                update_heartbeat_interval=max(0.5, stall_s / 4),
                stalled_worker_timeout=float(stall_s),
                delete_jobs="successful",
                listen_notify=True,
            )
        )
        rhythm = asyncio.create_task(_keep_rhythm(queue, parts, stop))
        sending = [asyncio.create_task(_keep_sending(parts, stop)) for _ in range(SENDING_LANES)]
        print("worker ready", flush=True)  # noqa: T201 - the launcher waits for this line
        await asyncio.wait(
            {asyncio.create_task(stop.wait()), running, rhythm}, return_when=asyncio.FIRST_COMPLETED
        )
        stop.set()
        await asyncio.gather(rhythm, *sending)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def build_queue(parts: Parts) -> App:
    """The queue with its jobs."""
    url = parts.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    queue = App(connector=PsycopgConnector(conninfo=url, max_size=CONCURRENCY + 4))
    jobs = Jobs(parts)
    for job in (
        jobs.enquire,
        jobs.process_notice,
        jobs.open_virtual_iban,
        jobs.ask_statement,
        jobs.fetch_statement,
        jobs.make_export,
        jobs.rescreen,
        jobs.reseal_cards,
    ):
        queue.task(name=job.__name__, retry=RETRY)(_logged(job))
    return queue


def _logged(job: Callable[..., None]) -> Callable[..., None]:
    def run(**arguments: Any) -> None:
        begun = time.monotonic()
        try:
            job(**arguments)
        except Exception as error:
            _log.warning("job.failed name=%s ids=%s error=%s", job.__name__, _ids(arguments), _named(error))
            raise
        took_ms = int((time.monotonic() - begun) * 1000)
        _log.info("job.done name=%s ids=%s took_ms=%d", job.__name__, _ids(arguments), took_ms)

    return run


def _named(error: Exception) -> str:
    """What an error may say in the log: its name; of an enclave that is not ours also what differs, which is hashes."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, EnclaveUntrusted) else name


def _ids(arguments: dict[str, Any]) -> str:
    return ",".join(str(value) for name, value in arguments.items() if name.endswith("_id"))


async def _keep_rhythm(queue: App, parts: Parts, stop: asyncio.Event) -> None:
    """Does what repeats, and hands the jobs of dead workers on."""
    jobs = Jobs(parts)
    due = {
        jobs.expire_holds: EXPIRE_EVERY_S,
        jobs.release_due: DUE_EVERY_S,
        jobs.take_over: DUE_EVERY_S,
        jobs.collect: COLLECT_EVERY_S,
        jobs.chase: CHASE_EVERY_S,
        jobs.seal_checkpoints: SEAL_EVERY_S,
        jobs.ask_for_yesterday: STATEMENT_EVERY_S,
        jobs.promise_resealing: RESEAL_EVERY_S,
    }
    last = dict.fromkeys(due, time.monotonic())
    while not stop.is_set():
        await _hand_on(queue, parts.settings.worker_stall_s)
        for job, every_s in due.items():
            if time.monotonic() - last[job] >= every_s:
                last[job] = time.monotonic()
                await _repeat(job)
        try:
            await asyncio.wait_for(stop.wait(), timeout=POLL_EVERY_S)
        except TimeoutError:
            continue


async def _keep_sending(parts: Parts, stop: asyncio.Event) -> None:
    """Sends what is due, and looks again at once while there is more. Each lane is a sender of its own."""
    sender = Sender(parts.engine)
    jobs = Jobs(replace(parts, sender=sender))
    while not stop.is_set():
        try:
            pause_s = 0.0 if await asyncio.to_thread(jobs.dispatch) else LOOK_EVERY_S
        except Exception as error:  # noqa: BLE001 - the worker's edge: what was taken up is taken over
            _log.warning("job.failed name=dispatch error=%s", _named(error))
            pause_s = POLL_EVERY_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=pause_s)
    sender.close()


async def _repeat(job: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(job)
    except Exception as error:  # noqa: BLE001 - the worker's edge: it is done again when it is next due
        _log.warning("job.failed name=%s error=%s", job.__name__, _named(error))


async def _hand_on(queue: App, stall_s: int) -> None:
    for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=stall_s):
        _log.warning("job.handed_on id=%s name=%s", job.id, job.task_name)
        await queue.job_manager.retry_job(job)
