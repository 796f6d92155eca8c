"""The consumer of the worker processes: does what the job's data says, and writes each run into the run log."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis import Redis

from auth_worker import Job, UnrecoverableError
from chaos.run_log import RunLog

FOR_EVER = 3600.0
RUN_LOG = "CHAOS_RUN_LOG"
_numbers = itertools.count(1)


def consumer_for(run_log: RunLog, url: str) -> Callable[[Job], Awaitable[Any]]:
    """An ``async def`` consumer."""

    async def consumer(job: Job) -> Any:
        run, how = _started(run_log, job), "raised"
        try:
            result = await _act(job, run_log, url)
            how = "returned"
            return result
        except asyncio.CancelledError:
            how = "cancelled"
            raise
        finally:
            run_log.write("ended", run=run, how=how)

    return consumer


def unwritten_consumer_for(run_log: RunLog, url: str) -> Callable[[Job], Awaitable[Any]]:
    """An ``async def`` consumer for so many jobs that the run log could not hold their runs."""

    async def consumer(job: Job) -> Any:
        return await _act(job, run_log, url)

    return consumer


def plain_consumer_for(run_log: RunLog) -> Callable[[Job], Any]:
    """A plain ``def`` consumer, for a thread; of all works it knows how to sleep."""

    def consumer(job: Job) -> Any:
        run = _started(run_log, job)
        time.sleep(job.data.get("s", 0))
        run_log.write("ended", run=run, how="returned")
        return job.id

    return consumer


def process_consumer(job: Job) -> Any:
    """As a plain consumer, for a process of its own, which has the run log's path from its environment."""
    return plain_consumer_for(RunLog(Path(os.environ[RUN_LOG])))(job)


def _started(run_log: RunLog, job: Job) -> str:
    run = f"{os.getpid()}-{next(_numbers)}"
    logging.getLogger(__name__).info("run %s begins", run)
    run_log.write("started", run=run, id=job.id, pid=os.getpid(), attempt=job.attempt, stalled=job.stalled_count)
    return run


async def _act(job: Job, run_log: RunLog, url: str) -> Any:
    """``s`` is how long the work takes; ``do`` what comes then."""
    work = job.data
    seconds = work.get("s", 0)
    match work.get("do", "sleep"):
        case "block":
            time.sleep(seconds)  # noqa: ASYNC251 - a consumer that blocks the loop is what is tried
        case "thread":
            await asyncio.to_thread(time.sleep, seconds)
        case "ignore cancellation":
            await _ignore_cancellation()
        case "hang once" if not job.stalled_count:
            await asyncio.sleep(FOR_EVER)
        case "hang at first" if run_log.runs_of(job.id)[0].pid == os.getpid():
            await asyncio.sleep(FOR_EVER)
        case _:
            await asyncio.sleep(seconds)
    match work.get("do", "sleep"):
        case "fail" if job.attempt <= work["times"]:
            raise RuntimeError(f"failure {job.attempt} of {work['times']}")
        case "die":
            raise UnrecoverableError("no hope")
        case "kill the process":
            os.kill(os.getpid(), signal.SIGKILL)
        case "lose the lock and die" if not job.stalled_count:
            _usurp(job, url)
            raise UnrecoverableError("too late")
    return job.id


async def _ignore_cancellation() -> None:
    end = time.monotonic() + FOR_EVER
    while time.monotonic() < end:
        try:
            await asyncio.sleep(FOR_EVER)
        except asyncio.CancelledError:
            continue


def _usurp(job: Job, url: str) -> None:
    """Another worker has the job now, for a moment, and dies."""
    with Redis.from_url(url) as redis:
        redis.set(f"bull:{job.queue_name}:{job.id}:lock", "another worker", px=300)
