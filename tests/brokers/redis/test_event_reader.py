"""One connection reads the events of all queues of an event loop, and none of them disturbs another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from auth_worker import Job, JobQueue
from auth_worker.brokers.redis import event_reader
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.errors import BrokerUnavailableError, JobCancelledError
from support.processors import QUEUE, Harness, eventually

READER = "auth-worker:results"


async def consumer(job: Job) -> str:
    return f"done {job.data}"


async def readers(harness: Harness) -> list[dict[str, Any]]:
    """The connections that read events now."""
    return [
        each for each in await harness.redis.client_list() if each["name"] == READER and each["cmd"] == "xread"
    ]


async def until_read(harness: Harness) -> None:
    """Wait until somebody reads the events."""
    await eventually(lambda: readers(harness), "a reader of the events")


@pytest.fixture
def long_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of the events that nobody ends lasts longer than any test."""
    monkeypatch.setattr(event_reader, "BLOCK_S", 100.0)


@pytest.fixture
async def queues(harness: Harness) -> AsyncIterator[list[JobQueue]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(JobQueue(f"{QUEUE}{n}", harness.url)) for n in range(30)]


async def test_thirty_queues_share_one_reader(harness: Harness, queues: list[JobQueue], long_reads: None) -> None:
    """Each joins while the read for the ones before is under way."""
    ids = [await queue.add("n", n) for n, queue in enumerate(queues)]
    waiting = []
    for queue, job_id in zip(queues, ids, strict=True):
        waiting.append(asyncio.create_task(queue.result(job_id, 20)))
        await until_read(harness)
    for queue in reversed(queues):
        await harness.processor(consumer, queue_name=queue.name, dead_letter_queue_name=None)
    assert await asyncio.gather(*waiting) == [f"done {n}" for n in range(30)]
    assert len(await readers(harness)) == 1


async def test_objects_of_one_queue_share_a_reader_and_close_alone(harness: Harness, long_reads: None) -> None:
    async with JobQueue(QUEUE, harness.url) as staying, JobQueue(QUEUE, harness.url) as leaving:
        job_id = await staying.add("n", 1)
        stays, leaves = (asyncio.create_task(each.result(job_id, 20)) for each in (staying, leaving))
        await until_read(harness)
        await leaving.close()
        with pytest.raises(BrokerUnavailableError, match="was closed"):
            await leaves
        await harness.processor(consumer)
        assert await stays == "done 1"
        assert await leaving.result(job_id, 20) == "done 1"

    async def is_gone() -> bool:
        return all(each["name"] != READER for each in await harness.redis.client_list())

    await eventually(is_gone, "the end of the connection")


async def test_all_that_come_at_a_time_join_once(harness: Harness) -> None:
    await harness.jobs.add("n", 0)
    ids = await harness.jobs.add_bulk([{"name": "n", "data": 1} for _ in range(100)])
    await harness.redis.config_resetstat()
    waiting = [asyncio.create_task(harness.jobs.result(job_id, 20)) for job_id in ids]
    await until_read(harness)
    assert (await harness.redis.info("commandstats"))["cmdstat_xrevrange"]["calls"] == 1
    await harness.jobs.close()
    for each in waiting:
        with pytest.raises(BrokerUnavailableError, match="was closed"):
            await each


@pytest.mark.parametrize("turns", range(8))
async def test_a_queue_that_is_closed_while_it_joins_says_so(harness: Harness, turns: int) -> None:
    job_id = await harness.jobs.add("n", 0)
    waiting = asyncio.create_task(harness.jobs.result(job_id, 20))
    for _ in range(turns):
        await asyncio.sleep(0)
    await harness.jobs.close()
    if not waiting.done():  # it connects again where it had not begun
        assert turns < 2
        await harness.jobs.cancel(job_id)
    with pytest.raises((BrokerUnavailableError, JobCancelledError)):
        await waiting


async def test_a_stream_that_nobody_awaits_any_more_is_not_read(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "LINGER_S", 0.0)
    monkeypatch.setattr(event_reader, "BLOCK_S", 0.1)
    job_id = await harness.jobs.add("n", 1)
    waiting = asyncio.create_task(harness.jobs.result(job_id, 20))
    await until_read(harness)
    await harness.processor(consumer)
    assert await waiting == "done 1"
    await harness.processors[0].close(0)

    async def nothing_is_read() -> bool:
        return int((await harness.redis.info("clients"))["blocked_clients"]) == 0

    await eventually(nothing_is_read, "the end of the reading")
    again = await harness.jobs.add("n", 2)
    waiting = asyncio.create_task(harness.jobs.result(again, 20))
    await harness.processor(consumer)
    assert await waiting == "done 2"


async def test_a_stream_that_cannot_be_read_ends_no_other_wait(
    harness: Harness, queues: list[JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "PAUSE_S", 0.01)
    good, bad = queues[:2]
    first, second = await good.add("n", 1), await good.add("n", 2)
    lost = await bad.add("n", 3)
    waiting = [
        asyncio.create_task(q.result(job_id, 20)) for q, job_id in ((bad, lost), (good, first), (good, second))
    ]
    await until_read(harness)
    await harness.redis.delete(f"bull:{bad.name}:events")
    await harness.redis.set(f"bull:{bad.name}:events", "no stream")
    await harness.processor(consumer, {"concurrency": 1}, queue_name=good.name, dead_letter_queue_name=None)
    assert await asyncio.gather(*waiting[1:]) == ["done 1", "done 2"]
    third = await good.add("n", 3)
    assert await good.result(third, 20) == "done 3"
    assert not waiting[0].done()
    await harness.redis.delete(f"bull:{bad.name}:events")
    await harness.processor(consumer, queue_name=bad.name, dead_letter_queue_name=None)
    assert await waiting[0] == "done 3"


@pytest.mark.parametrize("forbidden", ["-client|unblock", "-client|id"])
async def test_a_queue_joins_where_redis_does_not_let_a_read_be_ended(harness: Harness, forbidden: str) -> None:
    await harness.redis.execute_command("ACL", "SETUSER", "plain", "on", "nopass", "~*", "&*", "+@all", forbidden)
    url = harness.url.replace("://", "://plain:any@")
    async with JobQueue(QUEUE, url) as first, JobQueue(f"{QUEUE}2", url) as second:
        waiting = [asyncio.create_task(first.result(await first.add("n", 1), 20))]
        await until_read(harness)
        waiting.append(asyncio.create_task(second.result(await second.add("n", 2), 20)))
        for queue in (second, first):
            await harness.processor(consumer, queue_name=queue.name, dead_letter_queue_name=None)
        assert await asyncio.gather(*waiting) == ["done 1", "done 2"]


def test_addresses_are_one_where_a_connection_to_one_serves_for_the_other() -> None:
    def identity(url: str) -> Any:
        return Address.of(url).identity

    assert identity("rediss://ann:secret@a/1") == identity("rediss://ann:secret@a/1")
    others = ["redis://ann:secret@a/1", "rediss://bob:secret@a/1", "rediss://ann:secret@a/2"]
    others += ["rediss://ann:secret@b/1", "rediss://ann:secret@a/1?ssl_check_hostname=false"]
    assert identity("rediss://ann:secret@a/1") not in [identity(url) for url in others]
