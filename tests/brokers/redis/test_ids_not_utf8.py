"""Ids that are not UTF-8: any client may write them, and operators and workers can work with them all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth_worker import Job
from auth_worker.brokers.redis.job_changes import JobChanges
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.ports.values import ChangeResult
from support.processors import QUEUE, Harness, eventually

STORED = b"id-\xff\xfe"
ID = exact_text(STORED)
KEY = b"bull:" + QUEUE.encode() + b":" + STORED
FIELDS = {"name": "n", "data": "{}", "opts": "{}", "timestamp": "1", "delay": "0", "atm": "1"}


@pytest.fixture
async def link(harness: Harness) -> AsyncIterator[Link]:
    """A connection to the harness's server."""
    link = Link(Address.of(harness.url), name="operator")
    await link.start(5)
    yield link
    await link.stop()


async def test_such_a_job_is_read_in_full(harness: Harness, link: Link) -> None:
    await harness.redis.hset(KEY, mapping=FIELDS)
    await harness.redis.rpush(KEY + b":logs", "line")
    await harness.redis.set(KEY + b":lock", "token")
    await harness.redis.lpush(f"bull:{QUEUE}:wait", STORED)
    view = JobView(link, "bull", QUEUE)
    assert await view.kind(ID) == "job"
    whole = await view.whole(ID)
    assert whole is not None
    assert (whole.id, whole.name) == (ID, "n")
    assert await view.state(ID) == "wait"
    assert await view.logs(ID, 10) == (["line"], 1)
    assert (await view.lock(ID))[0] == "token"
    assert (await view.children(ID)).pending == 0


async def test_such_a_job_is_changed(harness: Harness, link: Link) -> None:
    changes = JobChanges(link, "bull", QUEUE)
    await harness.redis.hset(KEY, mapping={**FIELDS, "dlq": b"\xff@1@1700000000000"})
    await harness.redis.zadd(f"bull:{QUEUE}:failed", {STORED: 1})
    assert await changes.retry([ID], ["workDead"]) == [ChangeResult.DONE]
    assert await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [STORED]
    assert await changes.add_log(ID, "line", 10)
    assert await changes.change_priority(ID, 5) is ChangeResult.DONE
    assert await changes.cancel(ID, "no longer needed") is ChangeResult.DONE
    assert await harness.redis.zrange(f"bull:{QUEUE}:failed", 0, -1) == [STORED]
    assert await changes.remove(ID) is ChangeResult.DONE
    assert not await harness.redis.exists(KEY)


async def test_such_a_delayed_job_is_postponed_and_promoted(harness: Harness, link: Link) -> None:
    changes = JobChanges(link, "bull", QUEUE)
    await harness.redis.hset(KEY, mapping=FIELDS)
    await harness.redis.zadd(f"bull:{QUEUE}:delayed", {STORED: 2**53})
    assert await changes.change_delay(ID, 60_000) is ChangeResult.DONE
    assert await changes.promote(ID) is ChangeResult.DONE
    assert await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [STORED]


async def test_the_lease_of_such_a_job_is_renewed(harness: Harness) -> None:
    release = asyncio.Event()

    async def consumer(job: Job) -> None:
        await release.wait()

    await harness.redis.hset(KEY, mapping=FIELDS)
    await harness.redis.lpush(f"bull:{QUEUE}:wait", STORED)
    await harness.processor(consumer, {"lock_duration": 1000})
    rests = [2**31]

    async def is_renewed() -> bool:
        rests.append(await harness.redis.pttl(KEY + b":lock"))
        return bool(0 < rests[-2] < rests[-1])

    await eventually(is_renewed)
    release.set()
    assert (await harness.settled(1))["completed"] == 1


async def test_a_parent_reads_what_such_children_returned(harness: Harness) -> None:
    found: list[object] = []

    async def consumer(job: Job) -> None:
        found.append((await job.children_values(), await job.children_failures()))

    job_id = await harness.jobs.add("parent", {})
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}:processed", KEY, "7")
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}:failed", KEY, "no")
    await harness.processor(consumer)
    await harness.settled(1)
    assert found == [({exact_text(KEY): 7}, {exact_text(KEY): "no"})]


async def test_such_a_job_keeps_duplicates_out(harness: Harness) -> None:
    await harness.redis.hset(KEY, mapping=FIELDS)
    await harness.redis.set(f"bull:{QUEUE}:de:once", STORED)
    added = await harness.jobs.add("n", {}, deduplication={"id": "once"})
    assert (added, added.created) == (ID, False)
