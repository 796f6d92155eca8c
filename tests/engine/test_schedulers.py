"""Job schedulers: an iteration that starts creates the next one, exactly one, also when workers race."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from auth_worker import ConfigurationError, Job, QueueProcessorService
from auth_worker.events import JobStarted, LeaseLost, Problem
from auth_worker.messages import WORKER_ERRORS
from support.processors import QUEUE, Harness, collect, eventually
from support.proxy import Proxy


async def answer(job: Job) -> None:
    """A consumer that completes."""


async def test_every_so_many_ms_a_job_runs_and_the_limit_ends_it(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.data["text"])

    await harness.processor(consumer)
    await harness.processor(consumer)
    assert await harness.jobs.upsert_job_scheduler("tick", name="tick", data={"text": "hi"}, every=60, limit=4)
    counts = await harness.settled(4)
    assert counts["completed"] == 4
    assert ran == ["hi"] * 4


async def test_a_removed_scheduler_adds_no_more(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.id)

    await harness.processor(consumer)
    await harness.jobs.upsert_job_scheduler("tick", name="tick", every=50)
    await eventually(lambda: len(ran) >= 2)
    assert await harness.jobs.remove_job_scheduler("tick") is True
    assert await harness.jobs.remove_job_scheduler("tick") is False

    async def nothing_left() -> bool:
        counts = await harness.counts()
        return counts["wait"] + counts["active"] + counts["delayed"] == 0

    await eventually(nothing_left)


async def test_an_iteration_that_fails_does_not_end_the_schedule(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.id)
        raise ValueError

    await harness.processor(consumer, {"attempts": 1})
    await harness.jobs.upsert_job_scheduler("tick", name="tick", every=50, limit=3)
    assert (await harness.settled(3))["failed"] == 3
    assert len(set(ran)) == 3


@pytest.mark.parametrize("key", ["report:::UTC:0 8 * * *", "report:7:1700000000000::5000"])
async def test_a_job_that_repeats_as_in_bullmq_5_runs_and_the_end_of_the_series_is_reported(
    harness: Harness, key: str
) -> None:
    job_id = await harness.jobs.add("report", {})
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "rjk", key)
    processor = await harness.processor(answer, start=False)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    assert (await harness.settled(1))["completed"] == 1
    (problem,) = told
    assert problem.message == WORKER_ERRORS.SCHEDULE_FAILED
    assert repr(key) in problem.detail
    assert "upsert_job_scheduler" in problem.detail


async def test_a_job_scheduler_may_have_an_id_that_looks_like_a_repeat_key_of_bullmq_5(harness: Harness) -> None:
    await harness.processor(answer)
    await harness.jobs.upsert_job_scheduler("report:::UTC:5000", name="tick", every=50, limit=3)
    assert (await harness.settled(3))["completed"] == 3


async def test_a_repeatable_job_of_late_bullmq_5_goes_on_with_its_data(harness: Harness) -> None:
    """Its entry has a hash for a key, and its own hash neither data nor a count of iterations."""
    key, seen = "0123456789abcdef0123456789abcdef", []

    async def consumer(job: Job) -> None:
        seen.append(job.data)

    now = await harness.redis.time()
    due = now[0] * 1000
    await harness.redis.zadd(f"bull:{QUEUE}:repeat", {key: due})
    await harness.redis.hset(f"bull:{QUEUE}:repeat:{key}", mapping={"name": "report", "every": "50"})
    job = {"name": "report", "data": '{"x":"Zoë"}', "rjk": key, "timestamp": str(due)}
    job["opts"] = json.dumps({"repeat": {"every": 50, "count": 1, "limit": 3}})
    await harness.redis.hset(f"bull:{QUEUE}:repeat:{key}:{due}", mapping=job)
    await harness.redis.lpush(f"bull:{QUEUE}:wait", f"repeat:{key}:{due}")
    await harness.processor(consumer)
    await eventually(lambda: len(seen) >= 2)
    assert seen[:2] == [{"x": "Zoë"}] * 2


class CutOff(NamedTuple):
    """A processor whose line to Redis broke when its first job was to start, and the attempts its consumer saw."""

    processor: QueueProcessorService
    line: Proxy
    seen: list[int]


@pytest.fixture
async def cut_off(harness: Harness, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[CutOff]:
    """With an iteration that waits for Redis; a test may give its worker's config."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    seen: list[int] = []

    async def consumer(job: Job) -> None:
        seen.append(job.attempt)

    def cut(event: JobStarted) -> None:
        if not started:
            line.refuse = True
            line.cut()
        started.append(event.job_id)

    started: list[str] = []
    async with Proxy(port) as line:
        behind = Harness(line.url)
        processor = await behind.processor(consumer, getattr(request, "param", {"lock_duration": 1000}))
        processor.runtime.bus.subscribe(JobStarted, cut)
        await harness.jobs.upsert_job_scheduler("tick", name="tick", every=3_600_000)
        await eventually(lambda: started)
        yield CutOff(processor, line, seen)
        line.heal()
        await behind.close()


