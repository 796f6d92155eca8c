"""Maintenance: what a queue needs regularly, whoever works on it. Runs in the watch loop."""

from __future__ import annotations

import asyncio
from typing import Any

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import builders
from auth_worker.config import WorkerConfig
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, JobsRecovered, Problem
from auth_worker.messages import WORKER_ERRORS


class StalledCheck:
    """Puts jobs whose worker has died back to wait; the first check is at once, then every interval.

    Source: moveStalledJobsToWait-9.lua. A key in Redis sees to it that of all workers one checks per interval;
    two checks find a job: the first marks those active, the second moves the marked ones that have no lock.
    """

    def __init__(self, link: Link, prefix: str, queue: str, config: WorkerConfig, bus: EventBus) -> None:
        self._queue = queue
        self._config = config
        self._bus = bus
        self._link = link
        self._scripts: Any = builders(prefix, queue, link.call)

    async def run(self) -> None:
        """Check for ever."""
        interval = self._config.stalled_interval
        while True:
            await self._link.wait_up()
            try:
                ids = await self._scripts.moveStalledJobsToWait(self._config.max_stalled_count, interval)
            except BrokerError as error:
                self._bus.emit(Problem(WORKER_ERRORS.MAINTENANCE_FAILED, self._queue, f"stalled check: {error}"))
            else:
                if ids:
                    names = tuple(job_id.decode(errors="replace") for job_id in ids)
                    self._bus.emit(JobsRecovered(self._queue, names))
            await asyncio.sleep(interval / 1000 + 0.005)
