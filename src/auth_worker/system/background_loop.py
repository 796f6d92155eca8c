"""The event loop that code without one shares: ``JobQueue.sync``, and tasks in worker processes.

A process has one. It starts with its first use, in a thread of its own, and ends when the process exits. Whoever
runs an event loop already, and wants another thread for something, owns a ``LoopThread`` instead.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from auth_worker.system.forks import call_in_child

T = TypeVar("T")
EXIT_S = 2.0
"""How long (s) the loop's tasks and generators may take to end when the process exits."""


class _BackgroundLoop:
    """An event loop, and the daemon thread that runs it until the process exits."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="auth-worker-background", daemon=True)
        try:
            self.thread.start()
        except RuntimeError:
            self.loop.close()
            raise

    def stop(self) -> None:
        """End the loop's tasks, close it, and wait for its thread."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(EXIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_end_all(self.loop))
        finally:
            self.loop.close()


async def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EXIT_S):
            tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
            await loop.shutdown_asyncgens()  # closes the connections of this loop's producers
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


_lock = threading.Lock()
_background: _BackgroundLoop | None = None
_at_exit: dict[Callable[[], Coroutine[Any, Any, object]], None] = {}


def run_in_background(coroutine: Coroutine[Any, Any, T], timeout: float | None) -> T:
    """Run ``coroutine`` in this process's background loop, and wait for it, for at most ``timeout`` s.

    None: forever. Any thread may call this, also one that runs an event loop, which then waits. Raises what the
    coroutine raises, ``TimeoutError`` when the time is over, and ``RuntimeError`` in the background loop itself,
    and where no thread starts any more: after Python's exit handlers, in early releases of 3.12 already in them.
    """
    if sys.is_finalizing():
        coroutine.close()
        raise RuntimeError("Python is exiting: call this before, at the latest from a function of atexit")
    try:
        background = _started()
    except RuntimeError:
        coroutine.close()
        raise
    if threading.current_thread() is background.thread:
        coroutine.close()
        raise RuntimeError("this would wait for its own event loop: await the asynchronous method instead")
    future = asyncio.run_coroutine_threadsafe(coroutine, background.loop)
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        if future.done():  # the coroutine's own
            raise
        raise TimeoutError from None


def run_here(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` in this thread, in an event loop of its own; in the background where one runs here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    else:
        return run_in_background(coroutine, None)
    try:
        return loop.run_until_complete(coroutine)  # asyncio.run would take away the thread's current loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def call_at_exit(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run what ``function`` returns in the background loop when the process exits, before the loop ends.

    Once, however often it is given.
    """
    _at_exit[function] = None


def forget_at_exit(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Undo ``call_at_exit``."""
    _at_exit.pop(function, None)


def _started() -> _BackgroundLoop:
    global _background  # noqa: PLW0603 - one for the whole process
    with _lock:
        if _background is None:
            _background = _BackgroundLoop()
            atexit.register(stop)
        return _background


def stop() -> None:
    """End the background loop, as the exit of the process does. The next use starts another."""
    global _background  # noqa: PLW0603
    with _lock:
        background = _background
    if background is None:
        return
    atexit.unregister(stop)
    for function in reversed(list(_at_exit)):
        with contextlib.suppress(Exception, concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(function(), background.loop).result(2 * EXIT_S)
    background.stop()
    _background = None
    _at_exit.clear()


@call_in_child
def _renew() -> None:
    """A forked child has the parent's loop but not its thread: it starts one of its own when it needs one."""
    global _lock, _background
    if _background is not None:
        atexit.unregister(stop)
        _left_to_parent.append(_background)
    _lock, _background = threading.Lock(), None
    _at_exit.clear()


_left_to_parent: list[_BackgroundLoop] = []
"""In a forked child: the parent's loop, which must not be collected, since that would close what it still uses."""
