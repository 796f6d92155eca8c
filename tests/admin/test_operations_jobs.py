"""Jobs as an operator handles them: found, looked at, retried, promoted, removed, changed, drained."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker import ConfigurationError, Job, UnrecoverableError
from auth_worker.admin.bulk import finish
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.admin.search import Condition, JobFilter
from workers import DEAD, QUEUE, Desk, eventually


@pytest.fixture
def changes() -> list[Change]:
    """What was told of the changes."""
    return []


@pytest.fixture
async def operations(desk: Desk, changes: list[Change]) -> AsyncIterator[Operations]:
    """An operator on the desk's server."""
    async with Operations(desk.url, record=changes.append) as operations:
        yield operations


async def failing(job: Job) -> None:
    await job.log(f"trying {job.name}, password: hunter2")
    raise UnrecoverableError("broken, password: hunter2")


async def finishing(job: Job) -> int:
    return 1


async def die(desk: Desk, count: int, **options: Any) -> list[str]:
    """Let ``count`` jobs die."""
    processor = await desk.processor(failing, **options)
    ids = await desk.jobs.add_bulk({"name": "n", "data": {"n": n}} for n in range(count))
    await desk.settled(count)
    await processor.close()
    return ids


# Looking


async def test_pages_follow_one_another(desk: Desk, operations: Operations) -> None:
    ids = await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(25))
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await operations.jobs.page(QUEUE, "waiting", offset=offset, limit=10)
        seen += [job.id for job in page.jobs]
        offset = page.next_offset
    assert seen == ids, "the next to run comes first"
    assert page.total == 25


@pytest.mark.parametrize("state", ["delayed", "prioritized", "failed", "active", "paused", "completed"])
async def test_every_state_has_its_page(desk: Desk, operations: Operations, state: str) -> None:
    assert (await operations.jobs.page(QUEUE, state)).jobs == []
    with pytest.raises(ConfigurationError, match="no state: there are wait"):
        await operations.jobs.page(QUEUE, "runing")


async def test_delayed_jobs_say_when_they_are_due(desk: Desk, operations: Operations) -> None:
    await desk.jobs.add("late", {}, delay=60_000)
    await desk.jobs.add("soon", {}, delay=1000)
    jobs = (await operations.jobs.page(QUEUE, "delayed")).jobs
    assert [job.name for job in jobs] == ["soon", "late"]
    assert jobs[0].due == pytest.approx(time.time() * 1000 + 1000, abs=900)


async def test_jobs_are_found_by_id_name_and_data(desk: Desk, operations: Operations) -> None:
    for number in range(8):
        data = {"user": {"id": number, "tags": ["a", f"t{number}"], "big": 2**60 + number}, "ok": number == 3}
        await desk.jobs.add("mail" if number % 2 else "text", data, job_id=f"job-{number}", attempts=number + 1)
    for wanted, found in (
        (JobFilter(id="job-3"), ["job-3"]),
        (JobFilter(id="job-*"), [f"job-{n}" for n in range(8)]),
        (JobFilter(name="mai*"), ["job-1", "job-3", "job-5", "job-7"]),
        (JobFilter(where=(Condition.of("data.user.id=5"),)), ["job-5"]),
        (JobFilter(where=(Condition.of("user.tags.1=t6"),)), ["job-6"]),
        (JobFilter(where=(Condition.of(f"user.big={2**60 + 4}"),)), ["job-4"]),
        (JobFilter(where=(Condition.of("ok=true"),)), ["job-3"]),
        (JobFilter(where=(Condition.of("opts.attempts=2"),)), ["job-1"]),
        (JobFilter(name="text", where=(Condition.of("user.id=5"),)), []),
        (JobFilter(where=(Condition.of("user.id.deeper=5"), Condition.of("nobody=1"))), []),
        (JobFilter(older_than=60), []),
    ):
        page = await operations.jobs.page(QUEUE, "wait", wanted)
        assert [job.id for job in page.jobs] == found, wanted
        assert await operations.jobs.select(QUEUE, "wait", wanted) == found, wanted
    with pytest.raises(ConfigurationError, match=r"write data\.user\.id=12"):
        Condition.of("data.user.id")


