"""How a run's end is decided."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.config import WorkerConfig
from auth_worker.core.backoff import LONGEST_DELAY, backoff_ms
from auth_worker.core.decisions import decide_error, decide_result
from auth_worker.core.error_text import MAX_REASON, MAX_TRACE
from auth_worker.core.outcome import (
    AwaitChildren,
    Cause,
    Complete,
    Fail,
    HandBack,
    Lost,
    Postpone,
    ReasonClass,
    Retry,
    Throttle,
)
from auth_worker.errors import (
    ConfigurationError,
    Delay,
    EmailDispatchError,
    InvalidJobDataError,
    RateLimited,
    UnknownJobTypeError,
    UnrecoverableError,
    WaitForChildren,
    WorkerCrashedError,
)
from support.factories import PATIENT, a_job, some_options

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
errors = st.sampled_from(
    [
        ValueError,
        KeyError,
        OSError,
        asyncio.CancelledError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        StopIteration,
    ]
)


class Unreadable(dict[str, Any]):
    """A mapping that fails while it is read, as one that loads lazily may."""

    def items(self) -> Any:
        raise LookupError("the session is closed")


class MuteError(Exception):
    """An error whose own message raises."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


def raised(error: BaseException) -> BaseException:
    """Return ``error`` with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def decide(error: BaseException, *, attempt: int = 1, cause: Cause | None = None, **given: Any) -> Any:
    return decide_error(raised(error), a_job(attempt=attempt), some_options(given), cause)


@given(value=json_values)
def test_a_json_result_completes_and_is_stored_as_it_was(value: Any) -> None:
    outcome = decide_result(value, PATIENT)
    assert isinstance(outcome, Complete)
    assert json.loads(outcome.value) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [1, {"x": math.inf}],
        datetime.now(UTC),
        b"bytes",
        {1, 2},
        object(),
        {(1, 2): 3},
        Unreadable(a=1),
    ],
    ids=["nan", "infinity", "datetime", "bytes", "set", "object", "tuple key", "raises while read"],
)
def test_a_result_that_is_not_json_fails_for_good_with_a_reason(value: Any) -> None:
    outcome = decide_result(value, PATIENT)
    assert isinstance(outcome, Fail)
    assert outcome.reason_class == ReasonClass.UNRECOVERABLE
    assert outcome.reason.startswith("the consumer's return value is not JSON: ")


def test_a_result_that_contains_itself_fails_for_good() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        assert isinstance(decide_result(value, PATIENT), Fail)


@given(size=st.integers(0, 200))
def test_a_result_is_stored_up_to_its_limit_and_not_beyond(size: int) -> None:
    outcome = decide_result("x" * size, max_bytes=100)
    assert isinstance(outcome, Complete) == (size + 2 <= 100)
    if isinstance(outcome, Fail):
        assert "max_result_bytes" in outcome.reason


@given(kind=errors, attempts=st.integers(1, 100), attempt=st.integers(1, 200))
def test_any_error_is_retried_until_the_attempts_are_used_up(
    kind: type[BaseException], attempts: int, attempt: int
) -> None:
    outcome = decide(kind("boom"), attempt=attempt, attempts=attempts)
    if attempt < attempts:
        assert isinstance(outcome, Retry)
    else:
        assert isinstance(outcome, Fail)
        assert outcome.reason_class == ReasonClass.EXHAUSTED
    assert "boom" in outcome.reason
    assert kind.__name__ in outcome.trace


@pytest.mark.parametrize(
    ("error", "reason_class"),
    [
        (UnrecoverableError("no"), "unrecoverable"),
        (UnknownJobTypeError("no"), "unknown_job_type"),
        (InvalidJobDataError("no", [{"field": "email", "message": "is required"}]), "invalid_payload"),
        (ConfigurationError("no"), "unrecoverable"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_that_a_retry_cannot_help_fails_at_once(error: Exception, reason_class: str) -> None:
    outcome = decide(error, attempts=99)
    assert isinstance(outcome, Fail)
    assert outcome.reason_class == reason_class
    assert outcome.reason == str(error)


def test_a_mail_that_was_not_sent_is_retried() -> None:
    outcome = decide(EmailDispatchError("no route", OSError("unreachable")), attempts=2)
    assert isinstance(outcome, Retry)
    assert "unreachable" in outcome.trace


@given(seconds=st.floats(0, 1e300) | st.integers(0, 10**400))
@example(seconds=10**400)
def test_a_consumer_can_ask_for_any_delay_up_to_the_longest(seconds: float) -> None:
    for steering, kind in ((Delay(seconds), Postpone), (RateLimited(seconds), Throttle)):
        outcome = decide(steering, attempt=99, attempts=1)
        if isinstance(seconds, int) and seconds > 10**308:
            assert isinstance(outcome, Fail)
        else:
            assert isinstance(outcome, kind)
            least = 1 if kind is Throttle else 0
            assert outcome[0] == min(max(round(seconds * 1000), least), LONGEST_DELAY)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "5", "hunter2", None, True])
def test_an_invalid_delay_fails_for_good(seconds: Any) -> None:
    for steering in (Delay(seconds), RateLimited(seconds)):
        outcome = decide(steering, attempts=5)
        assert isinstance(outcome, Fail)
        assert "not a number >= 0" in outcome.reason
        assert "hunter2" not in outcome.reason + outcome.trace


def test_waiting_for_children_counts_no_attempt() -> None:
    assert decide(WaitForChildren(), attempt=5, attempts=1) == AwaitChildren()


@given(kind=errors)
def test_the_cause_of_a_cancelled_run_outweighs_what_it_raised(kind: type[BaseException]) -> None:
    assert decide(kind("boom"), cause=Cause.LEASE_LOST) == Lost()
    assert decide(kind("boom"), cause=Cause.SHUTDOWN) == HandBack()
    outcome = decide(kind("boom"), cause=Cause.TIMEOUT, attempts=2)
    assert isinstance(outcome, Retry)
    assert "timeout" in outcome.reason
    assert "JobTimeoutError" in outcome.trace


@pytest.mark.parametrize("cause", [Cause.LEASE_LOST, Cause.SHUTDOWN])
def test_even_a_permanent_error_does_not_outweigh_a_lost_lease_or_a_shutdown(cause: Cause) -> None:
    assert not isinstance(decide(UnrecoverableError("no"), cause=cause), Fail)


def test_a_timed_out_job_without_attempts_left_fails() -> None:
    outcome = decide(asyncio.CancelledError(), cause=Cause.TIMEOUT, attempts=1)
    assert isinstance(outcome, Fail)
    assert outcome.reason_class == ReasonClass.EXHAUSTED


@pytest.mark.parametrize("backoff", [{"type": "magic"}, {"delay": "soon"}, "soon", [1], True])
def test_an_invalid_backoff_is_replaced_by_the_workers_and_named(backoff: Any) -> None:
    outcome = decide(ValueError("boom"), attempts=3, backoff=backoff)
    assert isinstance(outcome, Retry)
    assert outcome.delay_ms == backoff_ms(WorkerConfig().backoff.model_dump(), 1)
    assert outcome.reason.startswith("boom (retried after the worker's backoff: backoff")


@pytest.mark.parametrize("backoff", [-1, "-1", {"type": "fixed", "delay": -1}])
def test_a_delay_of_minus_one_means_no_retry(backoff: Any) -> None:
    outcome = decide(ValueError("boom"), attempts=3, backoff=backoff)
    assert isinstance(outcome, Fail)
    assert (outcome.reason, outcome.reason_class) == ("boom", ReasonClass.EXHAUSTED)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MuteError(), "(its message cannot be read)"), (ValueError(), "ValueError"), (KeyError("email"), "'email'")],
    ids=["raises", "empty", "key"],
)
def test_every_error_gives_a_reason(error: Exception, reason: str) -> None:
    outcome = decide(error, attempts=1)
    assert outcome.reason == reason
    assert outcome.trace


def test_an_error_whose_traceback_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> list[str]:
        raise RuntimeError("no trace")

    error = raised(ValueError("boom"))
    monkeypatch.setattr("traceback.extract_tb", broken)
    outcome = decide_error(error, a_job(), some_options({"attempts": 1}))
    assert isinstance(outcome, Fail)
    assert outcome.trace == "ValueError (its traceback cannot be read)"


def test_reason_and_trace_are_bounded_and_the_trace_keeps_its_end() -> None:
    outcome = decide(
        BaseExceptionGroup("end", [raised(ValueError("word " * 40_000)) for _ in range(8)]), attempts=1
    )
    assert len(outcome.reason) == MAX_REASON
    assert len(outcome.trace) <= MAX_TRACE
    assert "word word" in outcome.trace[-1000:]


def test_an_error_that_cannot_be_read_still_ends_its_job() -> None:
    class Broken(Delay):
        def __init__(self) -> None:
            """A delay that lacks its seconds."""

    outcome = decide(Broken())
    assert isinstance(outcome, Fail)
    assert "Broken" in outcome.reason


def test_a_job_that_killed_its_process_until_the_end_is_a_crashed_worker() -> None:
    crash = WorkerCrashedError("the job's process died (exit code -9)")
    assert isinstance(decide(crash, attempts=2), Retry)
    outcome = decide(crash, attempt=2, attempts=2)
    assert isinstance(outcome, Fail)
    assert outcome.reason_class == ReasonClass.CRASHED_WORKER
