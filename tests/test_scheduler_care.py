"""A job scheduler that cannot go on stays in Redis, is named, and goes on once it can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auth_worker import Job
from auth_worker.broker.cron import RepeatStrategy
from auth_worker.broker.schedulers import Schedulers
from auth_worker.events import Problem, SchedulersRevived
from auth_worker.messages import WORKER_ERRORS
from workers import QUEUE, Desk, collect, eventually

REPEAT = f"bull:{QUEUE}:repeat"


class Ticks:
    """A consumer that notes the ids of its iterations."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, job: Job) -> None:
        self.ids.append(job.id)


async def spoil(desk: Desk, field: str, value: Any) -> None:
    """Make the scheduler ``nightly`` and its next iteration unreadable, as a later version might have."""
    (job_id,) = [key async for key in desk.redis.scan_iter(f"{REPEAT}:nightly:*")]
    options = json.loads(await desk.redis.hget(job_id, "opts"))
    options["repeat"][field] = value
    await desk.redis.hset(job_id, "opts", json.dumps(options))
    await desk.redis.hset(f"{REPEAT}:nightly", field, value)


async def stop_the_scheduler(desk: Desk, field: str = "tz", value: str = "Mars/Base") -> list[Problem]:
    """A scheduler that runs at once and cannot go on; returns what was told of it."""
    await desk.jobs.upsert_job_scheduler(
        "nightly", name="tick", data={"x": "Zoë"}, pattern="* * * * * *", tz="UTC", priority=3
    )
    await spoil(desk, field, value)
    processor = await desk.processor(Ticks(), start=False)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    await desk.settled(1)
    await processor.close()
    return told


@pytest.mark.parametrize(
    ("field", "value"), [("tz", "Mars/Base"), ("pattern", "* * * * * FOO"), ("startDate", "some day")]
)
async def test_what_cannot_be_read_keeps_its_scheduler_and_is_named(desk: Desk, field: str, value: str) -> None:
    told = await stop_the_scheduler(desk, field, value)
    (problem,) = [each for each in told if each.message == WORKER_ERRORS.SCHEDULE_FAILED]
    for part in ("'nightly'", field, "upsert"):
        assert part in problem.detail
    assert await desk.redis.zscore(REPEAT, "nightly") is not None

    later = await desk.processor(Ticks(), start=False)
    told = collect(later.runtime.bus, Problem)
    await later.initialize()
    await eventually(lambda: told)
    assert told[0].message == WORKER_ERRORS.SCHEDULER_STOPPED
    for part in ("'nightly'", field, "upsert"):
        assert part in told[0].detail
    assert (await desk.counts())["delayed"] == 0


async def test_a_stopped_scheduler_goes_on_once_it_can_be_read(desk: Desk) -> None:
    await stop_the_scheduler(desk)
    await desk.redis.hset(f"{REPEAT}:nightly", "tz", "UTC")
    ticks = Ticks()
    processor = await desk.processor(ticks, start=False)
    revived = collect(processor.runtime.bus, SchedulersRevived)
    await processor.initialize()
    await eventually(lambda: len(ticks.ids) >= 2)
    assert revived == [SchedulersRevived(QUEUE, ("nightly",))]
    job = await desk.job(ticks.ids[0])
    assert (job["name"], json.loads(job["data"]), job["priority"]) == ("tick", {"x": "Zoë"}, "3")


@pytest.mark.parametrize("options", ["[1]", '"x"', "{", "7"])
async def test_a_scheduler_whose_options_cannot_be_read_hinders_no_other(desk: Desk, options: str) -> None:
    await stop_the_scheduler(desk)
    await desk.redis.hset(f"{REPEAT}:nightly", mapping={"tz": "UTC", "opts": options})
    await desk.redis.hset(f"{REPEAT}:other", mapping={"ic": "1", "name": "tick", "every": "3600000", "opts": "{}"})
    await desk.redis.zadd(REPEAT, {"other": 1_700_000_000_000})
    processor = await desk.processor(Ticks(), start=False)
    revived = collect(processor.runtime.bus, SchedulersRevived)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    await eventually(lambda: revived and told)
    assert revived == [SchedulersRevived(QUEUE, ("other",))]
    assert told[0].message == WORKER_ERRORS.SCHEDULER_STOPPED
    for part in ("'nightly'", "opts"):
        assert part in told[0].detail