async def test_an_iteration_waits_for_redis_no_longer_than_its_lease(cut_off: CutOff) -> None:
    lost = collect(cut_off.processor.runtime.bus, LeaseLost)
    await eventually(lambda: lost, "the lease is lost", within=3)
    assert cut_off.seen == []


async def test_an_iteration_that_waits_for_redis_keeps_nobody_from_closing(cut_off: CutOff) -> None:
    await cut_off.processor.close(0.1)
    assert not cut_off.processor.stuck
    assert not any("coro=<Runs." in repr(task) for task in asyncio.all_tasks())
    assert cut_off.seen == []


@pytest.mark.parametrize("cut_off", [{"lock_duration": 8000, "timeout": 100}], indirect=True)
async def test_a_timeout_is_for_the_consumer_and_not_for_the_wait_before_it(cut_off: CutOff) -> None:
    await eventually(lambda: any(task.get_name().startswith("settle ") for task in asyncio.all_tasks()))
    cut_off.line.heal()
    await eventually(lambda: cut_off.seen)
    assert cut_off.seen == [1]


async def test_a_cron_pattern_gives_the_next_time_in_its_zone(harness: Harness) -> None:
    job_id = await harness.jobs.upsert_job_scheduler(
        "daily", name="report", pattern="0 8 * * *", tz="Europe/Berlin", attempts=2
    )
    assert job_id is not None
    assert job_id.startswith("repeat:daily:")
    assert (await harness.counts())["delayed"] == 1


@pytest.mark.parametrize("repeat", [{}, {"every": 5, "pattern": "* * * * *"}, {"pattern": "never"}])
async def test_a_repetition_that_makes_no_sense_is_refused(harness: Harness, repeat: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="daily"):
        await harness.jobs.upsert_job_scheduler("daily", name="n", **repeat)  # type: ignore[arg-type]
    assert sum((await harness.counts()).values()) == 0


@pytest.mark.parametrize(("data", "complaint"), [("x" * 17_000_000, "max_payload_bytes"), ({1, 2}, "not JSON")])
async def test_data_that_no_job_may_have_is_refused(harness: Harness, data: object, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        await harness.jobs.upsert_job_scheduler("daily", name="n", data=data, every=5000)
    with pytest.raises(ConfigurationError, match="name must be"):
        await harness.jobs.upsert_job_scheduler("daily", name="", every=5000)


@pytest.mark.parametrize(
    ("pattern", "tz"), [("61 * * * *", "UTC"), ("0 0 31 2 *", "UTC"), ("0 8 * * *", "Mars/Base")]
)
async def test_what_cannot_be_read_is_named(harness: Harness, pattern: str, tz: str) -> None:
    wrong = tz if tz != "UTC" else pattern
    with pytest.raises(ConfigurationError, match=re.escape(repr(wrong))):
        await harness.jobs.upsert_job_scheduler("daily", name="n", pattern=pattern, tz=tz)
