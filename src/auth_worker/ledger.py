"""The ledger: counts how each run ended, and makes the event that reports it."""

from __future__ import annotations

from typing import Any

from auth_worker.dead_letter import Letter
from auth_worker.events import JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost
from auth_worker.outcome import (
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
)
from auth_worker.report import Tally
from auth_worker.run import Run


def count(tally: Tally, run: Run, outcome: Outcome, letter: Letter | None) -> Any:
    """Count in ``tally`` how ``run`` ended; gives the event that reports it."""
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
            tally.dead_lettered += letter is not None
            dead_letter_id = letter.id if letter else ""
            return JobFailed(
                *_about(run), run.wait_ms, reason, reason_class, dead_letter_id, run.trace_id, run.error, trace
            )
        case Lost():
            tally.leases_lost += 1
            return LeaseLost(*_about(run), run.trace_id)
    tally.handed_back += isinstance(outcome, HandBack)
    tally.delayed += isinstance(outcome, Postpone | Throttle)
    return JobMoved(*_about(run), *_destination(outcome), run.trace_id)


def _about(run: Run) -> tuple[str, str, str, int, float]:
    job = run.job
    return job.queue_name, job.id, job.name, job.attempt, run.duration_ms


def _destination(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Postpone(delay_ms):
            return "delayed", f"for {delay_ms} ms"
        case Throttle(duration_ms):
            return "rate-limited", f"queue rests {duration_ms} ms"
        case AwaitChildren():
            return "waiting-children", ""
        case Drop(reason):
            return "dropped", reason
    return "waiting", "handed back"
