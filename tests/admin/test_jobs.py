"""Jobs as an operator handles them: retried, promoted, removed, changed, added, drained, cleaned."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from admin.conftest import die, failing, finishing
from auth_worker import ConfigurationError
from auth_worker.admin.bulk import finish
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.models import BulkStep, Change
from auth_worker.admin.operations import Operations
from auth_worker.brokers.redis.job_changes import JobChanges
from auth_worker.core.ports.values import ChangeResult
from support.processors import DEAD, QUEUE, Harness


async def test_a_retried_job_has_fresh_attempts_and_its_dead_letter_is_gone(
    harness: Harness, operations: Operations, changes: list[Change]
) -> None:
    job_id, other = await die(harness, 2)
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={"stc": 3, "defa": "stalled"})
    await operations.jobs.retry(QUEUE, job_id)
    assert not {"atm", "ats", "stc", "defa", "dlq", "failedReason", "finishedOn"} & set(await harness.job(job_id))
    assert await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [job_id.encode()]
    assert [letter["originalJobId"] for letter in await harness.dead_letters()] == [other]
    with pytest.raises(RefusedError):
        await operations.jobs.retry(QUEUE, job_id)
    assert changes == [Change(action="retry", queue=QUEUE, target=job_id)]


async def test_a_completed_job_can_run_again(harness: Harness, operations: Operations) -> None:
    processor = await harness.processor(finishing)
    job_id = await harness.jobs.add("n", {})
    await harness.settled(1)
    await processor.close()
    await operations.jobs.retry(QUEUE, job_id)
    assert (await harness.counts())["wait"] == 1


async def test_many_are_retried(harness: Harness, operations: Operations) -> None:
    await die(harness, 130)
    ids = await operations.jobs.select(QUEUE, "failed")
    last = await finish(operations.jobs.retry_many(QUEUE, [*ids, "nobody"]))
    assert (last.done, last.skipped, last.total) == (130, 1, 131)
    assert last.problems == ["nobody: there is no such job"]
    assert (await harness.counts())["wait"] == 130
    assert await harness.redis.llen(f"bull:{DEAD}:wait") == 0


async def test_without_a_dead_letter_queue_retry_works_too(harness: Harness, operations: Operations) -> None:
    await die(harness, 3, dead_letter_queue_name=None)
    last = await finish(operations.jobs.retry_many(QUEUE, await operations.jobs.select(QUEUE, "failed")))
    assert last.done == 3


async def test_delayed_jobs_are_promoted(harness: Harness, operations: Operations) -> None:
    ids = [await harness.jobs.add("n", {}, delay=60_000) for _ in range(3)]
    await operations.jobs.promote(QUEUE, ids[0])
    last = await finish(operations.jobs.promote_many(QUEUE, ids))
    assert (last.done, last.skipped) == (2, 1)
    assert (await harness.counts())["wait"] == 3


async def test_jobs_are_removed(harness: Harness, operations: Operations) -> None:
    ids = await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(50))
    await operations.jobs.remove(QUEUE, ids[0])
    assert await harness.job(ids[0]) == {}
    last = await finish(operations.jobs.remove_many(QUEUE, ids[1:]))
    assert (last.done, last.skipped) == (49, 0)
    assert sum((await harness.counts()).values()) == 0


async def test_a_job_that_its_scheduler_needs_is_not_removed(harness: Harness, operations: Operations) -> None:
    job_id = await harness.jobs.upsert_job_scheduler("tick", name="n", every=3_600_000)
    assert job_id is not None
    with pytest.raises(RefusedError, match="its job scheduler needs it"):
        await operations.jobs.remove(QUEUE, job_id)
    await finish(operations.jobs.drain(QUEUE, delayed=True))
    assert await harness.job(job_id)


async def test_priority_and_delay_can_be_changed(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {}, job_id="one")
    await operations.jobs.change(QUEUE, "one", priority=5)
    assert (await harness.counts())["prioritized"] == 1
    await operations.jobs.change(QUEUE, "one", priority=0)
    assert (await harness.counts())["wait"] == 1
    await harness.jobs.add("n", {}, job_id="two", delay=60_000)
    await operations.jobs.change(QUEUE, "two", delay=3_600_000)
    due = (await operations.jobs.show(QUEUE, "two")).due
    assert due == pytest.approx(time.time() * 1000 + 3_600_000, abs=5000)
    with pytest.raises(RefusedError, match=r"job one \(wait\): only a delayed job has a delay"):
        await operations.jobs.change(QUEUE, "one", priority=7, delay=10)
    assert (await operations.jobs.show(QUEUE, "one")).priority == 0, "refused, so nothing has changed"
    with pytest.raises(ConfigurationError, match="priority must be between 0"):
        await operations.jobs.change(QUEUE, "one", priority=2**30)
    with pytest.raises(ConfigurationError, match="delay must be between 0"):
        await operations.jobs.change(QUEUE, "two", priority=7, delay=-1)
    assert (await operations.jobs.show(QUEUE, "two")).priority == 0


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_the_priority_of_a_finished_job_is_not_changed(
    harness: Harness, operations: Operations, changes: list[Change], state: str
) -> None:
    await harness.jobs.add("n", {}, job_id="one", priority=4)
    await harness.processor(failing if state == "failed" else finishing)
    await harness.settled(1)
    with pytest.raises(RefusedError, match=rf"change priority of job one \({state}\): it has finished"):
        await operations.jobs.change(QUEUE, "one", priority=7)
    assert (await operations.jobs.show(QUEUE, "one")).priority == 4
    assert changes == []


async def test_a_job_is_added(harness: Harness, operations: Operations, changes: list[Change]) -> None:
    job_id = await operations.jobs.add(QUEUE, "n", {"a": 1}, {"attempts": 4})
    assert json.loads((await harness.job(job_id))["opts"])["attempts"] == 4
    assert changes == [Change(action="add", queue=QUEUE, target=job_id)]


async def test_draining_removes_what_waits_and_nothing_else(harness: Harness, operations: Operations) -> None:
    await die(harness, 2)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(250))
    await harness.jobs.add_bulk({"name": "n", "data": {}, "opts": {"priority": 3}} for _ in range(30))
    await harness.jobs.add("n", {}, delay=60_000)
    await harness.jobs.add("n", {}, deduplication={"id": "once"}, job_id="deduplicated")
    steps = [step async for step in operations.jobs.drain(QUEUE)]
    assert len(steps) > 3
    assert (steps[-1].done, steps[-1].total) == (281, 281)
    counts = await harness.counts()
    assert {state: count for state, count in counts.items() if count} == {"delayed": 1, "failed": 2}
    assert not await harness.redis.exists(f"bull:{QUEUE}:de:once", f"bull:{QUEUE}:drained-now")
    await finish(operations.jobs.drain(QUEUE, delayed=True))
    assert (await harness.counts())["delayed"] == 0
    failed = await harness.redis.zrange(f"bull:{QUEUE}:failed", 0, -1)
    hashes = {key async for key in harness.redis.scan_iter(f"bull:{QUEUE}:*", _type="HASH")}
    jobs = {key.decode().rpartition(":")[2] for key in hashes} - {"meta"}
    assert jobs == {job_id.decode() for job_id in failed}, "the jobs themselves are gone"


async def test_a_scheduled_job_that_waits_survives_draining(harness: Harness, operations: Operations) -> None:
    job_id = await harness.jobs.upsert_job_scheduler("tick", name="n", every=3_600_000)
    assert job_id is not None
    if (await harness.counts())["delayed"]:
        await operations.jobs.promote(QUEUE, job_id)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(150))
    await finish(operations.jobs.drain(QUEUE))
    assert await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [job_id.encode()]


async def test_finished_jobs_are_cleaned_by_age(harness: Harness, operations: Operations) -> None:
    ids = await die(harness, 5)
    long_ago = int(time.time() * 1000) - 7_200_000
    for job_id in ids[:3]:
        await harness.redis.zadd(f"bull:{QUEUE}:failed", {job_id: long_ago})
    assert await operations.jobs.count_older(QUEUE, "failed", 3600) == 3
    last = await finish(operations.jobs.clean(QUEUE, "failed", 3600))
    assert last.done == 3
    assert (await harness.counts())["failed"] == 2
    assert await harness.job(ids[0]) == {}
    with pytest.raises(ConfigurationError, match="clean is for completed and failed"):
        operations.jobs.clean(QUEUE, "wait", 1)


async def test_a_bulk_operation_stopped_within_a_batch_counts_the_whole_batch(
    harness: Harness, operations: Operations, changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(50))
    removing: asyncio.Task[BulkStep]
    remove = JobChanges.remove

    async def remove_while_stopped(self: JobChanges, job_id: str, children: bool = False) -> ChangeResult:
        if not removing.cancelling():
            removing.cancel()
        return await remove(self, job_id, children)

    monkeypatch.setattr(JobChanges, "remove", remove_while_stopped)
    removing = asyncio.create_task(finish(operations.jobs.remove_many(QUEUE, ids)))
    await asyncio.wait({removing})
    assert removing.cancelled()
    left = (await harness.counts())["wait"]
    assert 0 < left < 50
    assert [(each.count, each.result) for each in changes] == [(50 - left, "stopped")]
