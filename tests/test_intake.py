"""What a processor takes up, and when: order, delays, pauses, limits, and a queue that has been idle."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import uvloop

from auth_worker import Job, RateLimited
from auth_worker.events import ProcessorChanged
from workers import QUEUE, Desk, collect, eventually


async def listeners(desk: Desk, count: int) -> bool:
    """Whether so many workers wait to be told of a job."""
    return bool((await desk.redis.info("clients"))["blocked_clients"] == count)


async def test_jobs_run_in_the_order_of_priority_and_lifo(desk: Desk) -> None:
    order: list[str] = []

    async def consumer(job: Job) -> None:
        order.append(job.name)

    processor = await desk.processor(consumer, {"concurrency": 1}, start=False)
    jobs: list[tuple[str, dict[str, Any]]] = [
        ("p2", {"priority": 2}),
        ("p1", {"priority": 1}),
        ("first", {}),
        ("second", {}),
        ("last-in", {"lifo": True}),
    ]
    for name, options in jobs:
        await desk.jobs.add(name, {}, **options)
    await processor.initialize()
    await desk.settled(5)
    assert order == ["last-in", "first", "second", "p1", "p2"]


async def test_a_delayed_job_runs_when_it_is_due_to_some_ms(desk: Desk) -> None:
    late: list[float] = []

    async def consumer(job: Job) -> None:
        late.append(time.time() * 1000 - job.data["due"])

    await desk.processor(consumer)
    for delay in (50, 130, 300, 1010):
        await desk.jobs.add("later", {"due": time.time() * 1000 + delay}, delay=delay)
    await desk.settled(4)
    assert all(-3 <= ms < 400 for ms in late), late  # a busy machine is late; whole seconds would be later


async def test_paused_starts_nothing_and_resume_goes_on(desk: Desk) -> None:
    started: list[str] = []

    async def consumer(job: Job) -> None:
        started.append(job.id)
        await asyncio.sleep(0)

    processor = await desk.processor(consumer)
    for _ in range(20):
        await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(5))
        await processor.pause()
        count = len(started)
        await desk.jobs.add("late", {})
        await eventually(partial(listeners, desk, 0), "nobody listens for jobs")
        assert len(started) == count
        assert (await desk.counts())["wait"] >= 1
        await processor.resume()
    await desk.settled(120)


async def test_the_queue_paused_by_others_starts_nothing(desk: Desk) -> None:
    processor = await desk.processor(lambda job: None, start=False)
    await desk.redis.hset(f"bull:{QUEUE}:meta", "paused", "1")
    await processor.initialize()
    await desk.jobs.add("n", {})
    await eventually(partial(listeners, desk, 1), "the worker listens")
    await desk.redis.zadd(f"bull:{QUEUE}:marker", {"0": 0})
    await eventually(partial(listeners, desk, 1), "the worker has looked and listens again")
    assert (await desk.counts())["wait"] == 1
    await desk.redis.hdel(f"bull:{QUEUE}:meta", "paused")
    await desk.redis.zadd(f"bull:{QUEUE}:marker", {"0": 0})
    await desk.settled(1)


async def test_the_limiter_holds_for_the_whole_queue(desk: Desk) -> None:
    starts: list[float] = []

    async def consumer(job: Job) -> None:
        starts.append(time.monotonic())

    await desk.processor(consumer, {"limiter": {"max": 2, "duration": 300}})
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(6))
    await desk.settled(6)
    assert starts[-1] - starts[0] > 0.55
    assert sum(start - starts[0] < 0.25 for start in starts) == 2


async def test_a_burst_fills_all_slots(desk: Desk) -> None:
    together = 0
    most = 0
    gate = asyncio.Event()

    async def consumer(job: Job) -> None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await gate.wait()
        together -= 1

    await desk.processor(consumer, {"concurrency": 30})
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(60))
    await eventually(lambda: together == 30, "30 jobs at a time")
    gate.set()
    await desk.settled(60)
    assert most == 30


def test_a_rest_that_is_over_at_once_may_be_asked_for_again(redis_url: str) -> None:
    """As when two slots learn of a delayed job that is due now; uvloop gives a plain handle then, no timer."""

    async def consumer(job: Job) -> None: ...

    async def story() -> dict[str, int]:
        desk = Desk(redis_url)
        try:
            processor = await desk.processor(consumer)
            for _ in range(2):
                processor._intake.rest(0, resting=False)
            await desk.jobs.add("work", {})
            return await desk.settled(1)
        finally:
            await desk.close()

    assert uvloop.run(story())["completed"] == 1


async def test_idle_pickup_is_instant(desk: Desk) -> None:
    picked: list[float] = []

    async def consumer(job: Job) -> None:
        picked.append(time.time() * 1000 - job.data)

    await desk.processor(consumer)
    for pause in (0.0, 0.3, 5.5):
        await asyncio.sleep(pause)
        await desk.jobs.add("now", time.time() * 1000)
    await desk.settled(3)
    assert sorted(picked)[1] < 250, picked
    assert max(picked) < 1000, picked


async def test_rate_limited_rests_the_whole_queue_also_without_a_limiter(desk: Desk) -> None:
    starts: list[float] = []

    async def consumer(job: Job) -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise RateLimited(0.4)

    await desk.processor(consumer, {"concurrency": 1})
    await desk.processor(consumer, {"concurrency": 1})
    await desk.jobs.add("n", {})
    await eventually(lambda: starts)
    await desk.jobs.add("n", {})
    await desk.settled(2)
    assert starts[1] - starts[0] > 0.35


async def test_a_queue_that_stays_empty_is_told_to_be_drained_once(desk: Desk) -> None:
    processor = await desk.processor(lambda job: None, {"drain_delay": 50})
    changes = collect(processor.runtime.bus, ProcessorChanged)
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(5))
    await eventually(lambda: ProcessorChanged(QUEUE, "drained") in changes)
    assert (await desk.counts())["completed"] == 5
    await asyncio.sleep(0.15)
    assert changes == [ProcessorChanged(QUEUE, "drained")]
