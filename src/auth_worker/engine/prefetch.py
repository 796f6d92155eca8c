"""Fetches the next jobs of a queue before its processes are free, while its jobs are short.

A process that waits for a reply of the broker after each job of 10 ms stands still for a fifth of the time. So
one more job is fetched for each process, and waits here, leased, for whichever is free first. It has not started:
it can be cancelled, costs no attempt, its timeout has not begun, and it goes back to the queue with all that waits
when the worker is paused or stopped. It goes back as well when it has waited for long, since another worker may be
free.
"""

from __future__ import annotations

import asyncio

from auth_worker.core.outcome import Cause, Outcome, Throttle
from auth_worker.core.run import Run
from auth_worker.engine.fetcher import Fetcher
from auth_worker.engine.waiting_runs import WaitingRuns

SHORT_MS = 50.0
"""Jobs are fetched ahead while those before them took less than this, in ms: the fetch takes 1 to 5."""
LONGEST_WAIT_S = 0.25
"""After this time (s) a job goes back to the queue. Nothing is fetched ahead until jobs are short again."""
WEIGHT = 1 / 8
"""How much each job counts in the average of those before."""


class Prefetch:
    """The runs of one queue that wait for one of ``concurrency`` places. Belongs to the work loop."""

    def __init__(self, fetcher: Fetcher, waiting: WaitingRuns, concurrency: int) -> None:
        self._fetcher = fetcher
        self._waiting = waiting
        self._concurrency = concurrency
        self._taken = 0
        self._since: dict[Run, float] = {}
        """From when on (loop time) the runs wait, in order. Some may have been withdrawn meanwhile."""
        self._average_ms = SHORT_MS
        self._lent = 0
        """How many slots the fetcher has beside one for each place."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def take_place(self, run: Run) -> bool:
        """Return whether ``run`` may start. Otherwise it waits until ``leave_place`` returns it."""
        if self._taken < self._concurrency:
            self._taken += 1
            return True
        self._waiting.await_process(run)
        self._since[run] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(LONGEST_WAIT_S, self._check)
        return False

    def leave_place(self, run: Run, outcome: Outcome) -> Run | None:
        """Free the place of ``run``, which has ended. Returns the one that has waited longest, if any waits."""
        self._taken -= 1
        if isinstance(outcome, Throttle):  # of the whole queue
            self._hand_back()
            return None
        self._average_ms += WEIGHT * (run.duration_ms - self._average_ms)
        if self._average_ms < SHORT_MS:
            while self._lent < self._concurrency:
                self._lent += 1
                self._fetcher.lend()
        return self._next()

    def _hand_back(self) -> None:
        """Return what waits to the queue, and fetch nothing ahead until the next short job has ended."""
        for _ in range(self._lent):
            self._fetcher.reclaim(owed=True)
        waiting, self._since, self._lent = list(self._since), {}, 0
        for run in waiting:
            self._waiting.withdraw(run, Cause.SHUTDOWN)

    def _next(self) -> Run | None:
        while self._since:
            run = next(iter(self._since))
            del self._since[run]
            if self._waiting.leave_line(run):
                return run
        return None

    def _check(self) -> None:
        """Hand back what waits if the first run has waited for too long."""
        self._timer = None
        if not self._since:
            return
        left = next(iter(self._since.values())) + LONGEST_WAIT_S - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._hand_back()
