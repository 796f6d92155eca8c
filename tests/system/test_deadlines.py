"""One timer bounds the waits for any number of futures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.system.deadlines import Deadlines


class ScriptedLoop:
    """An event loop's clock, which a test moves, and its timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        self.timers.append((when, callback))
        return object()

    def move(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        for timer in due:
            self.timers.remove(timer)
            timer[1]()


@pytest.fixture
def loop() -> ScriptedLoop:
    return ScriptedLoop()


@pytest.fixture
def deadlines(loop: ScriptedLoop) -> Deadlines:
    return Deadlines(loop, 10)  # type: ignore[arg-type]


async def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


async def test_a_future_is_resolved_with_none_once_its_time_is_up(
    loop: ScriptedLoop, deadlines: Deadlines
) -> None:
    late = await _future()
    assert deadlines.watch(late) == 110
    loop.move(9.9)
    assert not late.done()
    loop.move(0.1)
    assert late.result() is None


async def test_each_future_has_its_own_time(loop: ScriptedLoop, deadlines: Deadlines) -> None:
    first, second = await _future(), await _future()
    deadlines.watch(first)
    loop.move(4)
    deadlines.watch(second)
    loop.move(6)
    assert first.done()
    assert not second.done()
    loop.move(4)
    assert second.done()


async def test_a_future_that_is_done_keeps_its_result(loop: ScriptedLoop, deadlines: Deadlines) -> None:
    done, cancelled = await _future(), await _future()
    deadlines.watch(done)
    deadlines.watch(cancelled)
    done.set_result("reply")
    cancelled.cancel()
    loop.move(10)
    assert done.result() == "reply"
    assert cancelled.cancelled()


async def test_there_is_one_timer_and_none_without_waits(loop: ScriptedLoop, deadlines: Deadlines) -> None:
    for _ in range(100):
        future = await _future()
        deadlines.watch(future)
        future.set_result(1)
        loop.move(0.01)
        assert len(loop.timers) == 1
    loop.move(10)
    assert not loop.timers


async def test_futures_that_are_done_are_not_kept(deadlines: Deadlines) -> None:
    for _ in range(100):
        future = await _future()
        deadlines.watch(future)
        future.set_result(1)
    assert len(deadlines._watched) == 1
