"""Chooses the executor that runs a consumer, by the callable itself, not by what it wraps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from auth_worker.core.execution_mode import Execution
from auth_worker.engine.executors.local import Executor, LoopExecutor, ThreadExecutor
from auth_worker.engine.executors.process import ProcessExecutor
from auth_worker.errors import ConfigurationError


def executor_for(consumer: Callable[..., Any], execution: Execution, concurrency: int) -> Executor:
    """Choose an executor. A consumer with a method ``make_executor(concurrency)`` brings its own.

    Raises ``ConfigurationError`` naming the argument that is wrong.
    """
    make_executor = getattr(type(consumer), "make_executor", None)
    if make_executor is not None:
        executor: Executor = make_executor(consumer, concurrency)
        return executor
    if not callable(consumer):
        raise ConfigurationError(f"processor must be a function taking a Job, not {type(consumer).__name__}")
    function = _function_of(consumer)
    _check_takes_a_job(consumer)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"processor {_name_of(consumer)} is a generator (it has a yield): it must return the job's result"
        )
    is_async = inspect.iscoroutinefunction(function)
    match execution:
        case "auto":
            return LoopExecutor(consumer) if is_async else ThreadExecutor(consumer, concurrency)
        case "thread" | "process" if is_async:
            raise ConfigurationError(
                f"execution={execution!r} is for a plain def; an async def runs on the event loop"
            )
        case "thread":
            return ThreadExecutor(consumer, concurrency)
        case "process":
            return ProcessExecutor(consumer, concurrency)
    raise ConfigurationError(f"execution must be auto, thread or process, not {execution!r}")


def _function_of(consumer: Any) -> Any:
    """Return the function that a call of ``consumer`` runs.

    ``__wrapped__`` is not followed: a plain ``def`` around an ``async def`` may well run it to its end. If it
    returns the coroutine instead, the thread's result is awaited on the loop.
    """
    while True:
        if isinstance(consumer, partial):
            consumer = consumer.func
        elif isinstance(consumer, staticmethod):
            consumer = consumer.__func__
        elif inspect.isroutine(consumer) or inspect.isclass(consumer) or inspect.iscoroutinefunction(consumer):
            return consumer
        else:
            return type(consumer).__call__


def _check_takes_a_job(consumer: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(consumer)
    except ValueError:  # some builtins have no signature to read
        return
    try:
        signature.bind(object())
    except TypeError as error:
        raise ConfigurationError(
            f"processor {_name_of(consumer)}{signature} must be callable with one argument, the Job: {error}"
        ) from error


def _name_of(consumer: Callable[..., Any]) -> str:
    return getattr(consumer, "__qualname__", type(consumer).__name__)
