"""A loop thread runs while the loop that owns it is blocked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from auth_worker.system.loop_thread import LoopThread


class Part:
    """Runs until it is cancelled."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), threading.Event()

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.fixture
async def watch() -> AsyncIterator[LoopThread]:
    loop = LoopThread("test-watch")
    loop.start()
    yield loop
    await loop.stop()


async def test_a_coroutine_runs_in_a_thread_of_its_own_and_gives_its_result(watch: LoopThread) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert await watch.call(where()) == "test-watch"


async def test_an_error_of_a_coroutine_comes_back_to_the_caller(watch: LoopThread) -> None:
    async def fail() -> None:
        raise LookupError("boom")

    with pytest.raises(LookupError, match="boom"):
        await watch.call(fail())


async def test_a_kept_coroutine_runs_until_it_is_ended(watch: LoopThread) -> None:
    part = Part()
    end = watch.keep(part.run())
    assert await asyncio.to_thread(part.started.wait, 5)
    assert not part.ended.is_set()
    end()
    assert await asyncio.to_thread(part.ended.wait, 5)


async def test_stopping_ends_what_runs_and_the_thread() -> None:
    watch = LoopThread("test-stopped")
    watch.start()
    part = Part()
    watch.keep(part.run())
    assert await asyncio.to_thread(part.started.wait, 5)
    await watch.stop()
    assert part.ended.is_set()
    assert "test-stopped" not in {thread.name for thread in threading.enumerate()}
    await watch.stop()


async def test_a_loop_can_be_stopped_the_moment_it_has_started() -> None:
    for _ in range(30):
        watch = LoopThread("test-loop")
        watch.start()
        await watch.stop()


async def test_a_loop_that_never_started_can_be_stopped_but_runs_nothing() -> None:
    watch = LoopThread("test-loop")
    await watch.stop()

    async def part() -> None:
        """Never runs."""

    coroutine = part()
    with pytest.raises(RuntimeError, match="not started"):
        await watch.call(coroutine)
    coroutine.close()


async def test_it_runs_while_the_work_loop_is_blocked(watch: LoopThread) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    watch.keep(count())
    before = turns
    time.sleep(0.3)  # noqa: ASYNC251 - this is the consumer that blocks
    assert turns - before > 10
