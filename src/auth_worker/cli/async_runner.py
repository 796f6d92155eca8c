"""Runs coroutines: on uvloop if it is installed, cancelled in order by Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from auth_worker.system.handled_signals import signals_to_handle

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's function that makes event loops, or None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def new_runner() -> asyncio.Runner:
    """Return a runner on uvloop if it is installed, for several coroutines one after another."""
    return asyncio.Runner(loop_factory=loop_factory())


def run_contained(coroutine: Coroutine[Any, Any, T], on_exit: Callable[[BaseException], None]) -> T:
    """Run ``coroutine`` to its end on a loop that no task of the application can end.

    asyncio raises a task's ``SystemExit`` or ``KeyboardInterrupt`` out of the loop. Here ``on_exit`` is called
    with it, and the loop runs on until ``coroutine`` has ended. Ctrl-C cancels ``coroutine``, as in ``run_async``.
    """
    task: asyncio.Task[T] | None = None

    async def to_its_end() -> T:
        nonlocal task
        task = task or asyncio.create_task(coroutine)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        return task.result()

    with new_runner() as runner:
        while True:
            try:
                return runner.run(to_its_end())
            except (SystemExit, KeyboardInterrupt) as error:
                if task is not None and not task.done():
                    on_exit(error)
                    continue
                if task is not None and not task.cancelled():
                    task.exception()  # marks it as retrieved: it is raised here
                raise


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end and return its result."""
    with new_runner() as runner:
        return runner.run(coroutine)


async def interruptible(coroutine: Coroutine[Any, Any, int], code: int) -> int:
    """Run ``coroutine``; on SIGINT, SIGTERM or SIGHUP cancel it, wait for its clean-up, and return ``code``."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(coroutine)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    numbers = signals_to_handle()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt in the runner
        for number in numbers:
            loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return code
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)
