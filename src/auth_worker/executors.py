"""Where a consumer runs: on the loop (``async def``), in a thread (plain ``def``), or in a process of its own.

A thread cannot be killed: when its run is cancelled, ``job.cancelled`` is set and the run ends when the function
returns. Code that may hang belongs into a process (``execution="process"``): that one is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import multiprocessing
import pickle
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, Protocol

from pebble import ProcessExpired, ProcessPool

from auth_worker.config import WORKER_CONFIG
from auth_worker.errors import ConfigurationError, JobError, UnrecoverableError, WorkerCrashedError
from auth_worker.job import Job
from auth_worker.logs import current_setup, drain_streams, repeat_setup, share_streams
from auth_worker.options import JobOptions
from auth_worker.run import Run, current_run

Execution = Literal["auto", "thread", "process"]
MAX_JOBS_A_PROCESS = 1000
"""A worker process is replaced after so many jobs, so that what it leaks does not grow for ever."""


class Executor(Protocol):
    """Runs a consumer for a job and gives its result; cancelling the call stops it as far as that can be."""

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Run the consumer."""

    def close(self) -> None:
        """Give up threads and processes, without waiting for what still runs in them."""


def executor_for(consumer: Callable[..., Any], execution: Execution, concurrency: int) -> Executor:
    """Choose by what the consumer is. Raises ``ConfigurationError`` naming the argument that is wrong."""
    if not callable(consumer):
        raise ConfigurationError(f"processor must be a function taking a Job, not {type(consumer).__name__}")
    target: Any = consumer
    if not inspect.isroutine(consumer) and not isinstance(consumer, partial):
        target = type(consumer).__call__
    _check_takes_a_job(consumer)
    is_async = inspect.iscoroutinefunction(inspect.unwrap(getattr(target, "func", target)))
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


def _check_takes_a_job(consumer: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(consumer)
    except ValueError:  # some builtins do not tell theirs
        return
    try:
        signature.bind(object())
    except TypeError as error:
        name = getattr(consumer, "__qualname__", type(consumer).__name__)
        raise ConfigurationError(
            f"processor {name}{signature} must be callable with one argument, the Job: {error}"
        ) from error


class LoopExecutor:
    """An ``async def`` consumer: it is awaited where it is."""

    def __init__(self, consumer: Callable[[Job], Any]) -> None:
        self._consumer = consumer

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Call the consumer; whoever called this awaits its coroutine, so that there is but one a job."""
        awaitable: Awaitable[Any] = self._consumer(job)
        return awaitable

    def close(self) -> None:
        """Nothing to give up."""


class ThreadExecutor:
    """A plain ``def`` consumer, in one of as many threads as jobs may run at a time."""

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        self._consumer = consumer
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="auth-worker-job")

    async def __call__(self, job: Job) -> Any:
        """Run the function in a thread, with the context of the run; wait for it even when cancelled."""
        context = contextvars.copy_context()
        running = asyncio.get_running_loop().run_in_executor(self._pool, context.run, _call, self._consumer, job)
        while not running.done():
            with contextlib.suppress(BaseException):  # told by result(); our own cancellation has to wait
                await asyncio.shield(running)
        result = running.result()
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Stop taking work; a thread that still runs ends with its function."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class ProcessExecutor:
    """A plain ``def`` consumer of a module, in worker processes that are killed with their run.

    The job it gets carries its data, but cannot reach Redis: ``log`` and ``update_progress`` raise. Where
    ``configure_logging`` has set up the logging of this process, theirs is the same.
    """

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        if {"<locals>", "<lambda>"} & set(getattr(consumer, "__qualname__", "<locals>").split(".")):
            raise ConfigurationError(
                "execution='process' needs a function defined at the top of a module, so that another process "
                "can import it"
            )
        self._consumer = consumer
        self._concurrency = concurrency
        self._pool: ProcessPool | None = None

    async def __call__(self, job: Job) -> Any:
        """Run the function in a process; a cancelled run kills it.

        Raises ``WorkerCrashedError`` when the process died under the job.
        """
        self._pool = self._pool or _process_pool(self._concurrency)
        run = current_run.get()
        trace_id = run.trace_id if run is not None else ""
        future = self._pool.schedule(_call_in_process, args=(self._consumer, job.detached(), trace_id))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()  # type: ignore[no-untyped-call] # pebble kills the process
            raise
        except ProcessExpired as error:
            raise WorkerCrashedError(f"the job's process died (exit code {error.exitcode})") from error

    def close(self) -> None:
        """Kill the processes."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]


def _process_pool(concurrency: int) -> ProcessPool:
    setup = current_setup()
    if setup is None:
        start: dict[str, Any] = {}
    else:
        share_streams()
        start = {"initializer": repeat_setup, "initargs": (setup,)}
    return ProcessPool(
        concurrency, max_tasks=MAX_JOBS_A_PROCESS, context=multiprocessing.get_context("spawn"), **start
    )


def _call(consumer: Callable[[Job], Any], job: Job) -> Any:
    try:
        return consumer(job)
    except StopIteration as error:  # no future takes one: the run would never end
        raise RuntimeError("the consumer raised StopIteration") from error


def _call_in_process(consumer: Callable[[Job], Any], job: Job, trace_id: str) -> Any:
    """What cannot go back to the service's process would end the worker process, as if it had crashed."""
    run = Run(job, JobOptions({}, WORKER_CONFIG), {}, "", time.monotonic())
    run.trace_id = trace_id
    current_run.set(run)
    try:
        value = _call(consumer, job)
    except BaseException as error:
        if _survives_transport(error):
            raise
        kind = JobError if getattr(error, "retryable", True) else UnrecoverableError
        raise kind(f"{type(error).__name__}: {error}") from None
    finally:
        drain_streams()  # this process may be killed as soon as nothing runs in it
    if not _survives_transport(value):
        raise UnrecoverableError(f"the consumer's return value is not JSON: it is a {type(value).__name__}")
    return value


def _survives_transport(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    except Exception:
        return False
    return True
