"""Where a consumer runs: on the loop, in a thread, in a process."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from auth_worker.errors import ConfigurationError
from auth_worker.executors import (
    Executor,
    LoopExecutor,
    ThreadExecutor,
    executor_for,
)
from auth_worker.job import Job
from auth_worker.outcome import Cause, Retry
from auth_worker.run import perform
from factories import PATIENT, a_job, a_run, some_options

Make = Callable[..., Executor]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """``executor_for``, closing what it made."""
    made: list[Executor] = []

    def build(consumer: Callable[..., Any], execution: Any = "auto", concurrency: int = 1) -> Executor:
        made.append(executor_for(consumer, execution, concurrency))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


async def coroutine(job: Job, greeting: str = "hello") -> str:
    return f"{greeting} {job.id} in {threading.current_thread().name}"


def plain(job: Job, greeting: str = "hello") -> str:
    return f"{greeting} {job.id} in {threading.current_thread().name}"


class Consumers:
    """Consumers that are no functions."""

    async def method(self, job: Job) -> str:
        return await coroutine(job)

    def plain_method(self, job: Job) -> str:
        return plain(job)


class AsyncCallable:
    async def __call__(self, job: Job) -> str:
        return await coroutine(job)


class PlainCallable:
    def __call__(self, job: Job) -> str:
        return plain(job)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        return function(*args, **values)

    return wrapper


@pytest.mark.parametrize(
    "consumer",
    [
        coroutine,
        functools.partial(coroutine, greeting="hi"),
        Consumers().method,
        AsyncCallable(),
        decorated(coroutine),
    ],
    ids=["function", "partial", "method", "object", "decorated"],
)
async def test_an_async_consumer_runs_on_the_loop(consumer: Any, make: Make) -> None:
    executor = make(consumer)
    assert isinstance(executor, LoopExecutor)
    assert (await executor(a_job())).endswith(f"job-1 in {threading.current_thread().name}")


@pytest.mark.parametrize(
    "consumer",
    [
        plain,
        functools.partial(plain, greeting="hi"),
        Consumers().plain_method,
        PlainCallable(),
        decorated(plain),
        lambda job: plain(job, "hi"),
    ],
    ids=["function", "partial", "method", "object", "decorated", "lambda"],
)
@pytest.mark.parametrize("execution", ["auto", "thread"])
async def test_a_plain_consumer_runs_in_a_thread(consumer: Any, execution: str, make: Make) -> None:
    executor = make(consumer, execution)
    assert isinstance(executor, ThreadExecutor)
    assert "job-1 in auth-worker-job" in await executor(a_job())


@pytest.mark.parametrize("execution", ["thread", "process"])
def test_an_async_consumer_can_run_nowhere_but_on_the_loop(execution: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"execution='{execution}' is for a plain def"):
        executor_for(coroutine, execution, 1)


def test_an_execution_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="execution must be auto, thread or process, not 'fibre'"):
        executor_for(plain, "fibre", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("consumer", [None, 5, "module:function", {}])
def test_a_consumer_that_cannot_be_called_is_refused(consumer: Any) -> None:
    with pytest.raises(ConfigurationError, match="processor must be a function"):
        executor_for(consumer, "auto", 1)


def nested() -> Callable[[Job], None]:
    def consumer(job: Job) -> None:
        """Not at the top of a module."""

    return consumer


@pytest.mark.parametrize("consumer", [lambda: None, lambda job, more: None, lambda *, job: None])
def test_a_consumer_that_takes_no_job_is_refused_when_it_is_registered(consumer: Any) -> None:
    with pytest.raises(ConfigurationError, match="with one argument, the Job"):
        executor_for(consumer, "auto", 1)


@pytest.mark.parametrize(
    "consumer", [lambda job: None, nested(), PlainCallable()], ids=["lambda", "nested", "object"]
)
def test_a_consumer_another_process_cannot_import_is_refused(consumer: Any) -> None:
    with pytest.raises(ConfigurationError, match="top of a module"):
        executor_for(consumer, "process", 1)


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


async def test_a_cancelled_thread_is_told_and_waited_for(make: Make) -> None:
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
    assert "time-out" in outcome.reason


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