async def test_a_search_is_bounded_and_can_go_on(desk: Desk, operations: Operations) -> None:
    await desk.jobs.add_bulk({"name": f"n{number}", "data": {}} for number in range(400))
    page = await operations.jobs.page(QUEUE, "wait", JobFilter(name="n399"), scan=150)
    assert (page.jobs, page.scanned, page.next_offset, page.total) == ([], 150, 150, 400)
    page = await operations.jobs.page(QUEUE, "wait", JobFilter(name="n399"), offset=150, scan=1000)
    assert [job.name for job in page.jobs] == ["n399"]
    assert page.next_offset is None


async def test_a_job_is_shown_whole(desk: Desk, operations: Operations) -> None:
    (job_id,) = await die(desk, 1)
    job = await operations.jobs.show(QUEUE, job_id)
    assert (job.state, job.name, job.attempts_made) == ("failed", "n", 1)
    assert job.data == {"n": "<number>"}
    assert job.ran_ms is not None
    assert job.ran_ms >= 0
    assert job.dead_letter is not None
    assert job.log_count == 1
    assert "hunter2" not in job.model_dump_json()
    shown = await operations.jobs.show(QUEUE, job_id, reveal=True)
    assert shown.data == {"n": 0}
    assert shown.logs == ["trying n, password: hunter2"]
    assert "UnrecoverableError" in shown.stacktrace[0]
    assert json.loads(shown.model_dump_json(by_alias=True))["failedReason"] == "broken, password: hunter2"


async def test_an_active_job_shows_who_has_it(desk: Desk, operations: Operations) -> None:
    go = asyncio.Event()

    async def consumer(job: Job) -> None:
        await go.wait()

    await desk.processor(consumer)
    job_id = await desk.jobs.add("n", {})
    await eventually(lambda: desk.redis.exists(f"bull:{QUEUE}:{job_id}:lock"))
    job = await operations.jobs.show(QUEUE, job_id)
    assert job.state == "active"
    assert job.lock_owner
    assert 0 < (job.lock_ms or 0) <= 2000
    with pytest.raises(RefusedError, match="a worker has it"):
        await operations.jobs.remove(QUEUE, job_id)
    with pytest.raises(RefusedError, match="only failed and completed jobs"):
        await operations.jobs.retry(QUEUE, job_id)
    go.set()


async def test_a_parent_shows_its_children(desk: Desk, operations: Operations) -> None:
    await desk.redis.sadd(f"bull:{QUEUE}:mother:dependencies", f"bull:{QUEUE}:one", f"bull:{QUEUE}:two")
    await desk.redis.hset(f"bull:{QUEUE}:mother:processed", f"bull:{QUEUE}:three", "1")
    await desk.jobs.add("n", {}, job_id="mother")
    job = await operations.jobs.show(QUEUE, "mother")
    assert job.children is not None
    assert (job.children.pending, job.children.processed, job.children.failed) == (2, 1, 0)
    assert sorted(job.children.keys) == [f"bull:{QUEUE}:{name}" for name in ("one", "three", "two")]
    await desk.jobs.add("n", {}, job_id="child", parent={"id": "mother", "queue": f"bull:{QUEUE}"})
    assert (await operations.jobs.show(QUEUE, "child")).parent == f"bull:{QUEUE}:mother"


async def test_odd_fields_are_shown_and_break_nothing(desk: Desk, operations: Operations) -> None:
    await desk.jobs.add("n", {}, job_id="odd")
    fields = {"data": b"{\xff", "opts": "[1", "timestamp": "soon", "atm": "x", "stacktrace": '"one"', "delay": ""}
    await desk.redis.hset(f"bull:{QUEUE}:odd", mapping=fields)
    job = await operations.jobs.show(QUEUE, "odd")
    assert job.data == "<text of 5>"
    assert job.stacktrace == ["one"]
    assert (await operations.jobs.page(QUEUE, "wait")).jobs[0].id == "odd"


async def test_what_is_not_there_is_told_with_where_it_is(desk: Desk, operations: Operations) -> None:
    await desk.jobs.add("n", {}, job_id="here")
    with pytest.raises(NotFoundError, match=f"no job here in queue other; there is one in {QUEUE}"):
        await operations.jobs.show("other", "here")
    with pytest.raises(NotFoundError, match=f"there is no queue 'other' .*; there are: {QUEUE}"):
        await operations.jobs.check_queue("other")
    await operations.jobs.check_queue(QUEUE)
    for act in (operations.jobs.retry, operations.jobs.promote, operations.jobs.remove):
        with pytest.raises(NotFoundError, match="no job nobody"):
            await act(QUEUE, "nobody")


