"""How a run ends: a value for every way, and the pure functions that choose one.

``decide_result`` and ``decide_error`` read a job and what its consumer did, and say what is to be written. They
touch nothing, so that a job's fate can be tested without Redis.
"""

from __future__ import annotations

import json
import math
import random
import traceback
from enum import StrEnum
from typing import Any, NamedTuple

from auth_worker.errors import (
    ConfigurationError,
    Delay,
    JobTimeoutError,
    RateLimited,
    UnrecoverableError,
    WaitForChildren,
    WorkerCrashedError,
)
from auth_worker.job import Job
from auth_worker.options import JobOptions

MAX_REASON = 8_192
MAX_TRACE = 32_768
LONGEST_DELAY = 365 * 86_400_000
CALM_AFTER, CALM_DELAY = 10, 1000
"""After so many attempts, wait at least so many ms: a hot loop of retries helps nobody."""


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
    """Done; ``value`` is the return value as JSON text."""

    value: str


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
        reason = f"the consumer's return value is not JSON: {_reason_of(error)}"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    if len(text) > max_bytes:
        reason = (
            f"the consumer's return value has {len(text):,} bytes, more than the limit of {max_bytes:,} "
            "(setting max_result_bytes)"
        )
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    return Complete(text)


def decide_error(error: BaseException, job: Job, options: JobOptions, cause: Cause | None = None) -> Outcome:
    """The consumer raised ``error``; ``cause`` says why we had cancelled it, if we had."""
    try:
        return _decide_error(error, job, options, cause)
    except Exception as bad:
        reason = f"the consumer raised {type(error).__name__}, which cannot be read: {bad!r}"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)


def _decide_error(error: BaseException, job: Job, options: JobOptions, cause: Cause | None) -> Outcome:
    match cause:
        case Cause.LEASE_LOST:
            return Lost()
        case Cause.SHUTDOWN:
            return HandBack()
        case Cause.TIMEOUT:
            error = blame(error, cause)
    match error:
        case Delay():
            return _steered(error.seconds, Postpone)
        case RateLimited():
            return _steered(error.seconds, Throttle)
        case WaitForChildren():
            return AwaitChildren()
    reason, trace = _reason_of(error), _trace_of(error)
    if isinstance(error, UnrecoverableError):
        return Fail(reason, error.reason_class, trace)
    if isinstance(error, ConfigurationError):
        return Fail(reason, ReasonClass.UNRECOVERABLE, trace)
    if job.attempt >= options.attempts:
        crashed = isinstance(error, WorkerCrashedError)
        return Fail(reason, ReasonClass.CRASHED_WORKER if crashed else ReasonClass.EXHAUSTED, trace)
    try:
        return Retry(backoff_ms(options.backoff, job.attempt), reason, trace)
    except ValueError as bad:
        return Fail(f"{reason} (not retried: {bad})", ReasonClass.UNRECOVERABLE, trace)


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


def backoff_ms(backoff: Any, attempt: int) -> int:
    """How long to wait after the failed ``attempt`` (1-based), in ms.

    As BullMQ's ``Backoffs``: a number is a fixed delay; jitter 0..1 spreads the delay down to (1 - jitter) of
    it. Raises ``ValueError`` for what is no backoff.
    """
    if backoff is None or backoff is False or backoff == 0:
        return _calm(0, attempt)
    if isinstance(backoff, int | float) and not isinstance(backoff, bool):
        backoff = {"type": "fixed", "delay": backoff}
    if not isinstance(backoff, dict):
        raise ValueError(f"backoff is a {type(backoff).__name__}, not a number or an object")
    kind = backoff.get("type", "fixed")
    delay = _finite(backoff.get("delay", 0), "backoff.delay")
    jitter = _finite(backoff.get("jitter", 0) or 0, "backoff.jitter")
    if jitter > 1:
        raise ValueError("backoff.jitter is above 1")
    if kind == "exponential":
        delay = min(delay * 2.0 ** min(attempt - 1, 60), LONGEST_DELAY)
    elif kind != "fixed":
        raise ValueError(f"backoff.type {str(kind)[:40]!r} is not fixed or exponential")
    if jitter:
        delay = random.uniform(delay * (1 - jitter), delay)  # noqa: S311 - spreads load, guards nothing
    return _calm(min(round(delay), LONGEST_DELAY), attempt)


def encode_json(value: Any) -> str:
    """``value`` as JSON text. Raises ``TypeError``, ``ValueError`` or ``RecursionError`` for what is not JSON."""
    return "null" if value is None else _encode(value)


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _calm(delay: int, attempt: int) -> int:
    return max(delay, CALM_DELAY) if attempt >= CALM_AFTER else delay


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
        reason = f"the consumer asked for a delay of {seconds!r} seconds: not a number >= 0"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    least = 1 if kind is Throttle else 0  # Redis refuses a rest of no time
    return kind(min(max(milliseconds, least), LONGEST_DELAY))


def _reason_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be read)"
    return (text or type(error).__name__)[:MAX_REASON]


def _trace_of(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        text = f"{type(error).__name__} (its traceback cannot be read)"
    return text[-MAX_TRACE:]
