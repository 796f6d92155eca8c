"""Running a command's coroutine: on uvloop where it is installed, ended in order by Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from auth_worker.handled_signals import signals_to_handle

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The maker of event loops to use; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def new_runner() -> asyncio.Runner:
    """A runner on that loop, for several coroutines one after another."""
    return asyncio.Runner(loop_factory=loop_factory())


def run_contained(coroutine: Coroutine[Any, Any, T], on_exit: Callable[[BaseException], None]) -> T:
    """``run_async`` for a loop with other people's tasks: none of them ends it.

    asyncio raises a task's ``SystemExit`` or ``KeyboardInterrupt`` out of the loop, besides handing it to whoever
    awaits the task. ``on_exit`` gets it, and the loop goes on until ``coroutine`` itself has ended. Ctrl-C cancels
    ``coroutine``, as with ``run_async``.
    """
    task: asyncio.Task[T] | None = None

    async def end_of_it() -> T:
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
                return runner.run(end_of_it())
            except (SystemExit, KeyboardInterrupt) as error:
                if task is not None and not task.done():
                    on_exit(error)
                    continue
                if task is not None and not task.cancelled():
                    task.exception()  # taken note of: it is raised here
                raise


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end and return its result."""
    with new_runner() as runner:
        return runner.run(coroutine)


async def interruptible(coroutine: Coroutine[Any, Any, int], code: int) -> int:
    """Run ``coroutine``; SIGINT, SIGTERM or SIGHUP cancels it, which lets it clean up, and gives ``code``."""
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
