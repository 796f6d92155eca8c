"""Measures the lag of the work loop from the watch loop, and reports when a consumer blocks it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from auth_worker.events import EventBus, LoopBlocked

LAG_TICK = 0.5
"""The pause (s) between two measurements."""
LAG_LIMIT = 1.0
"""The lag (s) above which the loop counts as blocked."""


class LagMonitor:
    """Measures the lag of ``work_loop`` from the watch loop, and emits ``LoopBlocked`` above ``limit`` s.

    ``running`` returns the jobs to name in that event. ``ticked`` is when the work loop last ran a callback
    (monotonic s). The next callback is scheduled only after the last one has run, so any thread can read the lag
    at any time.
    """

    def __init__(
        self,
        work_loop: asyncio.AbstractEventLoop,
        bus: EventBus,
        running: Callable[[], Iterable[str]],
        limit: float = LAG_LIMIT,
    ) -> None:
        self._work_loop = work_loop
        self._bus = bus
        self._running = running
        self._limit = limit
        self.ticked = self._scheduled = self._measured = time.monotonic()

    @property
    def lag_s(self) -> float:
        """How long (s) the last scheduled callback waited for the work loop, or has waited so far."""
        scheduled, ticked = self._scheduled, self.ticked
        return (ticked if ticked >= scheduled else time.monotonic()) - scheduled

    @property
    def watch_lag_s(self) -> float:
        """How long (s) the watch loop itself is overdue with the next measurement."""
        return max(time.monotonic() - self._measured - LAG_TICK, 0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        reported = False
        while True:
            self._measured = time.monotonic()
            if self.ticked >= self._scheduled:
                self._scheduled = time.monotonic()
                with contextlib.suppress(RuntimeError):
                    self._work_loop.call_soon_threadsafe(self._tick)
            await asyncio.sleep(LAG_TICK)
            lag = 0.0 if self.ticked >= self._scheduled else self.lag_s
            if lag > self._limit and not reported:
                self._bus.emit(LoopBlocked(lag, tuple(self._running())))
            reported = lag > self._limit

    def _tick(self) -> None:
        self.ticked = time.monotonic()
