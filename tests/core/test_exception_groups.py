"""An exception in a group counts as if the consumer had raised it alone."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from auth_worker import Job
from auth_worker.core.decisions import decide_error
from auth_worker.core.error_text import MAX_TRACE
from auth_worker.core.exception_groups import deciding_error
from auth_worker.core.lifecycle import BROKER_UNREACHABLE, FAILED_TO_START
from auth_worker.core.outcome import (
    AwaitChildren,
    Cause,
    Fail,
    HandBack,
    Lost,
    Postpone,
    ReasonClass,
    Retry,
    Throttle,
)
from auth_worker.databases import check_database
from auth_worker.email.errors import EmailRefusedError
from auth_worker.engine.executors import executor_for
from auth_worker.engine.perform import perform
from auth_worker.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    Delay,
    EmailDispatchError,
    InvalidJobDataError,
    RateLimited,
    UnknownJobTypeError,
    UnrecoverableError,
    WaitForChildren,
)
from auth_worker.events import JobFailed
from auth_worker.service import WorkerService
from support import process_consumers
from support.email_jobs import DATA, VERIFICATION, MailRecorder, a_consumer
from support.email_jobs import a_job as an_email_job
from support.factories import PATIENT, a_job, a_run, some_options
from support.processors import Harness, collect


def group(*errors: BaseException) -> BaseException:
    """Build a group as a TaskGroup raises it."""
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


def decide(error: BaseException, cause: Cause | None = None, **options: Any) -> Any:
    return decide_error(error, a_job(), some_options(options), cause)


LONE = [
    UnrecoverableError("no such user"),
    UnknownJobTypeError("nobody knows it"),
    InvalidJobDataError("wrong", [{"field": "to", "message": "is required"}]),
    ConfigurationError("no key"),
    Delay(5),
    RateLimited(5),
    WaitForChildren(),
    ValueError("boom"),
    asyncio.CancelledError("gone"),
    SystemExit(3),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", LONE, ids=lambda error: type(error).__name__)
def test_a_single_member_counts_as_if_it_were_raised_alone_at_any_depth(error: BaseException) -> None:
    alone, inside = decide(error), decide(group(group(group(error))))
    assert type(inside) is type(alone)
    if isinstance(alone, Fail | Retry):
        assert inside.reason == alone.reason
        assert type(error).__name__ in inside.trace
    if isinstance(alone, Fail):
        assert inside.reason_class == alone.reason_class
    if isinstance(alone, Postpone | Throttle):
        assert inside == alone


@pytest.mark.parametrize(
    ("members", "outcome"),
    [
        ([ValueError(), Delay(2)], Postpone(2000)),
        ([Delay(2), UnrecoverableError()], Postpone(2000)),
        ([Delay(2), Delay(9), Delay(3)], Postpone(9000)),
        ([Delay(9), RateLimited(2), RateLimited(4), RateLimited(3)], Throttle(4000)),
        ([WaitForChildren(), Delay(2)], Postpone(2000)),
        ([ValueError(), UnrecoverableError(), WaitForChildren()], AwaitChildren()),
        ([Delay("soon"), Delay(-1), Delay(1), Delay(float("nan"))], Postpone(1000)),  # type: ignore[arg-type]
        ([SystemExit(), asyncio.CancelledError(), Delay(1)], Postpone(1000)),
    ],
    ids=repr,
)
def test_a_steering_member_decides_where_the_job_goes(members: list[BaseException], outcome: Any) -> None:
    assert decide(group(*members)) == outcome


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ([ValueError("later"), UnrecoverableError("for good"), KeyError("x")], "for good"),
        ([asyncio.CancelledError("cancelled"), SystemExit("exit"), ValueError("value")], "value"),
        ([asyncio.CancelledError("cancelled"), SystemExit("exit")], "exit"),
        ([ValueError("first"), ValueError("second")], "first"),
    ],
    ids=repr,
)
def test_the_most_severe_member_is_the_reason(members: list[BaseException], named: str) -> None:
    for arranged in (group(*members), group(group(*members[:1]), *members[1:])):
        assert decide(arranged).reason == named


def test_our_cause_of_cancellation_outweighs_every_group() -> None:
    raised = group(UnrecoverableError(), Delay(1))
    assert decide(raised, Cause.SHUTDOWN) == HandBack()
    assert decide(raised, Cause.LEASE_LOST) == Lost()
    assert "timeout" in decide(raised, Cause.TIMEOUT).reason


def test_the_cause_of_an_error_decides_nothing() -> None:
    error = ValueError("boom")
    error.__cause__ = error.__context__ = group(UnrecoverableError())
    assert isinstance(decide(group(error)), Retry)


def test_a_delay_without_seconds_ends_the_job_and_no_more() -> None:
    class Bare(Delay):
        def __init__(self) -> None: ...

    assert isinstance(decide(group(Bare(), Bare())), Fail)


def test_the_trace_shows_every_member_and_stays_bounded() -> None:
    trace = decide(group(ValueError("one"), group(UnrecoverableError("two")))).trace
    assert "ValueError: one" in trace
    assert "UnrecoverableError: two" in trace
    wide = decide(group(*(ValueError(f"number {each}" * 10) for each in range(5000)), UnrecoverableError("it")))
    assert "UnrecoverableError: it" in wide.trace
    long = decide(group(*(ValueError("x" * 10_000) for _ in range(9)), UnrecoverableError("it")))
    assert "UnrecoverableError: it" in long.trace
    assert len(long.trace) <= MAX_TRACE


def test_groups_that_share_members_or_nest_deeply_are_read_in_time() -> None:
    shared: BaseException = UnrecoverableError("it")
    for _ in range(60):
        shared = group(shared, shared)
    assert decide(shared).reason == "it"
    deep: BaseException = UnrecoverableError("it")
    for _ in range(5000):
        deep = group(deep)
    assert decide(deep).reason == "it"


members = st.sampled_from([ValueError("a"), UnrecoverableError("b"), Delay(1), SystemExit("c")])
trees = st.recursive(members, lambda inner: st.lists(inner, min_size=1, max_size=4).map(lambda each: group(*each)))


@given(tree=trees)
def test_how_members_are_nested_makes_no_difference(tree: BaseException) -> None:
    def leaves(error: BaseException) -> list[BaseException]:
        if isinstance(error, BaseExceptionGroup):
            return [leaf for member in error.exceptions for leaf in leaves(member)]
        return [error]

    found = leaves(tree)
    assert deciding_error(tree) is (found[0] if len(found) == 1 else deciding_error(group(*found)))


async def test_a_run_keeps_the_deciding_member_for_its_observers() -> None:
    member = UnrecoverableError("no such user")

    async def consumer(job: Job) -> None:
        raise group(ValueError(), member)

    run = a_run()
    await perform(run, consumer, timeout=None, max_result_bytes=PATIENT)
    assert run.error is member


async def test_the_member_that_a_run_keeps_is_the_deciding_one() -> None:
    class Order(BaseModel):
        amount: int

    async def consumer(job: Job) -> None:
        with pytest.raises(ValidationError) as found:
            Order.model_validate(job.data)
        raise group(ValueError("something else"), found.value)

    run = a_run(a_job({"amount": "many"}))
    outcome = await perform(run, consumer, timeout=None, max_result_bytes=PATIENT)
    assert isinstance(outcome, Fail)
    assert isinstance(run.error, ValidationError)


async def test_a_run_ends_whatever_reading_the_members_of_a_group_raises() -> None:
    class Input(dict[str, Any]):
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        __hash__ = None

    class FrameworkValidationError(Exception):
        def errors(self) -> list[dict[str, Any]]:
            return [{"loc": (), "msg": "wrong", "input": Input(amount=1)}]

    async def consumer(job: Job) -> None:
        raise group(ValueError(), FrameworkValidationError())

    run = a_run(a_job({"amount": "many"}))
    outcome = await perform(run, consumer, timeout=None, max_result_bytes=PATIENT)
    assert isinstance(outcome, Retry | Fail)
    assert run.error is not None


@pytest.mark.parametrize(("kind", "outcome"), [("group", Postpone), ("unpicklable group", Fail)])
async def test_a_group_comes_back_from_a_process(kind: str, outcome: type[Any]) -> None:
    executor = executor_for(process_consumers.anything, "process", 1)
    try:
        async with asyncio.timeout(30):
            decided = await perform(a_run(a_job(kind)), executor, timeout=None, max_result_bytes=PATIENT)
    finally:
        executor.close()
    assert isinstance(decided, outcome)


def test_a_pickled_group_decides_as_before() -> None:
    assert decide(pickle.loads(pickle.dumps(group(ValueError(), Delay(3))))) == Postpone(3000)


async def test_a_task_group_of_a_consumer_ends_its_job_for_good(harness: Harness) -> None:
    async def refused() -> None:
        raise UnrecoverableError("no such user")

    async def consumer(job: Job) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(refused())
            tasks.create_task(asyncio.sleep(30))

    processor = await harness.processor(consumer)
    failures = collect(processor.runtime.bus, JobFailed)
    job_id = await harness.jobs.add("n", {}, attempts=5)
    await harness.settled(1)
    stored = await harness.job(job_id)
    assert (stored["failedReason"], stored["atm"]) == ("no such user", "1")
    assert (await harness.dead_letters())[0]["reasonClass"] == ReasonClass.UNRECOVERABLE
    assert failures[0].reason == "no such user"


async def test_what_a_mail_service_raises_in_a_group_is_read() -> None:
    refused = ExceptionGroup("unhandled errors", [OSError(), EmailRefusedError("no such mailbox")])
    with pytest.raises(ExceptionGroup) as caught:
        await a_consumer(MailRecorder(refused))(an_email_job(DATA[VERIFICATION]))
    assert decide(caught.value).reason == "no such mailbox"
    broken = ExceptionGroup("unhandled errors", [OSError()])
    with pytest.raises(EmailDispatchError, match="OSError"):
        await a_consumer(MailRecorder(broken))(an_email_job(DATA[VERIFICATION]))


async def test_a_health_check_names_the_member() -> None:
    class Database:
        async def health_check(self) -> None:
            raise group(asyncio.CancelledError(), ConnectionError())

    assert await check_database(Database()) == {"healthy": False, "reason": "ConnectionError"}


@pytest.mark.parametrize(
    ("error", "code"),
    [(BrokerUnavailableError("no Redis of ours"), BROKER_UNREACHABLE), (ValueError("no key"), FAILED_TO_START)],
)
async def test_init_services_may_raise_a_group(harness: Harness, error: Exception, code: int) -> None:
    async def init_services() -> None:
        raise group(asyncio.CancelledError(), error)

    service = WorkerService(harness.url, init_services=init_services, settings=harness.settings())
    assert await service.run() == code
    assert service.start_error is error
