"""Where a consumer runs is decided from the callable itself."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock

import pytest

from auth_worker.engine.executors import (
    Executor,
    LoopExecutor,
    ThreadExecutor,
    executor_for,
)
from auth_worker.errors import ConfigurationError
from auth_worker.job import Job
from support.factories import a_job

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

    partial_method = functools.partialmethod(method)

    @staticmethod
    async def static(job: Job) -> str:
        return await coroutine(job)


class AsyncCallable:
    async def __call__(self, job: Job, greeting: str = "hello") -> str:
        return await coroutine(job, greeting)


class PlainCallable:
    def __call__(self, job: Job) -> str:
        return plain(job)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        return function(*args, **values)

    return wrapper


def awaited_in_wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **values: Any) -> Any:
        return await function(*args, **values)

    return wrapper


def run_in_wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``asgiref.sync.async_to_sync`` and its like: the wrapper is a plain function, whatever it wraps."""

    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        return asyncio.run(function(*args, **values))

    return wrapper


@pytest.mark.parametrize(
    "consumer",
    [
        coroutine,
        functools.partial(coroutine, greeting="hi"),
        Consumers().method,
        AsyncCallable(),
        functools.partial(AsyncCallable(), greeting="hi"),
        Consumers().partial_method,
        Consumers.static,
        Consumers.__dict__["static"],
        awaited_in_wrapper(coroutine),
    ],
    ids=[
        "function",
        "partial",
        "method",
        "object",
        "partial object",
        "partial method",
        "static",
        "bare",
        "wrapper",
    ],
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
        run_in_wrapper(coroutine),
        functools.partial(run_in_wrapper(coroutine), greeting="hi"),
    ],
    ids=["function", "partial", "method", "object", "decorated", "lambda", "runs a coroutine", "partial of it"],
)
@pytest.mark.parametrize("execution", ["auto", "thread"])
async def test_a_plain_consumer_runs_in_a_thread(consumer: Any, execution: str, make: Make) -> None:
    executor = make(consumer, execution)
    assert isinstance(executor, ThreadExecutor)
    assert "job-1 in auth-worker-job" in await executor(a_job())


async def test_a_coroutine_that_a_plain_function_returns_is_awaited_on_the_loop(make: Make) -> None:
    loop = asyncio.get_running_loop()

    @functools.wraps(coroutine)
    def consumer(job: Job) -> Any:
        async def rest() -> bool:
            return asyncio.get_running_loop() is loop

        return rest()

    for execution in ("auto", "thread"):
        assert await make(consumer, execution)(a_job()) is True


async def test_a_mock_of_a_coroutine_function_runs(make: Make) -> None:
    assert await make(AsyncMock(return_value="done"))(a_job()) == "done"


async def test_a_plain_value_of_an_async_callable_is_the_result(make: Make) -> None:
    executor = LoopExecutor(lambda job: job.id)
    assert await executor(a_job()) == "job-1"


async def generated(job: Job) -> AsyncIterator[int]:
    yield 1


def generated_plainly(job: Job) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("execution", ["auto", "thread", "process"])
@pytest.mark.parametrize("consumer", [generated, generated_plainly, functools.partial(generated)])
def test_a_generator_is_refused_when_it_is_registered(consumer: Any, execution: Any) -> None:
    with pytest.raises(ConfigurationError, match="has a yield"):
        executor_for(consumer, execution, 1)


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
