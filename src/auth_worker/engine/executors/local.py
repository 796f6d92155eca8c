"""The executors of this process: the event loop, and threads."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from types import CoroutineType
from typing import Any, Protocol, runtime_checkable

from auth_worker.core.run import current_run
from auth_worker.engine.executors.job_threads import JobThreads
from auth_worker.job import Job
from auth_worker.system.forks import call_around_fork


class Executor(Protocol):
    """Runs a consumer for a job and returns its result.

    Cancelling the call stops the consumer as far as possible.
    """

    @property
    def isolates(self) -> bool:
        """Whether each job runs in a process of its own, where it harms no other."""

    async def start(self) -> None:
        """Prepare for the first job. Raises ``ConfigurationError`` if the consumer cannot run here."""

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Run the consumer."""

    def close(self) -> None:
        """Release threads and processes, without waiting for what still runs in them."""


@runtime_checkable
class HoldsResources(Protocol):
    """An executor that opens something in ``start``."""

    def report_to(self, report: Callable[[str, str], None]) -> None:
        """Call ``report`` with the name of what ended before ``release``, and why, as soon as that is known."""

    async def release(self) -> str | None:
        """Close it again, within a few seconds. Returns what went wrong, if anything did. Never raises."""


@runtime_checkable
class StartsSlowly(Protocol):
    """An executor that can begin to start before its service is connected."""

    def warm_up(self) -> None:
        """Begin, in the background. ``start`` waits for it, ``close`` undoes it."""

    def limit_results(self, max_bytes: int) -> None:
        """Fail jobs whose result is longer where they run, before anything is begun: it is not sent here."""

    def report_failed_starts_to(self, report: Callable[[str], None]) -> None:
        """Call ``report`` with why, each time what jobs wait for cannot be started. It is tried again."""


async def close_executor(executor: Executor) -> str | None:
    """Release what ``executor`` has opened, and close it. Returns what went wrong, if anything did."""
    try:
        return await executor.release() if isinstance(executor, HoldsResources) else None
    finally:
        executor.close()


@contextlib.asynccontextmanager
async def started(executor: Executor) -> AsyncIterator[None]:
    """Start ``executor``, and end it if that or the block raises."""
    try:
        await executor.start()
        yield
    except BaseException:
        await close_executor(executor)
        raise


class LoopExecutor:
    """Awaits an ``async def`` consumer in the current event loop."""

    isolates = False

    def __init__(self, consumer: Callable[[Job], Any]) -> None:
        self._consumer = consumer

    async def start(self) -> None:
        """Nothing to prepare."""

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Call the consumer; the caller awaits its coroutine, so that there is only one for each job."""
        awaitable: Awaitable[Any] = self._consumer(job)
        if type(awaitable) is CoroutineType or inspect.isawaitable(awaitable):
            return awaitable
        return _already(awaitable)

    def close(self) -> None:
        """Nothing to release."""


_at_fork = threading.local()
"""``loop``: the loop whose consumer forks in this thread, which asyncio forgets in the child; None otherwise."""


def _note_loop() -> None:
    _at_fork.loop = asyncio._get_running_loop() if current_run.get(None) is not None else None


def _forget_loop() -> None:
    _at_fork.loop = None


def _end_with_step() -> None:
    """Have a child that an ``async def`` consumer forked end where it would go on with the service's loop.

    It ends after the callbacks that were ready when it was forked, since no loop offers a place before them: they
    run in the child once more. A child that calls ``os._exit`` before it awaits anything, as those of
    ``multiprocessing`` do, runs none.
    """
    if _at_fork.loop is not None:
        _at_fork.loop.call_soon(os._exit, 0)


call_around_fork(before=_note_loop, in_parent=_forget_loop, in_child=_end_with_step)


class ThreadExecutor:
    """Runs a plain ``def`` consumer in threads, as many as jobs may run at a time."""

    isolates = False

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        self._consumer = consumer
        self._threads = JobThreads(concurrency, "auth-worker-job")

    async def start(self) -> None:
        """Nothing to prepare: threads start with their first job."""

    async def __call__(self, job: Job) -> Any:
        """Run the function in a thread, with the context of the run; wait for it even when cancelled.

        An awaitable that it returns is awaited here, on the loop, unless the run was cancelled by then.
        """
        result = await self._threads.call(functools.partial(call, self._consumer, job)).result()
        if not inspect.isawaitable(result):
            return result
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            if inspect.iscoroutine(result):
                result.close()
            raise asyncio.CancelledError
        return await result

    def close(self) -> None:
        """Stop accepting work. A thread that still runs ends with its function."""
        self._threads.close()


def call(consumer: Callable[[Job], Any], job: Job) -> Any:
    """Call the consumer; ``StopIteration`` becomes ``RuntimeError``, since no future can carry it.

    A child that the consumer has forked ends where it leaves the consumer, with 0, or with 1 where it raises: the
    result of the job is the parent's, and so is everything that a second process would take part in.
    """
    caller = os.getpid()
    code = 1
    try:
        result = consumer(job)
        code = 0
        return result
    except StopIteration as error:
        raise RuntimeError("the consumer raised StopIteration") from error
    finally:
        if os.getpid() != caller:
            os._exit(code)


async def _already(value: Any) -> Any:
    """Return the result of a callable that is marked async and returned a plain value."""
    return value