@pytest.mark.parametrize("tz", ["europe/berlin", "UTC+3", 60, -330, 90.5])
async def test_a_zone_is_the_same_in_what_redis_keeps_of_a_scheduler(desk: Desk, tz: Any) -> None:
    job_id = await desk.jobs.upsert_job_scheduler("nightly", name="n", pattern="0 8 * * *", tz=tz)
    processor = await desk.processor(Ticks())
    schedulers = Schedulers(processor.connections.commands, "bull", QUEUE)
    (found,) = [found async for found in schedulers.stored()]
    found.check()
    repeat = found.repetition()
    assert RepeatStrategy("nightly")(found.due - 1000, repeat) == found.due
    assert job_id == f"repeat:nightly:{found.due}"


async def test_a_stopped_scheduler_goes_on_when_it_is_corrected(desk: Desk) -> None:
    await stop_the_scheduler(desk)
    ticks = Ticks()
    await desk.processor(ticks)
    await desk.jobs.upsert_job_scheduler("nightly", name="tick", pattern="* * * * * *", tz="utc")
    await eventually(lambda: len(ticks.ids) >= 2)


@pytest.mark.parametrize("left", ["gone", "completed", "failed"])
async def test_a_lost_chain_is_revived_once_however_many_look(desk: Desk, left: str) -> None:
    await desk.jobs.upsert_job_scheduler("nightly", name="tick", every=3_600_000)
    ((_, due),) = await desk.redis.zrange(REPEAT, 0, -1, withscores=True)
    job_id = f"repeat:nightly:{int(due)}"
    await desk.redis.delete(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:delayed")
    if left == "gone":
        await desk.redis.delete(f"bull:{QUEUE}:{job_id}")
    else:
        await desk.redis.hset(f"bull:{QUEUE}:{job_id}", "finishedOn", "1")
        await desk.redis.zadd(f"bull:{QUEUE}:{left}", {job_id: 1})
    ticks = Ticks()
    processors = [await desk.processor(ticks, start=False) for _ in range(3)]
    revived = [event for each in processors for event in [collect(each.runtime.bus, SchedulersRevived)]]
    for processor in processors:
        await processor.initialize()
    await eventually(lambda: any(revived))
    assert (await desk.counts())["delayed"] == 1
    assert sum(map(len, revived)) == 1


@pytest.mark.parametrize("end", [{"limit": 1}, {"end_date": 1_600_000_000_000}])
async def test_a_scheduler_that_is_at_its_end_is_not_revived(desk: Desk, end: dict[str, int]) -> None:
    ticks = Ticks()
    await desk.jobs.upsert_job_scheduler("nightly", name="tick", every=50, limit=end.get("limit"))
    if "end_date" in end:
        await spoil(desk, "endDate", end["end_date"])
    await desk.processor(ticks)
    await desk.settled(1)
    link_owner = await desk.processor(ticks)
    schedulers = Schedulers(link_owner.connections.commands, "bull", QUEUE)
    assert [found.scheduler_id async for found, _ in schedulers.stopped()] == ["nightly"]
    assert await schedulers.revive() == ([], [])
    assert [found.ended() async for found in schedulers.stored()] == [True]
    assert len(ticks.ids) == 1


async def test_a_running_iteration_is_no_lost_one(desk: Desk) -> None:
    processor = await desk.processor(Ticks())
    await desk.jobs.upsert_job_scheduler("nightly", name="tick", pattern="* * * * * *")
    schedulers = Schedulers(processor.connections.commands, "bull", QUEUE)
    for _ in range(20):
        assert await schedulers.revive() == ([], [])
