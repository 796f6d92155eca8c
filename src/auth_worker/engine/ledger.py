"""Counts how each run ended, and reports it as an event."""

from __future__ import annotations

import asyncio
from typing import Any

from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.outcome import (
    AwaitChildren,
    Complete,
    Drop,
    Fail,
    HandBack,
    Lost,
    Outcome,
    Postpone,
    Retry,
    Throttle,
    name_of,
)
from auth_worker.core.report import Metrics
from auth_worker.core.run import Run
from auth_worker.engine.registry import Registry
from auth_worker.events import EventBus, JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost


class Tally:
    """The counters behind ``Metrics``. Only the work loop writes them."""

    __slots__ = (
        "completed",
        "dead_lettered",
        "delayed",
        "failed",
        "handed_back",
        "interrupted",
        "leases_lost",
        "retried",
        "total_ms",
    )

    def __init__(self) -> None:
        self.completed = self.failed = self.retried = self.delayed = 0
        self.handed_back = self.interrupted = self.leases_lost = self.dead_lettered = 0
        self.total_ms = 0.0

    @property
    def unfinished(self) -> int:
        """How many runs ended before their job did: they were interrupted to hand it back, or lost its lease."""
        return self.interrupted + self.leases_lost

    def metrics(self, active: int) -> Metrics:
        """Return the counters as they are now. ``active`` is the number of running jobs."""
        processed = self.completed + self.failed
        return Metrics(
            processed=processed,
            completed=self.completed,
            failed=self.failed,
            active=active,
            average_processing_time=round(self.total_ms / processed, 3) if processed else 0,
            success_rate=round(100 * self.completed / processed, 2) if processed else 0,
            failure_rate=round(100 * self.failed / processed, 2) if processed else 0,
            retried=self.retried,
            delayed=self.delayed,
            handed_back=self.handed_back,
            leases_lost=self.leases_lost,
            dead_lettered=self.dead_lettered,
        )


class Ledger:
    """Counts and reports the runs of one queue when they end. A reported run leaves the ``registry``."""

    def __init__(self, registry: Registry, bus: EventBus) -> None:
        self._registry = registry
        self._bus = bus
        self._ended: list[tuple[Run, Outcome, DeadLetter | None]] = []
        self.tally = Tally()

    def settled(self, run: Run, outcome: Outcome, dead_letter: DeadLetter | None) -> None:
        """Count and report ``run``, whose outcome is written, two iterations of the event loop later.

        In the next iteration the job that came with the reply runs, and at its end the next command is written.
        The broker waits for that, so nothing else comes before it: that is worth a tenth of the jobs per second at
        concurrencies of 1 and 10.
        """
        self._ended.append((run, outcome, dead_letter))
        if len(self._ended) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._report)

    def lost(self, run: Run) -> None:
        """Count and report ``run``, whose outcome was not written since its lease is lost."""
        self.settled(run, Lost(), None)

    def _report(self) -> None:
        ended, self._ended = self._ended, []
        for run, outcome, dead_letter in ended:
            event = count(self.tally, run, outcome, dead_letter)
            self._registry.leave(run)
            self._bus.emit(event)


def count(tally: Tally, run: Run, outcome: Outcome, dead_letter: DeadLetter | None) -> Any:
    """Count in ``tally`` how ``run`` ended, and return the event that reports it."""
    job = run.job
    took = run.duration_ms
    match outcome:
        case Complete():
            tally.completed += 1
            tally.total_ms += took
            return JobCompleted(job.queue_name, job.id, job.name, job.attempt, took, run.wait_ms, run.trace_id)
        case Retry(delay_ms, reason, trace):
            tally.retried += 1
            return JobRetried(*_about(run), run.wait_ms, delay_ms, reason, run.trace_id, run.error, trace)
        case Fail(reason, reason_class, trace):
            tally.failed += 1
            tally.total_ms += took
            tally.dead_lettered += dead_letter is not None
            dead_letter_id = dead_letter.id if dead_letter else ""
            return JobFailed(
                *_about(run), run.wait_ms, reason, reason_class, dead_letter_id, run.trace_id, run.error, trace
            )
        case Lost():
            tally.leases_lost += 1
            return LeaseLost(*_about(run), run.trace_id)
    if isinstance(outcome, HandBack):
        tally.handed_back += 1
        tally.interrupted += outcome.begun
    tally.delayed += isinstance(outcome, Postpone | Throttle)
    return JobMoved(*_about(run), name_of(outcome), _detail(outcome), run.trace_id)


def _about(run: Run) -> tuple[str, str, str, int, float]:
    job = run.job
    return job.queue_name, job.id, job.name, job.attempt, run.duration_ms


def _detail(outcome: Postpone | Throttle | AwaitChildren | HandBack | Drop) -> str:
    match outcome:
        case Postpone(delay_ms):
            return f"for {delay_ms} ms"
        case Throttle(duration_ms):
            return f"the queue is paused for {duration_ms} ms"
        case AwaitChildren():
            return ""
        case HandBack():
            return "handed back"
        case Drop(reason):
            return reason
