"""Leases, with processes that are frozen, blocked, or have a wall clock gone mad."""

from __future__ import annotations

import asyncio

import pytest

from chaos.harness import ChaosHarness
from chaos.worker_options import LOCK_S, QUEUE
from support.processors import eventually


@pytest.mark.parametrize("work", ["block", "thread", "sleep"])
async def test_no_second_run_while_the_lease_holds(harness: ChaosHarness, work: str) -> None:
    """Jobs longer than the lock, under two workers that look for stalled jobs all the time."""
    for _ in range(2):
        await harness.workers.start(config={"concurrency": 3})
    ids = await harness.add(*({"do": work, "s": 1.2} for _ in range(6 if work != "block" else 2)))
    await harness.add(*({"s": 0.01} for _ in range(20)))
    assert await harness.verdict() == []
    assert all(len(harness.run_log.runs_of(job_id)) == 1 for job_id in ids)
    assert {run.stalled for run in harness.run_log.runs()} == {0}


async def test_no_second_run_while_the_wall_clock_jumps(harness: ChaosHarness) -> None:
    """An hour forth and back, ten times a second, in both workers."""
    for _ in range(2):
        await harness.workers.start(clock_jumps=True)
    await harness.add(*({"s": 1.2} for _ in range(8)))
    await harness.add(*({"s": 0.01} for _ in range(50)))
    assert await harness.verdict() == []
    runs = harness.run_log.runs()
    assert {(run.attempt, run.stalled, run.how) for run in runs} == {(1, 0, "returned")}
    assert len(runs) == 58


async def test_a_lost_lease_stops_the_run_of_a_process_that_was_frozen(harness: ChaosHarness) -> None:
    """Frozen longer than its lock, the worker finds its job with another one: it stops, and writes nothing."""
    frozen = await harness.workers.start()
    (job_id,) = await harness.add({"do": "hang once", "s": 0.5})
    await harness.started()
    frozen.freeze()
    await harness.workers.start()
    await harness.started(2)
    frozen.thaw()
    await eventually(lambda: harness.run_log.runs_of(job_id)[0].how == "cancelled", within=3)
    assert await harness.verdict() == []
    first, second = harness.run_log.runs_of(job_id)
    assert (first.how, second.how) == ("cancelled", "returned")
    assert (second.attempt, second.stalled) == (1, 1)
    await eventually(lambda: "lease lost" in frozen.log)


async def test_no_second_run_of_a_job_whose_lease_ended_on_the_way(harness: ChaosHarness) -> None:
    """A worker is frozen after Redis has given it a job, before it reads so; it wakes when the job is done."""
    async with harness.behind_a_proxy() as proxy:
        frozen = await harness.workers.start(url=proxy.url)
        proxy.delay = 0.2
        (job_id,) = await harness.add({"s": 0})
        await eventually(lambda: harness.redis.llen(f"bull:{QUEUE}:active"))
        frozen.freeze()
        await harness.workers.start()
        await harness.quiet(within=10)
        frozen.thaw()
        await asyncio.sleep(3 * proxy.delay)  # what it was sent arrives
        assert await harness.verdict() == []
        assert len(harness.run_log.runs_of(job_id)) == 1


async def test_a_freeze_shorter_than_the_lock_costs_nothing(harness: ChaosHarness) -> None:
    config = {"lock_duration": 10 * int(LOCK_S * 1000)}
    workers = [await harness.workers.start(config=config) for _ in range(2)]
    await harness.add(*({"s": 0.02} for _ in range(100)))
    await harness.started(10)
    for worker in workers:
        worker.freeze()
    at_freeze = await harness.finished()
    await harness.redis.blpop(f"bull:{QUEUE}:nothing", timeout=1)
    assert await harness.finished() - at_freeze <= 2 * 4
    for worker in workers:
        worker.thaw()
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == 100
