"""Performs one run: calls its consumer, enforces its timeout, and has its outcome decided.

A run has a task of its own, so that a consumer can neither leave context variables behind for the next job nor be
cancelled after it has ended. Writing the outcome is not a part of that task.
"""

from __future__ import annotations

import asyncio
import time

from auth_worker.core.decisions import decide_cancelled, decide_raised, decide_result
from auth_worker.core.outcome import Cause, Outcome
from auth_worker.core.run import Execute, Phase, Run, current_run

GRACE = 5.0
"""How long (s) a cancelled consumer may clean up before it is cancelled again."""


async def perform(run: Run, execute: Execute, *, timeout: float | None, max_result_bytes: int) -> Outcome:
    """Run the consumer to its end, whatever it raises, and decide the outcome. ``timeout`` in s. Never raises."""
    current_run.set(run)
    run.started = time.perf_counter()
    deadline = Deadline(run, timeout) if timeout is not None else None
    try:
        if run.cause is not None:
            raise asyncio.CancelledError
        run.phase = Phase.RUNNING
        value = await execute(run.job)
    except BaseException as error:  # also CancelledError, SystemExit and KeyboardInterrupt: a job cannot stop us
        outcome, run.error = decide_raised(run, error)
    else:
        outcome = decide_result(value, max_result_bytes)
        if run.cause is not None:
            outcome, run.error = decide_cancelled(run, outcome)
    finally:
        run.stopped = time.perf_counter()
        if run.phase is not Phase.SETTLING:  # its job was handed back without it
            run.phase = Phase.ENDED
        if deadline is not None:
            deadline.close()
    return outcome


class Deadline:
    """The ``RunTimer`` of a run: cancels it after ``timeout`` s, again after each grace period if need be."""

    def __init__(self, run: Run, timeout: float) -> None:
        self._run = run
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._outer, run.timer = run.timer, self
        """The run's timer before, of a limit around this one; it counts on, and is the run's again afterwards."""
        self._start()

    def pause(self) -> None:
        """As in ``RunTimer``."""
        self._timer.cancel()
        if self._outer is not None:
            self._outer.pause()

    def restart(self) -> None:
        """As in ``RunTimer``."""
        if self._outer is not None:
            self._outer.restart()
        self._start()

    def _start(self) -> None:
        self._run.job.deadline = time.monotonic() + self._timeout
        self._timer = self._loop.call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        self._timer = self._loop.call_later(GRACE, self._expire)
        if self._run.cause is None:
            self._run.cancel(Cause.TIMEOUT)
        elif self._run.task is not None:
            self._run.task.cancel()

    def close(self) -> None:
        """Stop the timer, since the run has ended."""
        self._timer.cancel()
        self._run.timer = self._outer
