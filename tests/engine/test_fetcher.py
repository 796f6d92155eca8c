"""What a processor takes up, and when: order, delays, pauses, limits, and a queue that has been idle."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import uvloop

from auth_worker import Job, RateLimited
from auth_worker.events import ProcessorChanged
from support.processors import QUEUE, Harness, collect, eventually


async def listeners(harness: Harness, count: int) -> bool:
    """Whether so many workers wait to be told of a job."""
    clients = await harness.redis.client_list()
    return bool(sum(client["cmd"] == "bzpopmin" and "b" in client["flags"] for client in clients) == count)


async def test_jobs_run_in_the_order_of_priority_and_lifo(harness: Harness) -> None:
    order: list[str] = []

    async def consumer(job: Job) -> None:
        order.append(job.name)

    processor = await harness.processor(consumer, {"concurrency": 1}, start=False)
    jobs: list[tuple[str, dict[str, Any]]] = [
        ("p2", {"priority": 2}),
        ("p1", {"priority": 1}),
        ("first", {}),
        ("second", {}),
        ("last-in", {"lifo": True}),
    ]
    for name, options in jobs:
        await harness.jobs.add(name, {}, **options)
    await processor.initialize()
    await harness.settled(5)
    assert order == ["last-in", "first", "second", "p1", "p2"]


async def test_a_delayed_job_runs_when_it_is_due_to_some_ms(harness: Harness) -> None:
    late: list[float] = []

    async def consumer(job: Job) -> None:
        late.append(time.time() * 1000 - job.data["due"])

    await harness.processor(consumer)
    for delay in (50, 130, 300, 1010):
        await harness.jobs.add("later", {"due": time.time() * 1000 + delay}, delay=delay)
    await harness.settled(4)
    assert all(-3 <= ms < 400 for ms in late), late  # a busy machine is late; whole seconds would be later


async def test_paused_starts_nothing_and_resume_goes_on(harness: Harness) -> None:
    started: list[str] = []

    async def consumer(job: Job) -> None:
        started.append(job.id)
        await asyncio.sleep(0)

    processor = await harness.processor(consumer)
    for _ in range(20):
        await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(5))
        await processor.pause()
        count = len(started)
        await harness.jobs.add("late", {})
        await eventually(partial(listeners, harness, 0), "nobody listens for jobs")
        assert len(started) == count
        assert (await harness.counts())["wait"] >= 1
        await processor.resume()
    await harness.settled(120)


async def test_the_queue_paused_by_others_starts_nothing(harness: Harness) -> None:
    processor = await harness.processor(lambda job: None, start=False)
    await harness.redis.hset(f"bull:{QUEUE}:meta", "paused", "1")
    await processor.initialize()
    await harness.jobs.add("n", {})
    await eventually(partial(listeners, harness, 1), "the worker listens")
    await harness.redis.zadd(f"bull:{QUEUE}:marker", {"0": 0})
    await eventually(partial(listeners, harness, 1), "the worker has looked and listens again")
    assert (await harness.counts())["wait"] == 1
    await harness.redis.hdel(f"bull:{QUEUE}:meta", "paused")
    await harness.redis.zadd(f"bull:{QUEUE}:marker", {"0": 0})
    await harness.settled(1)


async def test_the_limiter_holds_for_the_whole_queue(harness: Harness) -> None:
    starts: list[float] = []

    async def consumer(job: Job) -> None:
        starts.append(time.monotonic())

    await harness.processor(consumer, {"limiter": {"max": 2, "duration": 300}})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(6))
    await harness.settled(6)
    assert starts[-1] - starts[0] > 0.55
    assert sum(start - starts[0] < 0.25 for start in starts) == 2


async def test_a_burst_fills_all_slots(harness: Harness) -> None:
    together = 0
    most = 0
    gate = asyncio.Event()

    async def consumer(job: Job) -> None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await gate.wait()
        together -= 1

    await harness.processor(consumer, {"concurrency": 30})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(60))
    await eventually(lambda: together == 30, "30 jobs at a time")
    gate.set()
    await harness.settled(60)
    assert most == 30


def test_a_rest_that_is_over_at_once_may_be_asked_for_again(redis_url: str) -> None:
    """As when two slots learn of a delayed job that is due now; uvloop gives a plain handle then, no timer."""

    async def consumer(job: Job) -> None: ...

    async def story() -> dict[str, int]:
        harness = Harness(redis_url)
        try:
            processor = await harness.processor(consumer)
            assert processor._worker is not None
            for _ in range(2):
                processor._worker._fetcher.pause(0, ignore_doorbell=False)
            await harness.jobs.add("work", {})
            return await harness.settled(1)
        finally:
            await harness.close()

    assert uvloop.run(story())["completed"] == 1


async def test_idle_pickup_is_instant(harness: Harness) -> None:
    picked: list[float] = []

    async def consumer(job: Job) -> None:
        picked.append(time.time() * 1000 - job.data)

    await harness.processor(consumer)
    for pause in (0.0, 0.3, 5.5):
        await asyncio.sleep(pause)
        await harness.jobs.add("now", time.time() * 1000)
    await harness.settled(3)
    assert sorted(picked)[1] < 250, picked
    assert max(picked) < 1000, picked


async def test_rate_limited_pauses_the_whole_queue_also_without_a_limiter(harness: Harness) -> None:
    starts: list[float] = []

    async def consumer(job: Job) -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise RateLimited(0.4)

    await harness.processor(consumer, {"concurrency": 1})
    await harness.processor(consumer, {"concurrency": 1})
    await harness.jobs.add("n", {})
    await eventually(lambda: starts)
    await harness.jobs.add("n", {})
    await harness.settled(2)
    assert starts[1] - starts[0] > 0.35


async def test_a_queue_that_stays_empty_is_reported_as_drained_once(harness: Harness) -> None:
    processor = await harness.processor(lambda job: None, {"drain_delay": 50})
    changes = collect(processor.runtime.bus, ProcessorChanged)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(5))
    await eventually(lambda: ProcessorChanged(QUEUE, "drained") in changes)
    assert (await harness.counts())["completed"] == 5
    await asyncio.sleep(0.15)
    assert changes == [ProcessorChanged(QUEUE, "drained")]
