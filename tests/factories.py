"""What tests of the pure parts need: a job, its options and a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker.config import WorkerConfig
from auth_worker.job import Job, JobActions
from auth_worker.options import JobOptions
from auth_worker.outcome import Outcome
from auth_worker.run import Run, perform

Execute = Callable[[Job], Awaitable[Any]]
PATIENT = 100_000
"""A limit of bytes that no ordinary test reaches."""


def a_job(data: Any = None, *, attempt: int = 1, actions: JobActions | None = None, **fields: Any) -> Job:
    """A job with an id, a name and a queue; ``fields`` as in ``Job``."""
    values: dict[str, Any] = {"id": "job-1", "name": "send", "opts": {}, "queue_name": "work"}
    return Job(**{**values, "data": data, "attempt": attempt, "actions": actions, **fields})


def some_options(given: Mapping[str, Any] | None = None, **config: Any) -> JobOptions:
    """Options as the producer gave them, under a worker config."""
    return JobOptions(given or {}, WorkerConfig(**config))


def a_run(job: Job | None = None, options: JobOptions | None = None, raw: dict[bytes, bytes] | None = None) -> Run:
    """A run that holds its lease."""
    job = job or a_job()
    return Run(job, options or some_options(), raw or {}, "token:1", time.monotonic())


def begin(run: Run, execute: Execute, timeout: float | None = None) -> asyncio.Task[Outcome]:
    """Start the run in a task of its own, as a processor does."""
    task = asyncio.create_task(perform(run, execute, timeout=timeout, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment] # a processor's task gives nothing back
    return task


async def outcome_of(execute: Execute, run: Run | None = None, timeout: float | None = None) -> Outcome:
    return await asyncio.wait_for(begin(run or a_run(), execute, timeout), 5)
