"""The executors of this process: the event loop, and threads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import CoroutineType
from typing import Any, Protocol

from auth_worker.forks import call_around_fork
from auth_worker.job import Job
from auth_worker.run import current_run


class Executor(Protocol):
    """Runs a consumer for a job and gives its result; cancelling the call stops it as far as that can be."""

    async def start(self) -> None:
        """Get ready for the first job. Raises ``ConfigurationError`` where the consumer cannot run here."""

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Run the consumer."""

    def close(self) -> None:
        """Give up threads and processes, without waiting for what still runs in them."""


@contextlib.asynccontextmanager
async def started(executor: Executor) -> AsyncIterator[None]:
    """Start ``executor``; close it where the block raises."""
    await executor.start()
    try:
        yield
    except BaseException:
        executor.close()
        raise


class LoopExecutor:
    """An ``async def`` consumer: it is awaited where it is."""

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
        """Nothing to give up."""


_at_fork = threading.local()
"""``loop``: the loop whose consumer forks in this thread, which asyncio forgets in the child; None otherwise."""


def _note_loop() -> None:
    _at_fork.loop = asyncio._get_running_loop() if current_run.get(None) is not None else None


def _forget_loop() -> None:
    _at_fork.loop = None


def _end_with_step() -> None:
    """Have a child that an ``async def`` consumer forked end where it would go on with the service's loop."""
    if _at_fork.loop is not None:
        _at_fork.loop.call_soon(os._exit, 0)


call_around_fork(before=_note_loop, in_parent=_forget_loop, in_child=_end_with_step)


class ThreadExecutor:
    """A plain ``def`` consumer, in one of as many threads as jobs may run at a time."""

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        self._consumer = consumer
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="auth-worker-job")

    async def start(self) -> None:
        """Nothing to prepare: threads start with their first job."""

    async def __call__(self, job: Job) -> Any:
        """Run the function in a thread, with the context of the run; wait for it even when cancelled.

        An awaitable that it returns is awaited here, on the loop, unless the run was cancelled by then.
        """
        context = contextvars.copy_context()
        running = asyncio.get_running_loop().run_in_executor(self._pool, context.run, call, self._consumer, job)
        while not running.done():
            with contextlib.suppress(BaseException):  # result() raises it; our own cancellation has to wait
                await asyncio.shield(running)
        result = running.result()
        if not inspect.isawaitable(result):
            return result
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            if inspect.iscoroutine(result):
                result.close()
            raise asyncio.CancelledError
        return await result

    def close(self) -> None:
        """Stop taking work; a thread that still runs ends with its function."""
        self._pool.shutdown(wait=False, cancel_futures=True)


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
    """The result of a callable that is marked async and returned a plain value."""
    return value
