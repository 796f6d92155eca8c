"""The watch loop turns while the work loop does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker.events import EventBus, LoopBlocked
from auth_worker.watch import LagWatch, WatchLoop
from workers import eventually


async def a_tick(lag: LagWatch) -> None:
    """Return once the work loop has turned again."""
    before = lag.ticked
    await eventually(lambda: lag.ticked > before, "a tick")


@pytest.fixture
async def watch() -> AsyncIterator[WatchLoop]:
    loop = WatchLoop("test-watch")
    loop.start()
    yield loop
    await loop.stop()


async def test_a_coroutine_runs_in_a_thread_of_its_own_and_gives_its_result(watch: WatchLoop) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert await watch.call(where()) == "test-watch"


async def test_an_error_of_a_coroutine_comes_back_to_the_caller(watch: WatchLoop) -> None:
    async def fail() -> None:
        raise LookupError("boom")

    with pytest.raises(LookupError, match="boom"):
        await watch.call(fail())


async def test_what_is_kept_runs_until_it_is_ended(watch: WatchLoop) -> None:
    started, ended = threading.Event(), threading.Event()

    async def part() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    end = watch.keep(part())
    assert await asyncio.to_thread(started.wait, 5)
    assert not ended.is_set()
    end()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_stopping_ends_what_runs_and_the_thread() -> None:
    watch = WatchLoop("test-stopped")
    watch.start()
    started, ended = threading.Event(), threading.Event()

    async def part() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    watch.keep(part())
    assert await asyncio.to_thread(started.wait, 5)
    await watch.stop()
    assert ended.is_set()
    assert "test-stopped" not in {thread.name for thread in threading.enumerate()}
    await watch.stop()


async def test_a_loop_can_be_stopped_the_moment_it_has_started() -> None:
    for _ in range(30):
        watch = WatchLoop()
        watch.start()
        await watch.stop()


async def test_a_loop_that_never_started_can_be_stopped_but_runs_nothing() -> None:
    watch = WatchLoop()
    await watch.stop()

    async def part() -> None:
        """Never runs."""

    coroutine = part()
    with pytest.raises(RuntimeError, match="not started"):
        await watch.call(coroutine)
    coroutine.close()


async def test_it_turns_while_the_work_loop_is_blocked(watch: WatchLoop) -> None:
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


async def test_a_blocked_work_loop_is_told_once_with_who_ran(
    watch: WatchLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.watch.LAG_TICK", 0.02)
    bus = EventBus()
    told: list[Any] = []
    bus.subscribe(LoopBlocked, told.append)
    lag = LagWatch(asyncio.get_running_loop(), bus, lambda: ["work:1", "work:2"], limit=0.1)
    watch.keep(lag.run())
    for blocked in (1, 2):
        await a_tick(lag)
        assert len(told) == blocked - 1
        time.sleep(0.4)  # noqa: ASYNC251 - this is the consumer that blocks
        assert len(told) == blocked
    assert told[0].job_ids == ("work:1", "work:2")
    assert 0.1 < told[0].lag_s < 0.4


async def test_a_work_loop_that_turns_is_not_blamed(watch: WatchLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.watch.LAG_TICK", 0.01)
    bus = EventBus()
    told: list[Any] = []
    bus.subscribe(LoopBlocked, told.append)
    lag = LagWatch(asyncio.get_running_loop(), bus, list, limit=1.0)
    watch.keep(lag.run())
    for _ in range(10):
        await a_tick(lag)
    assert told == []


async def test_a_work_loop_that_has_ended_does_not_end_the_watch(
    watch: WatchLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.watch.LAG_TICK", 0.01)
    ended = asyncio.new_event_loop()
    ended.close()
    bus = EventBus()
    told = threading.Event()
    bus.subscribe(LoopBlocked, lambda event: told.set())
    watch.keep(LagWatch(ended, bus, list, limit=0.05).run())
    assert await asyncio.to_thread(told.wait, 5)
