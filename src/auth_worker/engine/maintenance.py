"""Regular upkeep of a queue, which any of its workers may do: stalled jobs, dead letters, job schedulers.

It runs in the watch loop.
"""

from __future__ import annotations

import asyncio
import time

from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.error_text import error_text
from auth_worker.core.ports.worker import QueueUpkeep
from auth_worker.core.repetition import REMEDY
from auth_worker.errors import BrokerError
from auth_worker.events import DeadLettersReconciled, EventBus, JobsRecovered, Problem, SchedulersRevived
from auth_worker.messages import WORKER_ERRORS

REMIND_S = 3600.0
"""How often (s) to report job schedulers that cannot be read, for as long as they cannot."""
MARGIN_S = 0.005
"""How much later (s) than its interval a check comes, so that the broker permits it."""
ELECTION_SHARE = 0.9
"""An election lasts for less than an interval, so that it is over when the next pass begins."""


class StalledCheck:
    """Moves jobs whose worker has died back to wait: once at the start, and then at every interval."""

    def __init__(self, upkeep: QueueUpkeep, queue: str, config: WorkerConfig, bus: EventBus) -> None:
        self._upkeep = upkeep
        self._queue = queue
        self._interval_s = config.stalled_interval / 1000
        self._bus = bus

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self._upkeep.wait_up()
            try:
                ids = await self._upkeep.recover_stalled()
            except BrokerError as error:
                detail = f"stalled check: {error_text(error)}"
                self._bus.emit(Problem(WORKER_ERRORS.MAINTENANCE_FAILED, self._queue, detail))
            else:
                if ids:
                    self._bus.emit(JobsRecovered(self._queue, tuple(ids)))
            await asyncio.sleep(self._interval_s + MARGIN_S)


class DeadLetterUpkeep:
    """Reconciles the dead letters of a queue with its failed jobs, and bounds their number and age.

    Of all services that work the queue, one does each pass.
    """

    def __init__(self, upkeep: QueueUpkeep, queue: str, settings: Settings, bus: EventBus) -> None:
        self._upkeep = upkeep
        self._queue = queue
        self._settings = settings
        self._bus = bus

    async def run(self) -> None:
        """Make passes until cancelled, the first one at once."""
        settings, upkeep = self._settings, self._upkeep
        while True:
            await upkeep.wait_up()
            try:
                if await upkeep.elect(int(settings.reconcile_interval * 1000 * ELECTION_SHARE)):
                    if added := await upkeep.reconcile_dead_letters():
                        self._bus.emit(DeadLettersReconciled(self._queue, added))
                    await upkeep.trim_dead_letters(settings.dead_letter_max_count, settings.dead_letter_max_age)
            except BrokerError as error:
                self._bus.emit(Problem(WORKER_ERRORS.DEAD_LETTER_FAILED, self._queue, error_text(error)))
            await asyncio.sleep(settings.reconcile_interval)


class SchedulerUpkeep:
    """Revives job schedulers that have lost their next iteration, and reports those that cannot be read.

    A scheduler is left without a job if its next iteration could not be created (an unknown time zone, a command
    that the broker refused), or if a worker of another version could not read it.
    """

    def __init__(self, upkeep: QueueUpkeep, queue: str, settings: Settings, bus: EventBus) -> None:
        self._upkeep = upkeep
        self._interval = settings.reconcile_interval
        self._queue = queue
        self._bus = bus
        self._reported: list[str] = []
        self._reported_at = -REMIND_S

    async def run(self) -> None:
        """Make passes until cancelled, the first one at once."""
        while True:
            await self._upkeep.wait_up()
            try:
                revived, unreadable = await self._upkeep.revive_schedulers()
            except BrokerError as error:
                self._bus.emit(
                    Problem(WORKER_ERRORS.MAINTENANCE_FAILED, self._queue, f"job schedulers: {error_text(error)}")
                )
            else:
                if revived:
                    self._bus.emit(SchedulersRevived(self._queue, tuple(revived)))
                self._report_unreadable(unreadable)
            await asyncio.sleep(self._interval)

    def _report_unreadable(self, unreadable: list[str]) -> None:
        if unreadable and (unreadable != self._reported or time.monotonic() - self._reported_at >= REMIND_S):
            self._reported_at = time.monotonic()
            detail = f"{'; '.join(unreadable)}. No iteration follows until that is fixed: {REMEDY}"
            self._bus.emit(Problem(WORKER_ERRORS.SCHEDULER_STOPPED, self._queue, detail))
        self._reported = unreadable
