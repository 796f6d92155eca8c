"""The lag monitor reports a blocked work loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker.events import EventBus, LoopBlocked
from auth_worker.process.lag import LagMonitor
from auth_worker.system.loop_thread import LoopThread
from support.processors import eventually


async def a_tick(lag: LagMonitor) -> None:
    """Wait until the work loop has turned again."""
    before = lag.ticked
    await eventually(lambda: lag.ticked > before, "a tick")


@pytest.fixture
async def watch() -> AsyncIterator[LoopThread]:
    loop = LoopThread("test-watch")
    loop.start()
    yield loop
    await loop.stop()


async def test_a_blocked_work_loop_is_reported_once_with_its_running_jobs(
    watch: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.process.lag.LAG_TICK", 0.02)
    bus = EventBus()
    reported: list[Any] = []
    bus.subscribe(LoopBlocked, reported.append)
    lag = LagMonitor(asyncio.get_running_loop(), bus, lambda: ["work:1", "work:2"], limit=0.1)
    watch.keep(lag.run())
    for blocked in (1, 2):
        await a_tick(lag)
        assert len(reported) == blocked - 1
        time.sleep(0.4)  # noqa: ASYNC251 - this is the consumer that blocks
        assert len(reported) == blocked
    assert reported[0].job_ids == ("work:1", "work:2")
    assert 0.1 < reported[0].lag_s < 0.4


async def test_a_responsive_work_loop_is_not_reported(watch: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.process.lag.LAG_TICK", 0.01)
    bus = EventBus()
    reported: list[Any] = []
    bus.subscribe(LoopBlocked, reported.append)
    lag = LagMonitor(asyncio.get_running_loop(), bus, list, limit=1.0)
    watch.keep(lag.run())
    for _ in range(10):
        await a_tick(lag)
    assert reported == []


async def test_a_closed_work_loop_does_not_stop_the_monitor(
    watch: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.process.lag.LAG_TICK", 0.01)
    ended = asyncio.new_event_loop()
    ended.close()
    bus = EventBus()
    reported = threading.Event()
    bus.subscribe(LoopBlocked, lambda event: reported.set())
    watch.keep(LagMonitor(ended, bus, list, limit=0.05).run())
    assert await asyncio.to_thread(reported.wait, 5)
