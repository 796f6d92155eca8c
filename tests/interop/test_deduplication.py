"""Deduplication as Node producers ask for it works with our worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auth_worker import Job
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually

ONCE = {"id": "user-42"}


class Seen:
    """A consumer that notes the data of its jobs, and can be held up."""

    def __init__(self) -> None:
        self.data: list[Any] = []
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, job: Job) -> None:
        self.data.append(job.data)
        self.started.set()
        await self.go_on.wait()


@pytest.fixture
def consumer() -> Seen:
    return Seen()


async def key_is_free(node: NodeSide, queue: str) -> bool:
    return await node.queue(queue, "getDeduplicationJobId", ONCE["id"]) is None


async def test_a_duplicate_is_dropped_until_we_completed_the_job(
    node: NodeSide, queue: str, start_worker: StartWorker, consumer: Seen
) -> None:
    consumer.go_on.clear()
    await start_worker(queue, consumer)
    await node.start_events(queue)
    first = await node.add(queue, "job", 1, deduplication=ONCE)
    await asyncio.wait_for(consumer.started.wait(), 10)
    assert await node.add(queue, "job", 2, deduplication=ONCE) == first
    assert (await node.event(queue, "deduplicated"))["jobId"] == first
    consumer.go_on.set()
    await node.finished(queue, first)
    third = await node.add(queue, "job", 3, deduplication=ONCE)
    await node.finished(queue, third)
    assert consumer.data == [1, 3]


async def test_a_duplicate_is_dropped_while_we_retry_and_taken_once_we_failed_the_job(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        raise OSError("no")

    await start_worker(queue, consumer)
    first = await node.add(queue, "job", 1, deduplication=ONCE, attempts=2, backoff=300)

    async def retrying() -> bool:
        return await node.state(queue, first) == "delayed"

    await eventually(retrying)
    assert await node.add(queue, "job", 2, deduplication=ONCE) == first
    await node.finished(queue, first)
    assert await key_is_free(node, queue)


async def test_a_throttled_duplicate_is_dropped_until_its_time_is_over_also_after_we_completed_the_job(
    node: NodeSide, queue: str, start_worker: StartWorker, consumer: Seen
) -> None:
    throttle = {**ONCE, "ttl": 700}
    await start_worker(queue, consumer)
    first = await node.add(queue, "job", 1, deduplication=throttle)
    await node.finished(queue, first)
    assert await node.add(queue, "job", 2, deduplication=throttle) == first

    async def free() -> bool:
        return await key_is_free(node, queue)

    await eventually(free)
    third = await node.add(queue, "job", 3, deduplication=throttle)
    await node.finished(queue, third)
    assert consumer.data == [1, 3]


async def test_of_debounced_jobs_we_run_the_last_one(
    node: NodeSide, queue: str, start_worker: StartWorker, consumer: Seen
) -> None:
    debounce = {**ONCE, "ttl": 500, "extend": True, "replace": True}
    await start_worker(queue, consumer)
    for number in range(4):
        last = await node.add(queue, "job", number, deduplication=debounce, delay=500)
    await node.finished(queue, last)
    assert consumer.data == [3]
    await node.until_counts(queue, completed=1)


async def test_of_jobs_added_while_we_run_one_the_last_is_kept_and_run_after_it(
    node: NodeSide, queue: str, start_worker: StartWorker, consumer: Seen
) -> None:
    keep_last = {**ONCE, "keepLastIfActive": True}
    consumer.go_on.clear()
    await start_worker(queue, consumer)
    await node.add(queue, "job", 1, deduplication=keep_last)
    await asyncio.wait_for(consumer.started.wait(), 10)
    for number in (2, 3, 4):
        await node.add(queue, "job", number, deduplication=keep_last)
    consumer.go_on.set()
    await node.until_counts(queue, completed=2)
    assert consumer.data == [1, 4]
