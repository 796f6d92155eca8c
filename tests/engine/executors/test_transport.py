"""What a consumer raises in a worker process means the same in the service."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from auth_worker.core.decisions import decide_error
from auth_worker.core.outcome import AwaitChildren, Fail, Outcome, Postpone, Retry, Throttle
from auth_worker.engine.executors.remote_actions import RemoteActions
from auth_worker.engine.executors.transport import (
    LENGTH,
    MOST_ERROR_BYTES,
    Returned,
    answer_of,
    framed_answer,
    framed_job,
    job_of,
    raised,
    returned,
    value_of,
)
from auth_worker.errors import (
    Delay,
    InvalidJobDataError,
    JobError,
    RateLimited,
    UnrecoverableError,
    WaitForChildren,
)
from auth_worker.job import Job
from support import process_errors
from support.factories import a_job, some_options


def arrived(error: BaseException) -> BaseException:
    """``error`` as the service gets it."""
    answer = answer_of(framed_answer(raised(error, "Traceback of it"))[LENGTH.size :])
    with pytest.raises(type(error).__mro__[-2]) as caught:
        value_of(answer)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "outcome"),
    [
        (process_errors.Later(5), Delay, Postpone(300_000)),
        (process_errors.Tomorrow(), Delay, Postpone(86_400_000)),
        (process_errors.AtTen(hour=10), Delay, Postpone(36_000_000)),
        (process_errors.Locked("file", handle=object()), Delay, Postpone(7000)),
        (process_errors.Slow(provider="acme"), RateLimited, Throttle(2000)),
        (process_errors.Waiting("a", "b"), WaitForChildren, AwaitChildren()),
        (Delay(1.5), Delay, Postpone(1500)),
    ],
)
def test_a_steering_exception_keeps_its_meaning(error: BaseException, kind: type, outcome: Outcome) -> None:
    came = arrived(error)
    assert isinstance(came, kind)
    assert decide_error(came, a_job(), some_options({"attempts": 3})) == outcome


@pytest.mark.parametrize(
    ("error", "kind", "text", "reason_class"),
    [
        (process_errors.NoSuchUser(7, "acme"), UnrecoverableError, "user 7 of acme", "unrecoverable"),
        (process_errors.Gone(7, "acme"), UnrecoverableError, "user 7 of acme", "gone"),
        (process_errors.BadOrder("lines", "empty"), InvalidJobDataError, "lines: empty", "invalid_payload"),
        (process_errors.Final(1, 2), UnrecoverableError, "1 and 2", "unrecoverable"),
    ],
)
def test_an_error_that_is_not_retried_is_not_either(
    error: BaseException, kind: type, text: str, reason_class: str
) -> None:
    outcome = decide_error(arrived(error), a_job(), some_options({"attempts": 3}))
    assert isinstance(outcome, Fail)
    assert text in outcome.reason
    assert outcome.reason_class == reason_class
    assert isinstance(arrived(error), kind)


@pytest.mark.parametrize(
    "error", [process_errors.Odd(1, 2), process_errors.Unreadable(), process_errors.local_error(), KeyError("k")]
)
def test_any_other_error_costs_an_attempt(error: BaseException) -> None:
    came = arrived(error)
    assert isinstance(decide_error(came, a_job(), some_options({"attempts": 3})), Retry)
    assert isinstance(came, JobError | KeyError)
    assert "Traceback of it" in str(came.__cause__)


def test_the_members_of_a_group_arrive_one_by_one() -> None:
    came: Any = arrived(
        ExceptionGroup("two", [process_errors.Later(5), ValueError("boom"), process_errors.Odd(1, 2)])
    )
    assert [type(error) for error in came.exceptions] == [Delay, ValueError, JobError]
    assert came.exceptions[0].seconds == 300


def test_an_exception_of_a_module_that_the_service_lacks_arrives_as_its_ancestor() -> None:
    answer = raised(Delay(3), "")
    unknown = answer._replace(exact=pickle.dumps(Delay(3)).replace(b"auth_worker.errors", b"auth_worker.errorz"))
    with pytest.raises(Delay) as caught:
        value_of(unknown)
    assert caught.value.seconds == 3


def test_an_exception_of_a_module_that_the_service_has_not_imported_imports_nothing() -> None:
    """An import can take seconds, and the event loop would wait for it."""
    name = "wsgiref.handlers"
    sys.modules.pop(name, None)
    answer = raised(Delay(3), "")
    lazy = answer._replace(exact=f"c{name}\nBaseHandler\n.".encode())
    with pytest.raises(Delay):
        value_of(lazy)
    assert name not in sys.modules


def test_a_huge_exception_arrives_with_the_beginning_of_its_message() -> None:
    answer = raised(ValueError("x" * 10 * MOST_ERROR_BYTES), "")
    assert len(framed_answer(answer)) < MOST_ERROR_BYTES
    with pytest.raises(JobError, match="ValueError: xxx"):
        value_of(answer)
    unrecoverable = UnrecoverableError("y" * 10 * MOST_ERROR_BYTES)
    unrecoverable.fields = ["z" * 10 * MOST_ERROR_BYTES]  # type: ignore[attr-defined]
    assert len(framed_answer(raised(unrecoverable, ""))) < MOST_ERROR_BYTES


def test_a_value_that_is_nested_too_deeply_says_so() -> None:
    def nested(levels: int) -> list[Any]:
        return [nested(levels - 1)] if levels else []

    assert value_of(returned(nested(100))) == nested(100)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnrecoverableError, match="nested too deeply"):
        returned(deep)


def test_a_huge_value_is_not_sent() -> None:
    assert value_of(returned([0.123] * 1000, 6000)) == [0.123] * 1000
    with pytest.raises(UnrecoverableError, match="more than 1,000 bytes"):
        returned("x" * 5000, 1000)


async def test_a_job_arrives_with_everything_but_its_lease_and_queue() -> None:
    job = a_job(
        {"to": "ann"},
        attempt=2,
        actions=RemoteActions(str),
        token="secret",
        opts={"attempts": 3},
        max_attempts=3,
        timestamp=5,
        priority=6,
        progress={"step": 1},
        parent={"id": "1"},
        stalled_count=1,
    )
    job.partition, job.deadline = 2, 7.5
    job.cancelled.set()
    copy, traceparent = job_of(framed_job(job, "4bf9")[LENGTH.size :])
    assert traceparent == "4bf9"
    for field in set(Job.__slots__) - {"_actions", "_cancelled", "token"}:
        assert getattr(copy, field) == getattr(job, field), field
    assert copy.token == ""
    assert not copy.cancelled.is_set()


def test_a_value_that_the_service_cannot_read_fails_for_good() -> None:
    assert value_of(returned({"a": [1]})) == {"a": [1]}
    with pytest.raises(UnrecoverableError, match="it is a generator"):
        returned(character for character in "text")
    with pytest.raises(UnrecoverableError, match="cannot be read here"):
        value_of(Returned(b"no pickle"))
