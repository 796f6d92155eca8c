"""Builds what tests of the pure parts need: a job, its policy and a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker.config import WorkerConfig
from auth_worker.core.outcome import Outcome
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run
from auth_worker.engine.perform import perform
from auth_worker.job import Job, JobActions

Execute = Callable[[Job], Awaitable[Any]]
PATIENT = 100_000
"""A limit in bytes that no ordinary test reaches."""


def a_job(data: Any = None, *, attempt: int = 1, actions: JobActions | None = None, **fields: Any) -> Job:
    """Build a job with an id, a name and a queue. ``fields`` as in ``Job``."""
    values: dict[str, Any] = {"id": "job-1", "name": "send", "opts": {}, "queue_name": "work"}
    return Job(**{**values, "data": data, "attempt": attempt, "actions": actions, **fields})


def some_options(given: Mapping[str, Any] | None = None, **config: Any) -> JobPolicy:
    """Build the policy for a producer's options under a worker config."""
    return JobPolicy(given or {}, WorkerConfig(**config))


def a_run(
    job: Job | None = None, options: JobPolicy | None = None, stored: dict[bytes, bytes] | None = None
) -> Run:
    """A run that holds its lease."""
    job = job or a_job()
    return Run(job, options or some_options(), stored or {}, "token:1", time.monotonic())


def begin(run: Run, execute: Execute, timeout: float | None = None) -> asyncio.Task[Outcome]:
    """Start the run in a task of its own, as a processor does."""
    task = asyncio.create_task(perform(run, execute, timeout=timeout, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment] # a processor's task gives nothing back
    return task


async def outcome_of(execute: Execute, run: Run | None = None, timeout: float | None = None) -> Outcome:
    return await asyncio.wait_for(begin(run or a_run(), execute, timeout), 5)
