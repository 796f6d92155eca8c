"""What is read of many queues or job schedulers is asked for together: each read of a socket costs Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from auth_worker import JobQueue
from auth_worker.admin.operations import Operations
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.sampler import Sampler
from support.processors import QUEUE, Harness

LATE_MS = 600_000


async def reads(harness: Harness, work: Callable[[], Awaitable[object]]) -> int:
    """How often Redis reads from its sockets for ``work``."""
    await work()  # what is asked once
    before = await harness.redis.info("stats")
    await work()
    after = await harness.redis.info("stats")
    return int(after["total_reads_processed"] - before["total_reads_processed"])


async def fill(harness: Harness, queues: int) -> None:
    """Add queues with a failed job each."""
    pipeline = harness.redis.pipeline()
    for number in range(queues):
        pipeline.hset(f"bull:q{number}:meta", "opts.maxLenEvents", 10_000)
        pipeline.zadd(f"bull:q{number}:failed", {"1": 1})
        pipeline.hset(f"bull:q{number}:1", mapping={"name": "n", "timestamp": 1, "failedReason": "E", "atm": 1})
    await pipeline.execute()


async def test_fifty_queues_are_read_in_a_few_steps(harness: Harness, operations: Operations) -> None:
    await fill(harness, 50)
    assert await reads(harness, operations.queues.overview) <= 14


async def test_the_errors_of_fifty_queues_are_read_in_a_few_steps(
    harness: Harness, operations: Operations
) -> None:
    await fill(harness, 50)

    async def connected() -> Any:
        return operations

    sampler = Sampler(cast("Host", SimpleNamespace(operations=connected)))

    async def errors() -> None:
        sampler.forget()
        assert (await sampler.errors()).total == 50

    assert await reads(harness, errors) <= 40


async def test_the_doctor_reads_job_schedulers_together(harness: Harness, operations: Operations) -> None:
    async with JobQueue(QUEUE, harness.url) as queue:
        for number in range(100):
            await queue.upsert_job_scheduler(f"every-{number}", name="run", every=3_600_000)
    pipeline = harness.redis.pipeline()
    for number in range(100):  # each is due, and its job is gone
        pipeline.zadd(f"bull:{QUEUE}:repeat", {f"every-{number}": LATE_MS + number})
    await pipeline.execute()
    schedulers = operations.broker.queue(QUEUE).schedulers
    reading = await schedulers(1000, 2 * LATE_MS)
    assert (reading.seen, len(reading.stopped)) == (100, 100)
    assert await reads(harness, lambda: schedulers(1000, 2 * LATE_MS)) <= 12
    assert (await schedulers(10, 2 * LATE_MS)).seen == 11, "one more than asked for says that there are more"