# Acting


async def test_a_retried_job_starts_afresh_and_its_letter_is_gone(
    desk: Desk, operations: Operations, changes: list[Change]
) -> None:
    job_id, other = await die(desk, 2)
    await desk.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={"stc": 3, "defa": "stalled"})
    await operations.jobs.retry(QUEUE, job_id)
    assert not {"atm", "ats", "stc", "defa", "dlq", "failedReason", "finishedOn"} & set(await desk.job(job_id))
    assert await desk.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [job_id.encode()]
    assert [letter["originalJobId"] for letter in await desk.letters()] == [other]
    with pytest.raises(RefusedError):
        await operations.jobs.retry(QUEUE, job_id)
    assert changes == [Change(action="retry", queue=QUEUE, target=job_id)]


async def test_a_completed_job_can_run_again(desk: Desk, operations: Operations) -> None:
    processor = await desk.processor(finishing)
    job_id = await desk.jobs.add("n", {})
    await desk.settled(1)
    await processor.close()
    await operations.jobs.retry(QUEUE, job_id)
    assert (await desk.counts())["wait"] == 1


async def test_many_are_retried(desk: Desk, operations: Operations) -> None:
    await die(desk, 130)
    ids = await operations.jobs.select(QUEUE, "failed")
    last = await finish(operations.jobs.retry_many(QUEUE, [*ids, "nobody"]))
    assert (last.done, last.skipped, last.total) == (130, 1, 131)
    assert last.problems == ["nobody: there is no such job"]
    assert (await desk.counts())["wait"] == 130
    assert await desk.redis.llen(f"bull:{DEAD}:wait") == 0


async def test_without_a_dead_letter_queue_retry_works_too(desk: Desk, operations: Operations) -> None:
    await die(desk, 3, dead_letter_queue_name=None)
    last = await finish(operations.jobs.retry_many(QUEUE, await operations.jobs.select(QUEUE, "failed")))
    assert last.done == 3


async def test_delayed_jobs_are_promoted(desk: Desk, operations: Operations) -> None:
    ids = [await desk.jobs.add("n", {}, delay=60_000) for _ in range(3)]
    await operations.jobs.promote(QUEUE, ids[0])
    last = await finish(operations.jobs.promote_many(QUEUE, ids))
    assert (last.done, last.skipped) == (2, 1)
    assert (await desk.counts())["wait"] == 3


async def test_jobs_are_removed(desk: Desk, operations: Operations) -> None:
    ids = await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(50))
    await operations.jobs.remove(QUEUE, ids[0])
    assert await desk.job(ids[0]) == {}
    last = await finish(operations.jobs.remove_many(QUEUE, ids[1:]))
    assert (last.done, last.skipped) == (49, 0)
    assert sum((await desk.counts()).values()) == 0


async def test_what_a_scheduler_needs_is_not_removed(desk: Desk, operations: Operations) -> None:
    job_id = await desk.jobs.upsert_job_scheduler("tick", name="n", every=3_600_000)
    assert job_id is not None
    with pytest.raises(RefusedError, match="its job scheduler needs it"):
        await operations.jobs.remove(QUEUE, job_id)
    await finish(operations.jobs.drain(QUEUE, delayed=True))
    assert await desk.job(job_id)


