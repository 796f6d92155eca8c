"""Leases: a job runs once at a time, and nobody writes for a job that is somebody else's."""

from __future__ import annotations

import asyncio
import time

import pytest

from auth_worker import Job, UnrecoverableError
from auth_worker.engine.leases import RENEW_AT, LeaseRenewer
from auth_worker.events import EventBus, JobsRecovered, LeaseLost, LoopBlocked
from support.processors import DEAD, QUEUE, Harness, collect, eventually
from support.scripted_broker import ScriptedUpkeep


async def test_no_second_run_while_the_lease_holds(harness: Harness) -> None:
    """The consumer blocks the event loop for longer than the lock: the watch loop keeps the lease."""
    runs: list[str] = []

    def blocking(job: Job) -> None:
        runs.append(job.id)
        time.sleep(1.0)

    async def consumer(job: Job) -> None:
        blocking(job)

    config = {"lock_duration": 300, "stalled_interval": 50}
    first = await harness.processor(consumer, config)
    lost = collect(first.runtime.bus, LeaseLost)
    await harness.jobs.add("block", {})
    recovering = asyncio.create_task(asyncio.to_thread(_other_worker_looks, harness.url))
    await harness.settled(1)
    recovered = await recovering
    assert recovered == []
    assert (len(runs), lost) == (1, [])


@pytest.mark.parametrize("lease_s", [0.1, 30.0, 3600.0])
async def test_a_job_that_starts_after_an_idle_look_is_seen_before_its_renewal_is_due(
    lease_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    told: list[object] = []
    leases = LeaseRenewer(
        ScriptedUpkeep(),
        EventBus(),
        queue=QUEUE,
        lease_s=lease_s,
        held=tuple,
        on_lost=told.append,
        on_cancelled=told.append,
    )
    monkeypatch.setattr("auth_worker.engine.leases.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await leases.run()
    assert max(pauses) <= lease_s * RENEW_AT / 2


def _other_worker_looks(url: str) -> list[object]:
    """Another worker, in another thread and loop, which would take a stalled job."""

    async def look() -> list[object]:
        harness = Harness(url)
        taken: list[object] = []
        processor = await harness.processor(taken.append, {"lock_duration": 300, "stalled_interval": 50})
        await asyncio.sleep(1.5)
        assert processor.is_running
        await harness.close()
        return taken

    return asyncio.run(look())


async def test_a_blocked_loop_is_noticed_with_the_job_that_blocks_it(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        time.sleep(2.5)  # noqa: ASYNC251 - the blocking is what is tested

    processor = await harness.processor(consumer)
    blocked = collect(processor.runtime.bus, LoopBlocked)
    job_id = await harness.jobs.add("block", {})
    await harness.settled(1)
    assert blocked
    assert blocked[0].job_ids == (f"{QUEUE}:{job_id}",)


async def test_a_lost_lease_stops_the_run(harness: Harness) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.set()
            raise

    processor = await harness.processor(consumer, {"lock_duration": 400, "stalled_interval": 60_000})
    lost = collect(processor.runtime.bus, LeaseLost)
    job_id = await harness.jobs.add("long", {})
    await started.wait()
    await harness.redis.set(f"bull:{QUEUE}:{job_id}:lock", "another worker")
    await asyncio.wait_for(stopped.wait(), 1)
    await eventually(lambda: lost)
    stored = await harness.job(job_id)
    assert not {"returnvalue", "failedReason", "finishedOn"} & set(stored)
    assert (await harness.counts())["active"] == 1
    assert processor.get_metrics().leases_lost == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_a_lost_lease_writes_nothing_also_when_the_run_ended(harness: Harness, fails: bool) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> str:
        started.set()
        await go_on.wait()
        if fails:
            raise UnrecoverableError("late")
        return "late"

    processor = await harness.processor(consumer, {"stalled_interval": 60_000})
    lost = collect(processor.runtime.bus, LeaseLost)
    job_id = await harness.jobs.add("late", {})
    await started.wait()
    await harness.redis.set(f"bull:{QUEUE}:{job_id}:lock", "another worker")
    go_on.set()
    await eventually(lambda: lost)
    assert not {"returnvalue", "failedReason", "dlq"} & set(await harness.job(job_id))
    assert await harness.redis.keys(f"bull:{DEAD}:*") == []


async def test_a_job_of_a_dead_worker_is_recovered(harness: Harness) -> None:
    ran: list[int] = []

    async def consumer(job: Job) -> None:
        ran.append(job.stalled_count)

    job_id = await harness.jobs.add("orphan", {})
    await harness.redis.rpoplpush(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:active")
    await harness.redis.delete(f"bull:{QUEUE}:marker")
    processor = await harness.processor(consumer)
    recovered = collect(processor.runtime.bus, JobsRecovered)
    await harness.settled(1)
    assert ran == [1]
    assert recovered[0].job_ids == (job_id,)


async def test_a_job_that_stalled_too_often_is_dead_without_another_run(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.id)

    job_id = await harness.jobs.add("poison", {})
    await harness.redis.rpoplpush(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:active")
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "stc", 3)
    await harness.processor(consumer, {"max_stalled_count": 3})
    assert (await harness.settled(1))["failed"] == 1
    assert ran == []
    assert (await harness.dead_letters())[0]["reasonClass"] == "stalled"


async def test_a_suspect_runs_with_no_neighbours(harness: Harness) -> None:
    alone: list[bool] = []
    running = 0

    async def consumer(job: Job) -> None:
        nonlocal running
        running += 1
        if job.stalled_count:
            alone.append(running == 1)
        await asyncio.sleep(0.02)
        if job.stalled_count:
            alone.append(running == 1)
        running -= 1

    ids = await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(40))
    for job_id in ids[10:15]:
        await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "stc", 1)
    await harness.processor(consumer, {"concurrency": 8})
    assert (await harness.settled(40))["completed"] == 40
    assert len(alone) == 10
    assert all(alone)


async def test_deploys_cost_no_attempts(harness: Harness) -> None:
    """A stop whose deadline passes hands the job back: another worker has it at once, nothing counted."""
    started = asyncio.Event()
    ran: list[tuple[int, int]] = []

    async def hanging(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    async def quick(job: Job) -> None:
        ran.append((job.attempt, job.stalled_count))

    first = await harness.processor(hanging)
    job_id = await harness.jobs.add("long", {})
    await started.wait()
    before = time.monotonic()
    assert await first.close(0.1) is False
    assert time.monotonic() - before < 3
    await harness.processor(quick)
    await harness.settled(1)
    assert ran == [(1, 0)]
    assert "stc" not in await harness.job(job_id)


async def test_a_consumer_that_ignores_cancellation_is_handed_back_all_the_same(harness: Harness) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def stubborn(job: Job) -> str:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    processor = await harness.processor(stubborn)
    job_id = await harness.jobs.add("stubborn", {})
    await started.wait()
    await processor.close(0.05)
    assert (await harness.counts())["wait"] == 1
    release.set()
    await asyncio.sleep(0)
    assert "returnvalue" not in await harness.job(job_id)
