"""Jobs as an operator looks at them: page by page, searched, and one shown whole."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from admin.conftest import die
from auth_worker import ConfigurationError, Job
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.job_conditions import Condition
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import JobFilter
from support.processors import QUEUE, Harness, eventually


async def test_pages_follow_one_another(harness: Harness, operations: Operations) -> None:
    ids = await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(25))
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await operations.jobs.page(QUEUE, "waiting", offset=offset, limit=10)
        seen += [job.id for job in page.jobs]
        offset = page.next_offset
    assert seen == ids, "the next to run comes first"
    assert page.total == 25


@pytest.mark.parametrize("state", ["delayed", "prioritized", "failed", "active", "paused", "completed"])
async def test_every_state_has_its_page(harness: Harness, operations: Operations, state: str) -> None:
    job_id = await harness.jobs.add("n", {})
    key = f"bull:{QUEUE}:{state}"
    await harness.redis.lrem(f"bull:{QUEUE}:wait", 0, job_id)
    await (
        harness.redis.lpush(key, job_id) if state in ("active", "paused") else harness.redis.zadd(key, {job_id: 1})
    )
    assert [job.id for job in (await operations.jobs.page(QUEUE, state)).jobs] == [job_id]


async def test_an_unknown_state_is_refused_with_the_known_ones(operations: Operations) -> None:
    with pytest.raises(ConfigurationError, match="no state: there are wait"):
        await operations.jobs.page(QUEUE, "runing")


async def test_delayed_jobs_say_when_they_are_due(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("late", {}, delay=60_000)
    before = time.time() * 1000
    await harness.jobs.add("soon", {}, delay=1000)
    after = time.time() * 1000
    jobs = (await operations.jobs.page(QUEUE, "delayed")).jobs
    assert [job.name for job in jobs] == ["soon", "late"]
    assert before - 1 <= (jobs[0].due or 0) - 1000 <= after + 1


async def test_jobs_are_found_by_id_name_and_data(harness: Harness, operations: Operations) -> None:
    for number in range(8):
        data = {"user": {"id": number, "tags": ["a", f"t{number}"], "big": 2**60 + number}, "ok": number == 3}
        await harness.jobs.add("mail" if number % 2 else "text", data, job_id=f"job-{number}", attempts=number + 1)
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
        (JobFilter(newer_than=60, id="job-3"), ["job-3"]),
        (JobFilter(newer_than=60, older_than=30), []),
    ):
        page = await operations.jobs.page(QUEUE, "wait", wanted)
        assert [job.id for job in page.jobs] == found, wanted
        assert await operations.jobs.select(QUEUE, "wait", wanted) == found, wanted
    with pytest.raises(ConfigurationError, match=r"write data\.user\.id=12"):
        Condition.of("data.user.id")


async def test_a_search_is_bounded_and_can_go_on(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add_bulk({"name": f"n{number}", "data": {}} for number in range(400))
    page = await operations.jobs.page(QUEUE, "wait", JobFilter(name="n399"), scan=150)
    assert (page.jobs, page.scanned, page.next_offset, page.total) == ([], 150, 150, 400)
    page = await operations.jobs.page(QUEUE, "wait", JobFilter(name="n399"), offset=150, scan=1000)
    assert [job.name for job in page.jobs] == ["n399"]
    assert page.next_offset is None


async def test_a_job_is_shown_whole(harness: Harness, operations: Operations) -> None:
    (job_id,) = await die(harness, 1)
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


async def test_an_active_job_shows_its_lock_and_worker(harness: Harness, operations: Operations) -> None:
    go = asyncio.Event()

    async def consumer(job: Job) -> None:
        await go.wait()

    await harness.processor(consumer)
    job_id = await harness.jobs.add("n", {})
    await eventually(lambda: harness.redis.exists(f"bull:{QUEUE}:{job_id}:lock"))
    job = await operations.jobs.show(QUEUE, job_id)
    assert job.state == "active"
    assert job.lock_owner
    assert 0 < (job.lock_ms or 0) <= 2000
    with pytest.raises(RefusedError, match="a worker is processing it"):
        await operations.jobs.remove(QUEUE, job_id)
    with pytest.raises(RefusedError, match="only failed and completed jobs"):
        await operations.jobs.retry(QUEUE, job_id)
    go.set()


async def test_a_parent_shows_its_children(harness: Harness, operations: Operations) -> None:
    await harness.redis.sadd(f"bull:{QUEUE}:mother:dependencies", f"bull:{QUEUE}:one", f"bull:{QUEUE}:two")
    await harness.redis.hset(f"bull:{QUEUE}:mother:processed", f"bull:{QUEUE}:three", "1")
    await harness.jobs.add("n", {}, job_id="mother")
    job = await operations.jobs.show(QUEUE, "mother")
    assert job.children is not None
    assert (job.children.pending, job.children.processed, job.children.failed) == (2, 1, 0)
    assert sorted(job.children.keys) == [f"bull:{QUEUE}:{name}" for name in ("one", "three", "two")]
    await harness.jobs.add("n", {}, job_id="child", parent={"id": "mother", "queue": f"bull:{QUEUE}"})
    assert (await operations.jobs.show(QUEUE, "child")).parent == f"bull:{QUEUE}:mother"


async def test_unreadable_fields_are_shown_and_break_nothing(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {}, job_id="odd")
    fields = {"data": b"{\xff", "opts": "[1", "timestamp": "soon", "atm": "x", "stacktrace": '"one"', "delay": ""}
    await harness.redis.hset(f"bull:{QUEUE}:odd", mapping=fields)
    job = await operations.jobs.show(QUEUE, "odd")
    assert job.data == "<text of 5>"
    assert job.stacktrace == ["one"]
    assert (await operations.jobs.page(QUEUE, "wait")).jobs[0].id == "odd"


async def test_what_does_not_exist_is_reported_with_where_it_is(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {}, job_id="here")
    with pytest.raises(NotFoundError, match=f"no job here in queue other; there is one in {QUEUE}"):
        await operations.jobs.show("other", "here")
    with pytest.raises(NotFoundError, match=f"there is no queue 'other' .*; there are: {QUEUE}"):
        await operations.queues.check_exists("other")
    await operations.queues.check_exists(QUEUE)
    for act in (operations.jobs.retry, operations.jobs.promote, operations.jobs.remove, operations.jobs.cancel):
        with pytest.raises(NotFoundError, match="no job nobody"):
            await act(QUEUE, "nobody")
