"""Maintenance: what a queue needs regularly, whoever works on it. Runs in the watch loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.letters import LetterBox
from auth_worker.broker.link import Link
from auth_worker.broker.reconciliation import Reconciliation
from auth_worker.broker.schedulers import REMEDY, Schedulers
from auth_worker.broker.scripts import builders
from auth_worker.config import Settings, WorkerConfig
from auth_worker.error_text import error_text
from auth_worker.errors import BrokerError
from auth_worker.events import DeadLettersReconciled, EventBus, JobsRecovered, Problem, SchedulersRevived
from auth_worker.messages import WORKER_ERRORS

REMIND_S = 3600.0
"""How often (s) to name job schedulers that cannot be read, while they stay so."""


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
                self._bus.emit(
                    Problem(WORKER_ERRORS.MAINTENANCE_FAILED, self._queue, f"stalled check: {error_text(error)}")
                )
            else:
                if ids:
                    names = tuple(job_id.decode(errors="replace") for job_id in ids)
                    self._bus.emit(JobsRecovered(self._queue, names))
            await asyncio.sleep(interval / 1000 + 0.005)


class DeadLetterCare:
    """Reconciles the dead letters of a queue with its failed jobs, and keeps their number and age bounded.

    Of all services that work the queue, one does each pass.
    """

    def __init__(
        self,
        link: Link,
        queue: str,
        letter_queue: str,
        config: WorkerConfig,
        settings: Settings,
        bus: EventBus,
        worker: str,
    ) -> None:
        prefix = settings.prefix
        box = LetterBox(prefix, letter_queue)
        self._link = link
        self._queue = queue
        self._reconciliation = Reconciliation(link, prefix, queue, box, config, worker)
        self._letters = DeadLetters(link, prefix, letter_queue)
        self._settings = settings
        self._bus = bus

    async def run(self) -> None:
        """Take care for ever."""
        interval = self._settings.reconcile_interval
        while True:
            await self._link.wait_up()
            try:
                if await self._reconciliation.elect(int(interval * 900)):
                    added = await self._reconciliation.reconcile()
                    if added:
                        self._bus.emit(DeadLettersReconciled(self._queue, added))
                    await self._letters.purge(
                        keep=self._settings.dead_letter_max_count, older_than=self._settings.dead_letter_max_age
                    )
            except BrokerError as error:
                self._bus.emit(Problem(WORKER_ERRORS.DEAD_LETTER_FAILED, self._queue, str(error)))
            await asyncio.sleep(interval)


class SchedulerCare:
    """Lets job schedulers go on that have lost their next iteration, and names those that cannot be read.

    An iteration whose successor could not be created (its time zone was not known, Redis refused) leaves its
    scheduler in Redis without a job; so does one that a worker of another version could not read.
    """

    def __init__(self, link: Link, settings: Settings, queue: str, bus: EventBus) -> None:
        self._link = link
        self._schedulers = Schedulers(link, settings.prefix, queue)
        self._interval = settings.reconcile_interval
        self._queue = queue
        self._bus = bus
        self._named: list[str] = []
        self._named_at = -REMIND_S

    async def run(self) -> None:
        """Take care for ever; the first pass is at once."""
        while True:
            await self._link.wait_up()
            try:
                revived, unreadable = await self._schedulers.revive()
            except BrokerError as error:
                self._bus.emit(Problem(WORKER_ERRORS.MAINTENANCE_FAILED, self._queue, f"job schedulers: {error}"))
            else:
                if revived:
                    self._bus.emit(SchedulersRevived(self._queue, tuple(revived)))
                self._name(unreadable)
            await asyncio.sleep(self._interval)

    def _name(self, unreadable: list[str]) -> None:
        if unreadable and (unreadable != self._named or time.monotonic() - self._named_at >= REMIND_S):
            self._named_at = time.monotonic()
            detail = f"{'; '.join(unreadable)}. No iteration follows until that is mended: {REMEDY}"
            self._bus.emit(Problem(WORKER_ERRORS.SCHEDULER_STOPPED, self._queue, detail))
        self._named = unreadable
