"""Decides what becomes of a job: pure functions that choose its ``Outcome``.

Whether a job completes, is retried, fails or moves is decided here and nowhere else. The functions have no side
effects, so each decision can be tested without Redis.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from auth_worker.core.backoff import LONGEST_DELAY, NO_RETRY, backoff_ms
from auth_worker.core.error_text import MAX_TRACE, MOST_MEMBERS, error_text, error_trace
from auth_worker.core.exception_groups import deciding_error, ends_for_good, flattened
from auth_worker.core.json_codec import encode_json
from auth_worker.core.outcome import (
    AwaitChildren,
    Cause,
    Complete,
    Drop,
    Fail,
    HandBack,
    Lost,
    Outcome,
    Postpone,
    ReasonClass,
    Refusal,
    Retry,
    Throttle,
)
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Phase, Run
from auth_worker.core.validation_errors import is_about
from auth_worker.errors import (
    JOB_CANCELLED,
    Delay,
    JobCancelledError,
    JobTimeoutError,
    RateLimited,
    WaitForChildren,
    WorkerCrashedError,
)
from auth_worker.job import Job


def decide_result(value: Any, max_bytes: int) -> Outcome:
    """Decide after the consumer returned ``value``: the job completes, or fails for good if that is not JSON.

    Its side effects have happened, so a result that cannot be stored must not run the job again.
    """
    try:
        text = encode_json(value)
    except Exception as error:  # a mapping of the consumer may raise anything while it is read
        reason = f"the consumer's return value is not JSON: {error_text(error)}"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    if len(text) > max_bytes:
        reason = (
            f"the consumer's return value has {len(text):,} bytes, more than the limit of {max_bytes:,} "
            "(setting max_result_bytes)"
        )
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    return Complete(text)


def decide_error(error: BaseException, job: Job, options: JobPolicy, cause: Cause | None = None) -> Outcome:
    """Decide after the consumer raised ``error``. ``cause`` is why the run was cancelled, if it was.

    Of an exception group, one member decides: see ``exception_groups``.
    """
    try:
        return _decide_error(error, job, options, cause)
    except Exception as bad:
        reason = f"the consumer raised {type(error).__name__}, which cannot be read ({type(bad).__name__})"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)


def decide_raised(run: Run, error: BaseException) -> tuple[Outcome, BaseException]:
    """Decide about a run whose consumer raised ``error``. Also returns the error to report."""
    error = error_to_report(error, run.cause, run.reason)
    return decide_error(error, run.job, run.policy, run.cause), deciding_error(error, run.job.data)


def decide_cancelled(run: Run, outcome: Outcome) -> tuple[Outcome, BaseException | None]:
    """Decide about a run that was cancelled, but whose consumer returned a result that gave ``outcome``.

    The result does not count after the timeout or a request to cancel the job, and is not written after a lost
    lease. It counts during a shutdown. Also returns the error to report, if there is one.
    """
    match run.cause:
        case Cause.LEASE_LOST:
            return Lost(), None
        case Cause.TIMEOUT | Cause.CANCELLED if isinstance(outcome, Complete):
            return decide_raised(run, asyncio.CancelledError())
    return outcome, None


def _decide_error(error: BaseException, job: Job, options: JobPolicy, cause: Cause | None) -> Outcome:
    match cause:
        case Cause.LEASE_LOST:
            return Lost()
        case Cause.SHUTDOWN:
            return HandBack()
        case Cause.TIMEOUT | Cause.CANCELLED:
            error = error_to_report(error, cause)
    raised, error = error, deciding_error(error, job.data)
    match error:
        case Delay():
            return _steered(error.seconds, Postpone)
        case RateLimited():
            return _steered(error.seconds, Throttle)
        case WaitForChildren():
            return AwaitChildren()
    reason, trace = error_text(error, job.data, own_words=True), _trace_of(raised, error, job.data)
    if is_about(error, job.data):
        return Fail(reason, ReasonClass.INVALID_PAYLOAD, trace)
    if isinstance(error, JobCancelledError) and cause is not Cause.CANCELLED:
        return Fail(f"another {reason}", ReasonClass.UNRECOVERABLE, trace)  # one whose result it awaited
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


def error_to_report(error: BaseException, cause: Cause | None, reason: str = "") -> BaseException:
    """Return the error to report of a run that raised ``error``.

    If it was cancelled for its timeout, or on request for ``reason``, that counts, whatever it raised then.
    """
    if cause is Cause.CANCELLED and not isinstance(error, JobCancelledError):
        return JobCancelledError(reason).with_traceback(error.__traceback__)
    if cause is not Cause.TIMEOUT or isinstance(error, JobTimeoutError):
        return error
    timeout = JobTimeoutError("the job exceeded its timeout and was cancelled")
    return timeout.with_traceback(error.__traceback__)


def decide_unreadable(reason: str, *, is_orphan: bool) -> Outcome:
    """Decide about a job that cannot be decoded, for ``reason``. An orphan is an id without a job."""
    if is_orphan:
        return Drop("the job's data is gone from Redis")
    return Fail(reason, ReasonClass.INVALID_PAYLOAD, reason)


def decide_deferred_failure(reason: str) -> Fail:
    """Decide about a job that must fail for ``reason`` without another run.

    It stalled too often, was cancelled, or has a failed child.
    """
    return Fail(reason, class_of_failure(reason), reason)


def class_of_failure(reason: str, *, exhausted: bool = False) -> ReasonClass:
    """Return the class of a failure of which only the ``reason`` is stored, such as another worker's.

    ``exhausted``: whether the job has used up its attempts.
    """
    if reason.startswith("job stalled"):
        return ReasonClass.STALLED
    if reason.startswith(JOB_CANCELLED):
        return ReasonClass.CANCELLED
    return ReasonClass.EXHAUSTED if exhausted else ReasonClass.UNRECOVERABLE


def decide_not_begun(cause: Cause | None, reason: str = "") -> Outcome:
    """Decide about a run that was cancelled for ``cause`` before its consumer was called: it costs no attempt.

    ``reason`` is why it was cancelled on request, if it was.
    """
    if cause is Cause.CANCELLED:
        return decide_deferred_failure(str(JobCancelledError(reason)))
    return Lost() if cause is Cause.LEASE_LOST else HandBack(begun=False)


def decide_abandoned(run: Run) -> HandBack:
    """Decide about a run that has not ended by the deadline of a shutdown."""
    return HandBack(begun=run.phase is Phase.RUNNING)


def why_not_begin(cause: Cause | None, *, lease_holds: bool, paused: bool) -> Cause | None:
    """Return why an iteration of a job scheduler does not start after the next one was created; None if it does.

    ``cause`` is why the run was cancelled meanwhile, if it was. A timeout applies only to a consumer that has
    started.
    """
    if cause is not None:
        return Cause.SHUTDOWN if cause is Cause.TIMEOUT else cause
    if not lease_holds:
        return Cause.LEASE_LOST
    return Cause.SHUTDOWN if paused else None


def decide_refused(outcome: Outcome, refusal: Refusal, job: Job, policy: JobPolicy) -> Outcome | None:
    """Decide about a job whose ``outcome`` was refused. Returns None if nothing else may be written.

    Source: finished-errors.ts.
    """
    match refusal, outcome:
        case Refusal.CHILDREN_FAILED, Complete() | AwaitChildren():
            reason = f"Cannot complete job {job.id} because it has at least one failed child"
            return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
        case Refusal.CHILDREN_PENDING, Complete():
            return decide_error(RuntimeError(f"Job {job.id} has pending dependencies"), job, policy)
        case Refusal.NO_CHILDREN_LEFT, AwaitChildren():
            return HandBack()
    return None


def decide_unwritable(error: Exception) -> Fail:
    """Decide about a job whose outcome cannot be written for ``error``: its side effects have happened."""
    reason = f"the outcome cannot be written: {type(error).__name__}: {error_text(error)}"
    return Fail(reason, ReasonClass.UNRECOVERABLE, reason)


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
    least = 1 if kind is Throttle else 0  # Redis refuses a duration of 0
    return kind(min(max(milliseconds, least), LONGEST_DELAY))


def _trace_of(raised: BaseException, error: BaseException, data: Any) -> str:
    """Format the stack trace of the group ``raised``, or of its member ``error`` if the whole is too long."""
    if raised is not error and len(flattened(raised)) <= MOST_MEMBERS:
        text = error_trace(raised, data, MAX_TRACE + 1)
        if len(text) <= MAX_TRACE:
            return text
    return error_trace(error, data)
