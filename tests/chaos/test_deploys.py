"""Stops: whatever runs ends or is handed back, in time, and costs neither attempt nor stall."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from auth_worker.brokers.redis.doorbell import BLOCK_S
from auth_worker.system.handled_signals import MOMENT_S
from chaos.deploys import roll
from chaos.fault_points import HAND_BACK_POINTS
from chaos.harness import ChaosHarness

RESTARTS = int(os.environ.get("AUTH_TEST_CHAOS_RESTARTS", "20"))
LONG = {"s": 3600}
QUICK_S = BLOCK_S - 1
"""Sooner than whoever missed the doorbell looks at the queue, and than any other timeout would end the wait."""


@pytest.mark.timeout(60 + RESTARTS)
async def test_deploys_cost_no_attempts(harness: ChaosHarness) -> None:
    """Rolling restarts of three workers under load; ``make chaos RESTARTS=100`` for more of them."""
    deploys = await roll(harness, RESTARTS)
    assert deploys.violations == []
    assert deploys.jobs == 40 * RESTARTS
    assert deploys.handed_back


@pytest.mark.parametrize("stop", ["its deadline", "a second signal"])
async def test_deadline_is_kept_by_a_job_that_hangs(harness: ChaosHarness, stop: str) -> None:
    """The job is handed back: another worker has it at once, nothing counted."""
    (job_id,) = await harness.add({"do": "sleep", "s": 3600})
    worker = await harness.workers.start(settings={"shutdown_timeout": 0.3 if stop == "its deadline" else 60})
    await harness.started()
    before = time.monotonic()
    worker.signal(signal.SIGTERM)
    if stop == "a second signal":
        await harness.logged("Shutdown signal received")
        await asyncio.sleep(MOMENT_S)
        worker.signal(signal.SIGTERM)
    assert await worker.gone() == 3
    assert time.monotonic() - before < QUICK_S
    await harness.workers.start()
    await harness.started(2, within=QUICK_S)
    second = harness.run_log.runs_of(job_id)[1]
    assert (second.attempt, second.stalled) == (1, 0)


@pytest.mark.parametrize("consumer", ["ignores cancellation", "hangs in a thread", "blocks the loop"])
async def test_deadline_is_kept_by_a_consumer_that_cannot_be_stopped(harness: ChaosHarness, consumer: str) -> None:
    works: dict[str, dict[str, Any]] = {
        "ignores cancellation": {"do": "ignore cancellation"},
        "hangs in a thread": {"s": 20},
        "blocks the loop": {"do": "block", "s": 20},
    }
    (job_id,) = await harness.add(works[consumer])
    plain = consumer == "hangs in a thread"
    worker = await harness.workers.start(plain=plain, settings={"shutdown_timeout": 0.2})
    await harness.started()
    worker.signal(signal.SIGTERM)
    assert await worker.gone(within=6) == 3
    await harness.workers.start(plain=plain)
    await harness.started(2, within=QUICK_S)
    second = harness.run_log.runs_of(job_id)[1]
    assert (second.attempt, second.stalled) == (1, 0)


async def test_deadline_is_kept_while_the_broker_hangs(harness: ChaosHarness) -> None:
    async with harness.behind_a_proxy() as proxy:
        worker = await harness.workers.start(url=proxy.url, settings={"shutdown_timeout": 0.3})
        await harness.add(LONG)
        await harness.started()
        proxy.black_hole = True
        before = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert await worker.gone() == 3
        assert time.monotonic() - before < QUICK_S


@pytest.mark.parametrize("point", HAND_BACK_POINTS)
async def test_a_worker_killed_while_it_hands_back_loses_nothing(harness: ChaosHarness, point: str) -> None:
    """Of three jobs, the first is handed back, and the second as well if the kill comes after that."""
    ids = await harness.add(*({"do": "hang at first"} for _ in range(3)))
    worker = await harness.workers.start(crash=point, crash_at=2, settings={"shutdown_timeout": 0})
    await harness.started(3)
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == -9
    await harness.workers.start()
    assert await harness.verdict() == []
    stalled = sum(harness.run_log.runs_of(job_id)[1].stalled for job_id in ids)
    assert stalled == (2 if point == "before_hand_back_sent" else 1)


async def test_a_signal_before_the_start_has_ended_stops_it(harness: ChaosHarness) -> None:
    worker = harness.workers.launch(url="redis://127.0.0.1:1/0")
    await harness.logged("Worker service starting")
    before = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0
    assert time.monotonic() - before < QUICK_S


async def test_a_job_that_comes_while_a_worker_drains_is_taken_by_another_at_once(harness: ChaosHarness) -> None:
    """The one that drains was first in line at the doorbell; it must not swallow the ring."""
    leaver = await harness.workers.start()
    await harness.add({"s": 4})
    await harness.started()
    await harness.workers.start()
    leaver.signal(signal.SIGTERM)
    await harness.logged("Shutdown signal received")
    for number in range(2, 5):
        await harness.add({"s": 0})
        await harness.started(number, within=QUICK_S)


async def test_a_stop_of_an_idle_or_paused_worker_is_clean_and_quick(harness: ChaosHarness) -> None:
    worker = await harness.workers.start()
    await harness.redis.hset("bull:work:meta", "paused", "1")
    await harness.add({"s": 0})
    before = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0
    assert time.monotonic() - before < QUICK_S
    assert "Traceback" not in worker.log
