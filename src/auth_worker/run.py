"""One run of one job: its consumer is called, and what it did is decided. Nothing here touches Redis.

A run has a task of its own, so that a consumer can neither leave context variables behind for the next job nor
be cancelled after it has ended; what is written afterwards is no part of that task. Whoever wants a run to end
calls ``cancel`` with the cause, once; what the cause makes of the job is decided here, on one screen.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import Any

from auth_worker.exception_groups import deciding
from auth_worker.job import Job
from auth_worker.options import JobOptions
from auth_worker.outcome import Cause, Complete, Lost, Outcome, blame, decide_error, decide_result
from auth_worker.payload import RawJob, earlier_traces, waited_ms

GRACE = 5.0
"""How long (s) a cancelled consumer may clean up before it is cancelled again."""
Execute = Callable[[Job], Awaitable[Any]]
Perform = Callable[..., Awaitable[Outcome]]
"""``perform``, or what wraps it."""
current_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("auth_worker_run", default=None)
"""The run that this code belongs to, also in the thread of a plain ``def`` consumer; None outside of runs."""


class Run:
    """A job, the lease on it, and how far it has come.

    ``renewed`` is the monotonic time (s) from which the lease counts: when the command was sent that last set or
    renewed the lock. ``began`` turns true when the consumer is called: before, a cancellation is only noted, since
    a task that is cancelled before its first step decides nothing. ``ended`` turns true with the decision; a lease
    lost after that is no matter. ``settling`` turns true when an outcome is on its way to Redis; there is never a
    second one. ``error`` is what the consumer raised (of an exception group the member that decides), until the
    outcome is written: its traceback holds the consumer's variables. ``trace_id`` is that of the run's span, empty
    without telemetry.
    """

    __slots__ = (
        "began",
        "cause",
        "ended",
        "error",
        "job",
        "options",
        "raw",
        "renewed",
        "settling",
        "started",
        "stopped",
        "task",
        "token",
        "trace_id",
    )

    def __init__(self, job: Job, options: JobOptions, raw: RawJob, token: str, renewed: float) -> None:
        self.job = job
        self.options = options
        self.raw = raw
        self.token = token
        self.renewed = renewed
        self.started = time.perf_counter()
        self.stopped = 0.0
        self.cause: Cause | None = None
        self.error: BaseException | None = None
        self.trace_id = ""
        self.task: asyncio.Task[None] | None = None
        self.began = False
        self.ended = False
        self.settling = False

    @property
    def traces(self) -> list[str]:
        """The stack traces of earlier attempts."""
        return earlier_traces(self.raw)

    @property
    def wait_ms(self) -> float:
        """How long the job stood ready before its first run, in ms; 0 for a retry."""
        return waited_ms(self.raw)

    @property
    def duration_ms(self) -> float:
        """How long the consumer took, in ms; until now while it runs."""
        return ((self.stopped or time.perf_counter()) - self.started) * 1000

    def cancel(self, cause: Cause) -> None:
        """Ask the consumer to stop, once for each cause, so that it is not disturbed while it cleans up.

        The first cause decides what becomes of the job, but a lost lease outweighs every other one. After the end
        nothing happens.
        """
        if self.ended or self.cause in (cause, Cause.LEASE_LOST):
            return
        if self.cause is None or cause is Cause.LEASE_LOST:
            self.cause = cause
        self.job.cancelled.set()
        if self.task is not None and self.began:
            self.task.cancel()


async def perform(run: Run, execute: Execute, *, timeout: float | None, max_result_bytes: int) -> Outcome:
    """Run the consumer to its end, whatever it raises, and decide. ``timeout`` in s. Never raises."""
    current_run.set(run)
    run.started = time.perf_counter()
    deadline = _Deadline(run, timeout) if timeout is not None else None
    try:
        if run.cause is not None:
            raise asyncio.CancelledError
        run.began = True
        value = await execute(run.job)
    except BaseException as error:  # also CancelledError, SystemExit and KeyboardInterrupt: a job cannot stop us
        error = blame(error, run.cause)
        outcome = decide_error(error, run.job, run.options, run.cause)
        run.error = deciding(error, run.job.data)
    else:
        outcome = decide_result(value, max_result_bytes)
        if run.cause is Cause.TIMEOUT and isinstance(outcome, Complete):
            run.error = blame(TimeoutError(), run.cause)
            outcome = decide_error(run.error, run.job, run.options, run.cause)
    finally:
        run.stopped = time.perf_counter()
        run.ended = True
        if deadline is not None:
            deadline.close()
    return Lost() if run.cause is Cause.LEASE_LOST else outcome


class _Deadline:
    """Cancels a run that takes too long, and again after each grace if its consumer goes on all the same."""

    def __init__(self, run: Run, timeout: float) -> None:
        run.job.deadline = time.monotonic() + timeout
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(timeout, self._pass)

    def _pass(self) -> None:
        self._timer = self._loop.call_later(GRACE, self._pass)
        if self._run.cause is None:
            self._run.cancel(Cause.TIMEOUT)
        elif self._run.task is not None:
            self._run.task.cancel()

    def close(self) -> None:
        """The run has ended."""
        self._timer.cancel()
