"""Leases, with processes that are frozen, blocked, or have a wall clock gone mad."""

from __future__ import annotations

import asyncio

import pytest

from chaos.orders import LOCK_S, QUEUE
from chaos.stage import Stage
from workers import eventually


@pytest.mark.parametrize("work", ["block", "thread", "sleep"])
async def test_no_second_run_while_the_lease_holds(stage: Stage, work: str) -> None:
    """Jobs longer than the lock, under two workers that look for stalled jobs all the time."""
    for _ in range(2):
        await stage.crew.hire(config={"concurrency": 3})
    ids = await stage.add(*({"do": work, "s": 1.2} for _ in range(6 if work != "block" else 2)))
    await stage.add(*({"s": 0.01} for _ in range(20)))
    assert await stage.verdict() == []
    assert all(len(stage.ledger.runs_of(job_id)) == 1 for job_id in ids)
    assert {run.stalled for run in stage.ledger.runs()} == {0}


async def test_no_second_run_while_the_wall_clock_jumps(stage: Stage) -> None:
    """An hour forth and back, ten times a second, in both workers."""
    for _ in range(2):
        await stage.crew.hire(clock_jumps=True)
    await stage.add(*({"s": 1.2} for _ in range(8)))
    await stage.add(*({"s": 0.01} for _ in range(50)))
    assert await stage.verdict() == []
    runs = stage.ledger.runs()
    assert {(run.attempt, run.stalled, run.how) for run in runs} == {(1, 0, "returned")}
    assert len(runs) == 58


async def test_a_lost_lease_stops_the_run_of_a_process_that_was_frozen(stage: Stage) -> None:
    """Frozen longer than its lock, the worker finds its job with another one: it stops, and writes nothing."""
    frozen = await stage.crew.hire()
    (job_id,) = await stage.add({"do": "hang once", "s": 0.5})
    await stage.started()
    frozen.freeze()
    await stage.crew.hire()
    await stage.started(2)
    frozen.thaw()
    await eventually(lambda: stage.ledger.runs_of(job_id)[0].how == "cancelled", within=3)
    assert await stage.verdict() == []
    first, second = stage.ledger.runs_of(job_id)
    assert (first.how, second.how) == ("cancelled", "returned")
    assert (second.attempt, second.stalled) == (1, 1)
    await eventually(lambda: "lease lost" in frozen.log)


async def test_no_second_run_of_a_job_whose_lease_ended_on_the_way(stage: Stage) -> None:
    """A worker is frozen after Redis has given it a job, before it reads so; it wakes when the job is done."""
    async with stage.behind_a_proxy() as proxy:
        frozen = await stage.crew.hire(url=proxy.url)
        proxy.delay = 0.2
        (job_id,) = await stage.add({"s": 0})
        await eventually(lambda: stage.redis.llen(f"bull:{QUEUE}:active"))
        frozen.freeze()
        await stage.crew.hire()
        await stage.quiet(within=10)
        frozen.thaw()
        await asyncio.sleep(3 * proxy.delay)  # what it was sent arrives
        assert await stage.verdict() == []
        assert len(stage.ledger.runs_of(job_id)) == 1


async def test_a_freeze_shorter_than_the_lock_costs_nothing(stage: Stage) -> None:
    config = {"lock_duration": 10 * int(LOCK_S * 1000)}
    workers = [await stage.crew.hire(config=config) for _ in range(2)]
    await stage.add(*({"s": 0.02} for _ in range(100)))
    await stage.started(10)
    for worker in workers:
        worker.freeze()
    at_freeze = await stage.finished()
    await stage.redis.blpop(f"bull:{QUEUE}:nothing", timeout=1)
    assert await stage.finished() - at_freeze <= 2 * 4
    for worker in workers:
        worker.thaw()
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == 100
