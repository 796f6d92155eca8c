"""How a run ends: a value for every way, and the pure functions that choose one.

``decide_result`` and ``decide_error`` read a job and what its consumer did, and say what is to be written. They
touch nothing, so that a job's fate can be tested without Redis.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any, NamedTuple

from auth_worker.backoff import LONGEST_DELAY, NO_RETRY, backoff_ms
from auth_worker.error_text import MAX_TRACE, MOST_MEMBERS, error_text, error_trace, reason_text
from auth_worker.errors import (
    Delay,
    JobTimeoutError,
    RateLimited,
    WaitForChildren,
    WorkerCrashedError,
)
from auth_worker.exception_groups import deciding, ends_for_good, flattened
from auth_worker.job import Job
from auth_worker.options import JobOptions
from auth_worker.validation_errors import is_about


class Cause(StrEnum):
    """Why we cancelled a run."""

    TIMEOUT = "timeout"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"


class ReasonClass(StrEnum):
    """Why a job is dead, in a word: the ``reasonClass`` of its letter."""

    EXHAUSTED = "exhausted"
    UNRECOVERABLE = "unrecoverable"
    STALLED = "stalled"
    INVALID_PAYLOAD = "invalid_payload"
    UNKNOWN_JOB_TYPE = "unknown_job_type"
    CRASHED_WORKER = "crashed_worker"
    EXPIRED = "expired"


class Complete(NamedTuple):
    """Done; ``value`` is the return value as JSON."""

    value: bytes


class Retry(NamedTuple):
    """The attempt failed; the next one is in ``delay_ms``."""

    delay_ms: int
    reason: str
    trace: str


class Fail(NamedTuple):
    """Failed for good; dead-lettered where the queue has a dead-letter queue."""

    reason: str
    reason_class: str
    trace: str


class Postpone(NamedTuple):
    """The consumer wants to run again in ``delay_ms``; no attempt counted."""

    delay_ms: int


class Throttle(NamedTuple):
    """Back to the front of the queue, which rests for ``duration_ms``; no attempt counted."""

    duration_ms: int


class AwaitChildren(NamedTuple):
    """Wait until the job's children have finished, then run again; no attempt counted."""


class HandBack(NamedTuple):
    """Back to the front of the queue for another worker; neither attempt nor stall counted."""


class Drop(NamedTuple):
    """An id without a job: nothing to run and nothing to keep."""

    reason: str


class Lost(NamedTuple):
    """The lease is lost: write nothing."""


Outcome = Complete | Retry | Fail | Postpone | Throttle | AwaitChildren | HandBack | Drop | Lost


def decide_result(value: Any, max_bytes: int) -> Outcome:
    """The consumer returned ``value``: complete, or fail for good where it is not JSON.

    Its side effects have happened, so a result that cannot be stored must not run the job again.
    """
    try:
        text = encode_json(value)
    except Exception as error:  # a mapping of the consumer's own may raise anything while it is read
        reason = f"the consumer's return value is not JSON: {error_text(error)}"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    if len(text) > max_bytes:
        reason = (
            f"the consumer's return value has {len(text):,} bytes, more than the limit of {max_bytes:,} "
            "(setting max_result_bytes)"
        )
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    return Complete(text)


def decide_error(error: BaseException, job: Job, options: JobOptions, cause: Cause | None = None) -> Outcome:
    """The consumer raised ``error``; ``cause`` says why we had cancelled it, if we had.

    Of an exception group, one member decides: see ``exception_groups``.
    """
    try:
        return _decide_error(error, job, options, cause)
    except Exception as bad:
        reason = f"the consumer raised {type(error).__name__}, which cannot be read ({type(bad).__name__})"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)


def _decide_error(error: BaseException, job: Job, options: JobOptions, cause: Cause | None) -> Outcome:
    match cause:
        case Cause.LEASE_LOST:
            return Lost()
        case Cause.SHUTDOWN:
            return HandBack()
        case Cause.TIMEOUT:
            error = blame(error, cause)
    raised, error = error, deciding(error, job.data)
    match error:
        case Delay():
            return _steered(error.seconds, Postpone)
        case RateLimited():
            return _steered(error.seconds, Throttle)
        case WaitForChildren():
            return AwaitChildren()
    reason, trace = reason_text(error, job.data), _trace_of(raised, error, job.data)
    if is_about(error, job.data):
        return Fail(reason, ReasonClass.INVALID_PAYLOAD, trace)
    if ends_for_good(error):
        return Fail(reason, getattr(error, "reason_class", ReasonClass.UNRECOVERABLE), trace)
    if job.attempt >= options.attempts:
        crashed = isinstance(error, WorkerCrashedError)
        return Fail(reason, ReasonClass.CRASHED_WORKER if crashed else ReasonClass.EXHAUSTED, trace)
    try:
        delay = backoff_ms(options.backoff, job.attempt)
    except ValueError as bad:
        delay = backoff_ms(options.worker_backoff, job.attempt)
        reason = f"{reason} (retried after the worker's backoff: {bad})"
    if delay == NO_RETRY:
        return Fail(reason, ReasonClass.EXHAUSTED, trace)
    return Retry(delay, reason, trace)


def blame(error: BaseException, cause: Cause | None) -> BaseException:
    """The error to tell of: a run that was cancelled for its time-out failed of that, whatever it raised then."""
    if cause is not Cause.TIMEOUT or isinstance(error, JobTimeoutError):
        return error
    timeout = JobTimeoutError("the job exceeded its time-out and was cancelled")
    return timeout.with_traceback(error.__traceback__)


def decide_stalled(reason: str) -> Fail:
    """The job was condemned before this run: dead workers had it too often, or a child of it has failed.

    Source: field ``defa`` of moveStalledJobsToWait-9.lua, and of moveToFinished-14.lua (failParentOnFailure).
    """
    stalled = reason.startswith("job stalled")
    return Fail(reason, ReasonClass.STALLED if stalled else ReasonClass.UNRECOVERABLE, reason)


def encode_json(value: Any) -> bytes:
    """``value`` as JSON in UTF-8, lone surrogates escaped, as JavaScript's ``JSON.stringify`` writes it.

    Raises ``TypeError``, ``ValueError`` or ``RecursionError`` for what is not JSON.
    """
    return b"null" if value is None else _encode(value).encode(errors="backslashreplace")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


def _finite(value: Any, field: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{field} is not a number >= 0")
    return number


def _steered(seconds: Any, kind: type[Postpone] | type[Throttle]) -> Outcome:
    try:
        milliseconds = round(_finite(seconds, "seconds") * 1000)
    except ValueError:
        given = seconds if isinstance(seconds, int | float) else f"a {type(seconds).__name__}"
        reason = f"the consumer asked for a delay of {given} seconds: not a number >= 0"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    least = 1 if kind is Throttle else 0  # Redis refuses a rest of no time
    return kind(min(max(milliseconds, least), LONGEST_DELAY))


def _trace_of(raised: BaseException, error: BaseException, data: Any) -> str:
    """The stack trace of ``raised``, a group; of its member ``error`` alone where all of it cannot be shown."""
    if raised is not error and len(flattened(raised)) <= MOST_MEMBERS:
        text = error_trace(raised, data, MAX_TRACE + 1)
        if len(text) <= MAX_TRACE:
            return text
    return error_trace(error, data)
