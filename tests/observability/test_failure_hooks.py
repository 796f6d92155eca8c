"""Failure hooks get each failed attempt with its exception, and never delay a job."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from auth_worker import ConfigurationError, Job, JobFailed, JobRetried, UnrecoverableError, WorkerService
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.failure_hooks import MOST_WAITING, FailureHooks
from support.processors import DEAD, FAST, QUEUE, Harness, collect, eventually


def service_of(harness: Harness, consumer: Any) -> WorkerService:
    service = WorkerService(harness.url, settings=harness.settings())
    service.register_processor(
        queue_name=QUEUE, processor=consumer, worker_config=FAST, dead_letter_queue_name=DEAD
    )
    return service


async def test_a_hook_gets_each_failed_attempt_with_exception_and_dead_letter(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise ConnectionError("down") from KeyError("cause")

    service = service_of(harness, consumer)
    told: list[JobRetried | JobFailed] = []
    service.on_failure(told.append)
    async with service:
        await harness.jobs.add("job", {}, job_id="one", attempts=2, backoff=1)
        await eventually(lambda: len(told) == 2)
    retried, failed = told
    assert isinstance(retried, JobRetried)
    assert isinstance(failed, JobFailed)
    assert [(each.job_id, each.attempt, type(each.error)) for each in told] == [
        ("one", 1, ConnectionError),
        ("one", 2, ConnectionError),
    ]
    assert failed.error is not None
    assert isinstance(failed.error.__cause__, KeyError)
    assert failed.dead_letter_id.startswith(f"{QUEUE}@one@")


async def test_a_job_that_no_consumer_saw_has_no_exception(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        return None

    service = service_of(harness, consumer)
    told: list[Any] = []
    service.on_failure(told.append)
    async with service:
        job_id = await harness.jobs.add("job", {}, delay=10_000)
        await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "data", "{")
        await harness.redis.zadd(f"bull:{QUEUE}:delayed", {job_id: 0})
        await eventually(lambda: told)
    assert (told[0].error, told[0].reason_class) == (None, "invalid_payload")


async def test_an_async_hook_runs_in_the_services_loop(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no")

    service = service_of(harness, consumer)
    told: list[asyncio.AbstractEventLoop] = []

    @service.on_failure
    async def hook(failure: JobRetried | JobFailed) -> None:
        await asyncio.sleep(0)
        told.append(asyncio.get_running_loop())

    async with service:
        await harness.jobs.add("job", {})
        await eventually(lambda: told)
    assert told == [asyncio.get_running_loop()]


async def test_a_hook_that_blocks_or_raises_delays_and_changes_nothing(harness: Harness) -> None:
    may_end = threading.Event()

    async def consumer(job: Job) -> None:
        if job.data["fails"]:
            raise UnrecoverableError("no")

    service = service_of(harness, consumer)
    problems = collect(service.runtime.bus, Problem)

    @service.on_failure
    def hook(failure: JobRetried | JobFailed) -> None:
        may_end.wait(10)
        raise SystemExit("broken hook")

    async with service:
        await harness.jobs.add_bulk({"name": "job", "data": {"fails": n % 2}} for n in range(20))
        counts = await harness.settled(20)
        may_end.set()
        await eventually(lambda: len(problems) == 10)
    assert (counts["completed"], counts["failed"], len(await harness.dead_letters())) == (10, 10, 10)
    assert {problem.message for problem in problems} == {WORKER_ERRORS.FAILURE_HOOK_FAILED}
    assert "broken hook" in problems[0].detail


async def test_stopping_lets_the_hooks_finish(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no")

    told: list[str] = []
    service = service_of(harness, consumer)
    service.on_failure(lambda failure: told.append(failure.job_id))
    async with service:
        ids = await harness.jobs.add_bulk({"name": "job", "data": {}} for _ in range(20))
        await harness.settled(20)
    assert sorted(told) == sorted(ids)


class Held:
    """An object that a local variable of the failing consumer holds."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the collector off: objects are freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("hooked", [False, True], ids=["without hooks", "with a hook"])
async def test_a_failure_keeps_nothing_alive_after_the_hooks(
    harness: Harness, no_collector: None, hooked: bool
) -> None:
    held: list[weakref.ref[Held]] = []
    told: list[str] = []

    async def consumer(job: Job) -> None:
        in_hand = Held()
        held.append(weakref.ref(in_hand))
        raise UnrecoverableError("no")

    service = service_of(harness, consumer)
    if hooked:
        service.on_failure(lambda failure: told.append(failure.job_id))
    async with service:
        for _ in range(3):
            await harness.jobs.add("job", {})
        await harness.settled(3)
        await eventually(lambda: len(told) == 3 * hooked)
        await eventually(lambda: [reference() for reference in held] == [None, None, None])


async def test_the_failures_waiting_for_slow_hooks_are_bounded() -> None:
    bus = EventBus()
    problems = collect(bus, Problem)
    hooks = FailureHooks(bus)
    may_end, told = threading.Event(), []

    def hook(failure: JobRetried | JobFailed) -> None:
        may_end.wait(10)
        told.append(failure.job_id)

    hooks.add(hook)
    for number in range(MOST_WAITING + 10):
        bus.emit(JobFailed("work", str(number), "job", 1, 1.0, 0.0, "no", "exhausted", ""))
    may_end.set()
    await hooks.stop()
    assert MOST_WAITING <= len(told) <= MOST_WAITING + 1
    assert len(problems) + len(told) == MOST_WAITING + 10
    assert "too slow" in problems[0].detail


def test_a_hook_must_be_a_function() -> None:
    with pytest.raises(ConfigurationError, match="on_failure takes a function of a failure, not a str"):
        FailureHooks(EventBus()).add("hook")  # type: ignore[arg-type]
