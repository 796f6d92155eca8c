"""Renews the leases of one queue's running jobs, and finds out which are lost.

This runs in the watch loop, on its own connection and the monotonic clock, so that neither a consumer that blocks
the work loop nor a jump of the wall clock costs a lease. A lease is lost when the broker says so, or when it could
not be renewed for the whole lock duration: by then another worker may have the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from auth_worker.core.ports.worker import QueueUpkeep
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

RENEW_AT = 0.5
"""The fraction of the lock duration after which a lease is renewed."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""How long (s) to wait between two looks at the leases: a tenth of the lock duration, within these bounds."""
IDLE_PAUSE = 0.25
"""The fraction of the lock duration to wait while no job runs: before any that starts next needs renewal."""


class LeaseRenewer:
    """Renews the leases of ``queue`` in time. ``lease_s`` is the lock duration (s).

    ``held`` returns the runs. ``on_lost`` is called in the watch loop with the runs whose lease is lost,
    ``on_cancelled`` with those that are to be cancelled, each with the reason.
    """

    def __init__(
        self,
        upkeep: QueueUpkeep,
        bus: EventBus,
        *,
        queue: str,
        lease_s: float,
        held: Callable[[], Iterable[Run]],
        on_lost: Callable[[list[Run]], None],
        on_cancelled: Callable[[list[tuple[Run, str]]], None],
    ) -> None:
        self._upkeep = upkeep
        self._bus = bus
        self._queue = queue
        self._lease_s = lease_s
        self._held = held
        self._on_lost = on_lost
        self._on_cancelled = on_cancelled

    async def run(self) -> None:
        """Renew leases and report lost ones until cancelled."""
        pause = min(max(self._lease_s / 10, SHORTEST_PAUSE), LONGEST_PAUSE)
        idle_pause = max(self._lease_s * IDLE_PAUSE, pause)
        while True:
            held = list(self._held())
            await self._renew(held)
            await asyncio.sleep(pause if held else idle_pause)

    async def _renew(self, held: list[Run]) -> None:
        now = time.monotonic()
        lost = [run for run in held if now - run.renewed >= self._lease_s]
        due = [run for run in held if self._lease_s * RENEW_AT <= now - run.renewed < self._lease_s]
        if due and self._upkeep.is_up:
            try:
                async with asyncio.timeout(self._lease_s / 4):
                    gone = await self._upkeep.extend_leases(due)
            except (BrokerError, TimeoutError) as error:
                detail = f"renewing leases: {error or 'no answer in time'}"
                code = getattr(error, "code", "")
                self._bus.emit(Problem(WORKER_ERRORS.BROKER_REFUSED, self._queue, detail, code))
            else:
                for run in due:
                    if run.job.id in gone:
                        lost.append(run)
                    else:
                        run.renewed = now
                await self._find_cancelled(due)
        if lost:
            self._on_lost(lost)

    async def _find_cancelled(self, renewed: list[Run]) -> None:
        """Find requests to cancel whose message was lost. If this fails, the next renewal looks again."""
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(self._lease_s / 4):
                if reasons := await self._upkeep.find_cancelled(renewed):
                    self._on_cancelled([(run, reasons[run.job.id]) for run in renewed if run.job.id in reasons])
