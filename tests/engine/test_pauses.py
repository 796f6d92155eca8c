"""Pausing, resuming and closing at the same time as jobs run, are held or are asked for."""

from __future__ import annotations

import asyncio

from auth_worker import Job
from auth_worker.events import JobMoved, ProcessorChanged
from support.processors import QUEUE, Harness, collect, eventually


async def test_a_pause_that_is_taken_back_at_once_returns_though_jobs_go_on(harness: Harness) -> None:
    running = True

    async def consumer(job: Job) -> None: ...

    async def feed() -> None:
        while running:
            await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(200))

    processor = await harness.processor(consumer, {"concurrency": 50, "remove_on_complete": {"count": 10}})
    changes = collect(processor.runtime.bus, ProcessorChanged)
    feeding = asyncio.create_task(feed())
    await eventually(lambda: processor.get_metrics().completed > 200)
    pausing = asyncio.create_task(processor.pause())
    await asyncio.sleep(0)
    await processor.resume()
    async with asyncio.timeout(5):
        await pausing
    running = False
    await feeding
    assert not processor.is_paused
    assert changes == [ProcessorChanged(QUEUE, "resumed")]


async def hold_a_suspect(harness: Harness) -> None:
    """A job that comes from a dead worker, beside one that runs."""
    fields = {"name": "suspect", "data": "{}", "opts": "{}", "timestamp": "1", "stc": "1"}
    await harness.redis.hset(f"bull:{QUEUE}:suspect", mapping=fields)
    await harness.redis.lpush(f"bull:{QUEUE}:wait", "suspect")
    await harness.redis.zadd(f"bull:{QUEUE}:marker", {"0": 0})


async def test_a_suspect_that_is_held_does_not_begin_while_its_processor_is_closed(harness: Harness) -> None:
    ran: list[str] = []
    go_on = asyncio.Event()

    async def consumer(job: Job) -> None:
        ran.append(job.name)
        await go_on.wait()

    processor = await harness.processor(consumer)
    moves = collect(processor.runtime.bus, JobMoved)
    await harness.jobs.add("long", {})
    await eventually(lambda: ran)
    await hold_a_suspect(harness)
    await eventually(lambda: processor.active == 2, "the suspect is held")
    closing = asyncio.create_task(processor.close(10))
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert ran == ["long"]
    assert [(move.job_id, move.to) for move in moves] == [("suspect", "waiting")]
    assert (await harness.counts())["wait"] == 1


async def test_what_is_being_closed_is_not_resumed(harness: Harness) -> None:
    go_on = asyncio.Event()

    async def consumer(job: Job) -> None:
        await go_on.wait()

    processor = await harness.processor(consumer, {"concurrency": 1})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(3))
    await eventually(lambda: processor.active)
    closing = asyncio.create_task(processor.close(10))
    await asyncio.sleep(0)
    await processor.resume()
    go_on.set()
    assert await closing is True
    assert await harness.counts() == {**dict.fromkeys(await harness.counts(), 0), "wait": 2, "completed": 1}


async def test_who_takes_no_more_jobs_does_not_tell_that_the_queue_is_drained(harness: Harness) -> None:
    """The answer that there are no more comes when it is being closed."""
    closing: list[asyncio.Task[bool]] = []

    async def consumer(job: Job) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, lambda: closing.append(loop.create_task(processor.close())))

    processor = await harness.processor(consumer, {"drain_delay": 10})
    changes = collect(processor.runtime.bus, ProcessorChanged)
    await harness.jobs.add("n", {})
    await eventually(lambda: closing)
    await closing[0]
    assert [each.state for each in changes] == ["draining", "closed"]
    assert processor._worker is not None
    fetcher = processor._worker._fetcher
    assert not any(timer for timer in (fetcher._drained_timer, fetcher._timer))
