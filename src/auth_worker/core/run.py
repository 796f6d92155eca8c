"""A run: one job with its lease, and how far it has come.

Whatever ends a run early calls ``cancel`` with the cause; ``decisions`` says what the cause makes of the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from auth_worker.core.outcome import Cause, Outcome
from auth_worker.job import Job

if TYPE_CHECKING:
    from auth_worker.core.policy import JobPolicy  # a worker process needs no policies, nor what reads settings

Execute = Callable[[Job], Awaitable[Any]]
"""Runs the consumer for a job and gives its result."""
Perform = Callable[..., Awaitable[Outcome]]
"""``engine.perform.perform``, or what wraps it."""


class CurrentRun(Protocol):
    """The run that code of a consumer, and what it logs, belongs to."""

    @property
    def job(self) -> Job:
        """The job that runs."""

    @property
    def trace_id(self) -> str:
        """The trace id of the run's span; empty without telemetry."""

    @property
    def traceparent(self) -> str:
        """The run's span as a ``traceparent`` of W3C's Trace Context; empty without telemetry."""


current_run: contextvars.ContextVar[CurrentRun | None] = contextvars.ContextVar("auth_worker_run", default=None)
"""The run that this code belongs to, also in the thread of a plain ``def`` consumer; None outside of runs."""


def trace_id_of(traceparent: str) -> str:
    """Return the trace id in a ``traceparent``, empty if that is."""
    return traceparent[3:35]


class Phase(enum.Enum):
    """How far a run has come. It only goes on, and may leave one out."""

    FETCHED = enum.auto()
    """Its consumer has not been called. A cancellation is only noted: a task that is cancelled before its first
    step decides nothing."""
    RUNNING = enum.auto()
    """The consumer runs."""
    ENDED = enum.auto()
    """Its outcome is decided. A lease that is lost later makes no difference."""
    SETTLING = enum.auto()
    """Its outcome is sent to the broker. There is never a second one."""


class RunTimer(Protocol):
    """Cancels a run once its consumer has taken too long."""

    def pause(self) -> None:
        """Stop counting: the consumer has not begun."""

    def restart(self) -> None:
        """Count from now on."""


class Run:
    """A job, the lease on it, and how far it has come.

    ``renewed`` is the monotonic time (s) from which the lease counts: when the call was sent that last set or
    renewed the lock. ``stored``, ``wait_ms`` and ``scheduler_id`` are as in ``Fetched``. ``error`` is what the
    consumer raised (of an exception group the member that decides), until the outcome is written: its traceback
    holds the consumer's variables. ``reason`` is why the job is to be cancelled, if somebody asked for that.
    ``traceparent`` names the run's span, empty without telemetry. ``timer`` cancels it at its timeout, if it has
    one.
    """

    __slots__ = (
        "cause",
        "error",
        "job",
        "phase",
        "policy",
        "reason",
        "renewed",
        "scheduler_id",
        "started",
        "stopped",
        "stored",
        "task",
        "timer",
        "token",
        "traceparent",
        "wait_ms",
    )

    def __init__(
        self,
        job: Job,
        policy: JobPolicy,
        stored: Any,
        token: str,
        renewed: float,
        wait_ms: float = 0.0,
        scheduler_id: str = "",
    ) -> None:
        self.job = job
        self.policy = policy
        self.stored = stored
        self.token = token
        self.renewed = renewed
        self.wait_ms = wait_ms
        self.scheduler_id = scheduler_id
        self.phase = Phase.FETCHED
        self.started = time.perf_counter()
        self.stopped = 0.0
        self.cause: Cause | None = None
        self.reason = ""
        self.error: BaseException | None = None
        self.traceparent = ""
        self.timer: RunTimer | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def trace_id(self) -> str:
        """As in ``CurrentRun``."""
        return trace_id_of(self.traceparent)

    @property
    def duration_ms(self) -> float:
        """How long the consumer took, in ms; until now while it runs."""
        return ((self.stopped or time.perf_counter()) - self.started) * 1000

    @property
    def is_decided(self) -> bool:
        """Whether its outcome is decided, so that nothing can cancel it any more."""
        return self.phase in (Phase.ENDED, Phase.SETTLING)

    @contextlib.contextmanager
    def getting_ready(self) -> Iterator[None]:
        """Exclude the time of this block from the timeout and the duration of the run."""
        if self.timer is not None:
            self.timer.pause()
        try:
            yield
        finally:
            self.started = time.perf_counter()
            if self.timer is not None:
                self.timer.restart()

    def cancel(self, cause: Cause, reason: str = "") -> None:
        """Ask the consumer to stop, once for each cause, so that it is not disturbed while it cleans up.

        The first cause counts, unless a request to cancel the job or a lost lease follows: a request outweighs a
        timeout and a shutdown, a lost lease outweighs all. Does nothing once the outcome is decided.
        """
        if self.is_decided or self.cause in (cause, Cause.LEASE_LOST):
            return
        if self.cause is None or cause in (Cause.LEASE_LOST, Cause.CANCELLED):
            self.cause, self.reason = cause, reason
        self.job.cancelled.set()
        if self.task is not None and self.phase is Phase.RUNNING:
            self.task.cancel()
