"""Runs a job as a worker does, through the engine's own ``perform``, but without a broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.core.outcome import Cause, Outcome
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run
from auth_worker.engine.executors import Executor
from auth_worker.engine.perform import perform
from auth_worker.job import Job
from auth_worker.testing.stored_jobs import MemoryJob


class MemoryActions:
    """Implements ``JobActions``, what a job may ask of its queue, in memory.

    ``loop`` is the event loop of the job; None means the first that uses it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.logs: list[str] = []
        self.values: dict[str, Any] = {}
        """The results of the job's children, by their keys."""
        self.failures: dict[str, str] = {}
        """Why children failed that their parent ignores, by their keys."""
        self.progress: Any = 0
        self._loop = loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """As in ``JobActions``."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def add_log(self, job: Job, row: str) -> int:
        """As in ``JobActions``."""
        self.logs.append(row)
        return len(self.logs)

    async def update_progress(self, job: Job, value: Any) -> None:
        """As in ``JobActions``."""
        self.progress = decode_json(encode_json(value).decode())

    async def extend_lease(self, job: Job) -> None:
        """Do nothing: the job cannot be lost to another worker."""

    async def children_values(self, job: Job) -> dict[str, Any]:
        """As in ``JobActions``."""
        return dict(self.values)

    async def children_failures(self, job: Job) -> dict[str, str]:
        """As in ``JobActions``."""
        return dict(self.failures)


class StoredActions(MemoryActions):
    """The same for a job of a ``JobStore``, which keeps its log and progress."""

    def __init__(self, job: MemoryJob) -> None:
        super().__init__(asyncio.get_running_loop())
        self.logs, self.values, self.failures = job.logs, job.values, job.failures
        self._job = job

    async def update_progress(self, job: Job, value: Any) -> None:
        """As in ``JobActions``."""
        await super().update_progress(job, value)
        self._job.progress = self.progress


async def run_job(
    job: Job,
    policy: JobPolicy,
    executor: Executor,
    *,
    max_result_bytes: int,
    timeout: float | None = None,
    on_start: Callable[[Run], None] = lambda _: None,
) -> tuple[Run, Outcome]:
    """Run ``job`` once, and return its run and outcome. ``timeout`` is in s.

    If the caller is cancelled, so is the job.
    """
    run = Run(job, policy, None, "", time.monotonic())
    outcomes: list[Outcome] = []

    async def decide() -> None:
        outcomes.append(await perform(run, executor, timeout=timeout, max_result_bytes=max_result_bytes))

    run.task = asyncio.create_task(decide())
    on_start(run)
    try:
        await asyncio.wait({run.task})
    except asyncio.CancelledError:
        run.cancel(Cause.SHUTDOWN)
        await asyncio.wait({run.task})
        raise
    run.task = None
    return run, outcomes[0]
