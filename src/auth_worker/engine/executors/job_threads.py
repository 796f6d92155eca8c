"""The threads of a plain ``def`` consumer, which pass finished jobs to the event loop in one call.

``concurrent.futures`` with ``run_in_executor`` creates two futures for each job and wakes the loop for each one
that ends. That is more than half of what a job in a thread costs.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any


class Call:
    """A call of a function in a thread, with a context of its own. All but ``run`` belongs to ``loop``."""

    __slots__ = ("_context", "_function", "_has_begun", "_result", "_waiter", "error", "is_done", "loop")

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._context = contextvars.copy_context()
        self._function = function
        self._waiter: asyncio.Future[None] | None = None
        self._result: Any = None
        self._has_begun = False
        self.loop = loop
        self.error: BaseException | None = None
        self.is_done = False

    def run(self) -> None:
        """Call the function, in the current thread, unless that has been done. Never raises what it raises."""
        if self._has_begun:
            return
        try:
            self._has_begun = True
            self._result = self._context.run(self._function)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Wake up the caller that waits for it."""
        self.is_done = True
        if self._waiter is not None and not self._waiter.done() and not self.loop.is_closed():
            self._waiter.set_result(None)

    async def result(self) -> Any:
        """Wait for the end even when cancelled. Returns or raises what the function did."""
        while not self.is_done:
            self._waiter = self.loop.create_future()
            with contextlib.suppress(asyncio.CancelledError):
                await self._waiter
        try:
            if self.error is not None:
                raise self.error
            return self._result
        finally:
            self.error = None  # its traceback holds this frame


class JobThreads:
    """At most ``most`` threads. Each starts when a call finds no other free, and waits for calls until ``close``.

    They serve one loop at a time. Before the interpreter exits, it waits for what runs in them, as for threads of
    ``concurrent.futures``.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._ended: deque[Call] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_is_due = False
        self._closed = False
        _all.add(self)

    def call(self, function: Callable[[], Any]) -> Call:
        """Call ``function`` in a thread. Raises ``RuntimeError`` when closed, or if no thread can start."""
        if self._closed:
            raise RuntimeError("the threads of this consumer are closed")
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._end_is_due = loop, False
        if self._under_way >= len(self._threads) < self._most:
            self._start_thread()
        self._under_way += 1
        call = Call(function, loop)
        self._calls.put(call)
        return call

    def close(self) -> None:
        """Cancel what has not started, and let each thread end with its function."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    call.error = asyncio.CancelledError()
                    self._give_back(call)
        for _ in self._threads:
            self._calls.put(None)

    def join(self) -> None:
        """Wait until every thread has ended. Call it after ``close``."""
        for thread in self._threads:
            thread.join()

    def _start_thread(self) -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=_serve, args=(self._calls, self._give_back), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more: those that are there will do
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _give_back(self, call: Call) -> None:
        self._ended.append(call)
        if not self._end_is_due and self._loop is not None:
            self._end_is_due = True
            try:
                self._loop.call_soon_threadsafe(self._end_calls)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._end_is_due = False

    def _end_calls(self) -> None:
        self._end_is_due = False  # before the first is taken: what is added from now on is due again
        while self._ended:
            call = self._ended.popleft()
            if not call.is_done:  # an interrupted thread may give a call back twice
                self._under_way -= 1
                call.end()


def _serve(calls: queue.SimpleQueue[Call | None], give_back: Callable[[Call], None]) -> None:
    """Run ``calls`` until None comes.

    Libraries that limit a function's time raise an exception in its thread from outside
    (``PyThreadState_SetAsyncExc``). It may arrive when the function has returned, or in an idle thread: it then
    ends neither the thread nor another call. ``for`` takes a call and keeps it in one step, which no exception
    divides.
    """
    call: Call | None = None  # an idle thread keeps neither the job nor its result
    while True:
        try:
            if call is None:
                for call in iter(calls.get, None):  # noqa: B007 - it is used below
                    break
                else:
                    return
            call.run()
            give_back(call)
            call = None
        except BaseException:  # noqa: S110 - ``suppress`` has steps of its own, where one may arrive
            pass


_all: weakref.WeakSet[JobThreads] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    threads = list(_all)
    for each in threads:
        each.close()
    for each in threads:
        each.join()