async def test_priority_and_delay_can_be_changed(desk: Desk, operations: Operations) -> None:
    await desk.jobs.add("n", {}, job_id="one")
    await operations.jobs.change(QUEUE, "one", priority=5)
    assert (await desk.counts())["prioritized"] == 1
    await operations.jobs.change(QUEUE, "one", priority=0)
    assert (await desk.counts())["wait"] == 1
    await desk.jobs.add("n", {}, job_id="two", delay=60_000)
    await operations.jobs.change(QUEUE, "two", delay=3_600_000)
    due = (await operations.jobs.show(QUEUE, "two")).due
    assert due == pytest.approx(time.time() * 1000 + 3_600_000, abs=5000)
    with pytest.raises(RefusedError, match=r"job one \(wait\): only a delayed job has one to change"):
        await operations.jobs.change(QUEUE, "one", priority=7, delay=10)
    assert (await operations.jobs.show(QUEUE, "one")).priority == 0, "refused, so nothing has changed"
    with pytest.raises(ConfigurationError, match="priority must be between 0"):
        await operations.jobs.change(QUEUE, "one", priority=2**30)
    with pytest.raises(ConfigurationError, match="delay must be between 0"):
        await operations.jobs.change(QUEUE, "two", priority=7, delay=-1)
    assert (await operations.jobs.show(QUEUE, "two")).priority == 0


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_the_priority_of_a_finished_job_is_not_changed(
    desk: Desk, operations: Operations, changes: list[Change], state: str
) -> None:
    await desk.jobs.add("n", {}, job_id="one", priority=4)
    await desk.processor(failing if state == "failed" else finishing)
    await desk.settled(1)
    with pytest.raises(RefusedError, match=rf"change priority of job one \({state}\): it has finished"):
        await operations.jobs.change(QUEUE, "one", priority=7)
    assert (await operations.jobs.show(QUEUE, "one")).priority == 4
    assert changes == []


async def test_a_job_is_added(desk: Desk, operations: Operations, changes: list[Change]) -> None:
    job_id = await operations.jobs.add(QUEUE, "n", {"a": 1}, {"attempts": 4})
    assert json.loads((await desk.job(job_id))["opts"])["attempts"] == 4
    assert changes == [Change(action="add", queue=QUEUE, target=job_id)]


async def test_draining_removes_what_waits_and_nothing_else(desk: Desk, operations: Operations) -> None:
    await die(desk, 2)
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(250))
    await desk.jobs.add_bulk({"name": "n", "data": {}, "opts": {"priority": 3}} for _ in range(30))
    await desk.jobs.add("n", {}, delay=60_000)
    await desk.jobs.add("n", {}, deduplication={"id": "once"}, job_id="deduplicated")
    steps = [step async for step in operations.jobs.drain(QUEUE)]
    assert len(steps) > 3
    assert (steps[-1].done, steps[-1].total) == (281, 281)
    counts = await desk.counts()
    assert {state: count for state, count in counts.items() if count} == {"delayed": 1, "failed": 2}
    assert not await desk.redis.exists(f"bull:{QUEUE}:de:once", f"bull:{QUEUE}:drained-now")
    await finish(operations.jobs.drain(QUEUE, delayed=True))
    assert (await desk.counts())["delayed"] == 0
    failed = await desk.redis.zrange(f"bull:{QUEUE}:failed", 0, -1)
    hashes = {key async for key in desk.redis.scan_iter(f"bull:{QUEUE}:*", _type="HASH")}
    jobs = {key.decode().rpartition(":")[2] for key in hashes} - {"meta"}
    assert jobs == {job_id.decode() for job_id in failed}, "the jobs themselves are gone"


async def test_a_scheduled_job_that_waits_survives_draining(desk: Desk, operations: Operations) -> None:
    job_id = await desk.jobs.upsert_job_scheduler("tick", name="n", every=3_600_000)
    assert job_id is not None
    if (await desk.counts())["delayed"]:
        await operations.jobs.promote(QUEUE, job_id)
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(150))
    await finish(operations.jobs.drain(QUEUE))
    assert await desk.redis.lrange(f"bull:{QUEUE}:wait", 0, -1) == [job_id.encode()]


async def test_finished_jobs_are_cleaned_by_age(desk: Desk, operations: Operations) -> None:
    ids = await die(desk, 5)
    long_ago = int(time.time() * 1000) - 7_200_000
    for job_id in ids[:3]:
        await desk.redis.zadd(f"bull:{QUEUE}:failed", {job_id: long_ago})
    assert await operations.jobs.count_older(QUEUE, "failed", 3600) == 3
    last = await finish(operations.jobs.clean(QUEUE, "failed", 3600))
    assert last.done == 3
    assert (await desk.counts())["failed"] == 2
    assert await desk.job(ids[0]) == {}
    with pytest.raises(ConfigurationError, match="clean is for completed and failed"):
        operations.jobs.clean(QUEUE, "wait", 1)
