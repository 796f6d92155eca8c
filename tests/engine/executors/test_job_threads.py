"""The threads of a plain ``def`` consumer: few wake-ups of the loop, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from auth_worker.engine.executors.job_threads import JobThreads


@contextlib.contextmanager
def threads(most: int) -> Iterator[JobThreads]:
    made = JobThreads(most, "test")
    try:
        yield made
    finally:
        made.close()
        made.join()


async def test_ends_that_come_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wake, wakes = loop.call_soon_threadsafe, []

    def count(*arguments: Any) -> Any:
        wakes.append(arguments)
        return wake(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    with threads(20) as pool:
        begun = threading.Semaphore(0)
        calls = [pool.call(begun.release) for _ in range(20)]
        assert all(begun.acquire(timeout=5) for _ in calls)
        pool.close()
        pool.join()  # meanwhile the loop cannot look
        assert len(wakes) == 1
        await asyncio.wait_for(asyncio.gather(*(call.result() for call in calls)), 5)


async def test_a_free_thread_is_used_before_another_one_starts() -> None:
    with threads(5) as pool:
        ids = [await asyncio.wait_for(pool.call(threading.get_ident).result(), 5) for _ in range(5)]
    assert len(set(ids)) == 1


class TimeIsUp(BaseException):
    """What a library raises in a thread from outside, to end a function that takes too long."""


def raise_in(thread: int) -> None:
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeIsUp))
    assert raised == 1


async def test_an_exception_from_outside_ends_the_call_that_runs() -> None:
    ids: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait() -> None:
        ids.put(threading.get_ident())
        while True:
            time.sleep(0.001)

    with threads(1) as pool:
        call = pool.call(wait)
        raise_in(await asyncio.to_thread(ids.get, timeout=5))
        with pytest.raises(TimeIsUp):
            await asyncio.wait_for(call.result(), 5)


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Measure no coverage of this thread meanwhile.

    While an exception waits for an idle thread, Python 3.11 does not get past the begin of a traced function.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


async def test_an_exception_from_outside_that_comes_too_late_ends_neither_the_thread_nor_another_call() -> None:
    """As libraries do that limit a function's time. Source: https://github.com/Bogdanp/dramatiq/issues/445."""
    with threads(1) as pool, untraced():
        thread = await asyncio.wait_for(pool.call(threading.get_ident).result(), 5)
        for _ in range(50):
            raise_in(thread)
            assert await asyncio.wait_for(pool.call(threading.get_ident).result(), 5) == thread
        assert (pool._under_way, len(pool._threads)) == (0, 1)


async def test_what_has_not_begun_at_the_end_is_cancelled() -> None:
    begun, go = threading.Event(), threading.Event()

    def wait() -> str:
        begun.set()
        assert go.wait(5)
        return "done"

    with threads(1) as pool:
        first, second = pool.call(wait), pool.call(wait)
        assert await asyncio.to_thread(begun.wait, 5)
        pool.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.ensure_future(second.result()), 5)
        go.set()
        assert await asyncio.wait_for(first.result(), 5) == "done"
        with pytest.raises(RuntimeError, match="closed"):
            pool.call(wait)


async def test_a_system_without_another_thread_uses_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with threads(2) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                pool.call(lambda: 1)
        assert await asyncio.wait_for(pool.call(lambda: 1).result(), 5) == 1
        monkeypatch.setattr(threading.Thread, "start", refuse)
        calls = [pool.call(lambda: 2), pool.call(lambda: 3)]
        assert await asyncio.wait_for(asyncio.gather(*(call.result() for call in calls)), 5) == [2, 3]


@pytest.mark.parametrize("ends", ["before the next loop", "while the next loop runs"])
def test_a_loop_that_closed_under_a_call_does_not_keep_the_next_one_waiting(ends: str) -> None:
    go, gone = threading.Event(), threading.Event()

    def wait() -> None:
        assert go.wait(5)
        gone.set()

    with threads(1) as pool:

        async def leave() -> None:
            pool.call(wait)

        async def use() -> int:
            call = pool.call(lambda: 4)
            go.set()
            return int(await asyncio.wait_for(asyncio.ensure_future(call.result()), 5))

        asyncio.run(leave())
        if ends == "before the next loop":
            go.set()
            assert gone.wait(5)
        assert asyncio.run(use()) == 4
