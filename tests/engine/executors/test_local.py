"""A plain ``def`` in a thread: told to stop, waited for, and its errors come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from auth_worker.core.outcome import Cause, HandBack, Retry
from auth_worker.engine.executors import Executor, ThreadExecutor
from auth_worker.engine.perform import perform
from auth_worker.job import Job
from support.factories import PATIENT, a_job, a_run, some_options

Make = Callable[..., Executor]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """A ``ThreadExecutor``, which is closed afterwards."""
    made: list[Executor] = []

    def build(consumer: Callable[[Job], Any], concurrency: int = 1) -> Executor:
        made.append(ThreadExecutor(consumer, concurrency))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


@pytest.mark.parametrize(
    "error", [ValueError("boom"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]
)
async def test_what_a_thread_raises_comes_back(error: BaseException, make: Make) -> None:
    def consumer(job: Job) -> None:
        raise error

    with pytest.raises(type(error)):
        await make(consumer)(a_job())


async def test_a_thread_that_raises_stop_iteration_ends(make: Make) -> None:
    def consumer(job: Job) -> Any:
        return next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(make(consumer)(a_job()), 5)


async def test_as_many_threads_run_as_jobs_may(make: Make) -> None:
    met = threading.Barrier(3)

    def consumer(job: Job) -> int:
        return met.wait(5)

    executor = make(consumer, concurrency=3)
    assert sorted(await asyncio.gather(*(executor(a_job()) for _ in range(3)))) == [0, 1, 2]


async def test_a_cancelled_thread_is_notified_and_awaited(make: Make) -> None:
    started, ended = threading.Event(), threading.Event()

    def consumer(job: Job) -> str:
        started.set()
        assert job.cancelled.wait(5)
        ended.set()
        return "partly"

    run = a_run(options=some_options({"attempts": 2}))
    task = asyncio.create_task(perform(run, make(consumer), timeout=None, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment]
    assert await asyncio.to_thread(started.wait, 5)
    run.cancel(Cause.TIMEOUT)
    outcome = await asyncio.wait_for(task, 5)
    assert ended.is_set()
    assert isinstance(outcome, Retry)
    assert "timeout" in outcome.reason


async def test_a_cancelled_thread_that_fails_says_why(make: Make) -> None:
    started, go_on = threading.Event(), threading.Event()

    def consumer(job: Job) -> None:
        started.set()
        go_on.wait(5)
        raise ValueError("half done")

    executor = make(consumer)

    async def work() -> None:
        await executor(a_job())

    task = asyncio.create_task(work())
    assert await asyncio.to_thread(started.wait, 5)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    go_on.set()
    with pytest.raises(ValueError, match="half done"):
        await asyncio.wait_for(task, 5)


async def test_what_a_cancelled_thread_returns_is_not_awaited(make: Make) -> None:
    started, went_on = threading.Event(), threading.Event()

    async def rest() -> None:
        went_on.set()

    def consumer(job: Job) -> Any:
        started.set()
        assert job.cancelled.wait(5)
        return rest()

    run = a_run(options=some_options({"attempts": 2}))
    task = asyncio.create_task(perform(run, make(consumer), timeout=None, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment]
    assert await asyncio.to_thread(started.wait, 5)
    run.cancel(Cause.SHUTDOWN)
    assert isinstance(await asyncio.wait_for(task, 5), HandBack)
    assert not went_on.is_set()


async def test_a_closed_thread_executor_leaves_what_runs_and_drops_what_waits() -> None:
    started, go_on = threading.Event(), threading.Event()

    def consumer(job: Job) -> str:
        started.set()
        go_on.wait(5)
        return job.id

    executor = ThreadExecutor(consumer, 1)
    running = asyncio.create_task(executor(a_job()))
    assert await asyncio.to_thread(started.wait, 5)
    waiting = asyncio.create_task(executor(a_job()))
    await asyncio.sleep(0)
    executor.close()
    go_on.set()
    assert await asyncio.wait_for(running, 5) == "job-1"
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
