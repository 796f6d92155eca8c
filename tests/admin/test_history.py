"""One of all processes writes down each minute what the queues have done, in a bounded place."""

from __future__ import annotations

import pytest

from auth_worker.admin import history
from auth_worker.admin.operations import Operations
from auth_worker.core.history import SPANS, percentile
from support.operators import operations_on
from support.processors import DEAD, QUEUE, Harness

from .conftest import die, finishing


async def test_a_minute_is_recorded_for_each_queue_and_for_all(harness: Harness, operations: Operations) -> None:
    await die(harness, 3)
    processor = await harness.processor(finishing)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(40))
    await harness.settled(43)
    await processor.close()
    await harness.jobs.add("later", {})
    await operations.history.record_minute()
    for queue in (QUEUE, None):
        for span in SPANS.values():
            found = [each for each in await operations.history.read(queue, span) if not each.is_empty]
            assert [(each.done, each.failed, each.waiting) for each in found] == [(40, 3, 1)], (queue, span)
            assert sum(found[0].runs) == sum(found[0].waits) == 43
            assert percentile(found[0].runs, 0.5) is not None
    assert all(each.is_empty for each in await operations.history.read(DEAD, SPANS["hour"]))
    lengths = [await harness.redis.hlen(f"bull:{QUEUE}:auth-worker-history:{name}") for name in SPANS]
    assert lengths == [1, 1, 1]
    assert await harness.redis.pttl(f"bull:{QUEUE}:auth-worker-history:hour") > 0


async def test_minutes_of_the_same_bucket_are_put_together(harness: Harness, operations: Operations) -> None:
    await die(harness, 2)
    for _ in range(2):
        await operations.history.record_minute()
    week = [each for each in await operations.history.read(QUEUE, SPANS["week"]) if not each.is_empty]
    assert sum(each.failed for each in week) == 4


async def test_a_minute_without_jobs_is_not_recorded(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {})
    await harness.redis.delete(f"bull:{QUEUE}:wait")
    await operations.history.record_minute()
    assert [key async for key in harness.redis.scan_iter("*auth-worker-history*")] == []


async def test_of_too_many_queues_the_busiest_are_recorded(
    harness: Harness, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_QUEUES", 1)
    await die(harness, 2)
    await harness.redis.lpush("bull:idle:wait", "1")
    await harness.redis.hset("bull:idle:meta", "opts.maxLenEvents", "1")
    await operations.history.record_minute()
    assert not await harness.redis.exists("bull:idle:auth-worker-history:hour")
    assert await harness.redis.exists(f"bull:{QUEUE}:auth-worker-history:hour")


async def test_one_process_is_elected_and_another_once_it_is_gone(
    harness: Harness, operations: Operations
) -> None:
    async with operations_on(harness.url) as other:
        assert await operations.history.elect("one")
        assert not await other.history.elect("other")
        assert await operations.history.elect("one"), "it stays the one"
        await harness.redis.delete("bull:auth-worker-history:recorder")
        assert await other.history.elect("other")
        assert not await operations.history.elect("one")


async def test_entries_of_another_program_are_ignored(harness: Harness, operations: Operations) -> None:
    await harness.redis.hset(f"bull:{QUEUE}:auth-worker-history:hour", mapping={"x": "1", "5": "{", "6": "\x00"})
    assert all(each.is_empty for each in await operations.history.read(QUEUE, SPANS["hour"]))


async def test_a_version_is_marked_where_it_changes(
    harness: Harness, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_VERSIONS", 3)
    for version in ("1.0", "1.0", "1:1", "1.0", "1.0", "2.0"):
        await operations.history.mark_version(version)
    found = await operations.history.versions()
    assert [each.version for each in found] == ["1:1", "1.0", "2.0"]
    assert found[0].at <= found[1].at <= found[2].at
    await harness.redis.zadd("bull:auth-worker-history:versions", {"strange": 1})
    assert await operations.history.versions() == found
