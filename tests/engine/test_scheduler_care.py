"""A job scheduler that cannot go on stays in Redis, is named, and goes on once it can."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from auth_worker import Job
from auth_worker.brokers.redis.connections import Connections
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.core.cron import RepeatStrategy
from auth_worker.core.repetition import REMEDY
from auth_worker.core.report import Finding
from auth_worker.events import Problem, SchedulersRevived
from auth_worker.messages import WORKER_ERRORS
from support.operators import operations_on
from support.processors import QUEUE, Harness, collect, eventually

REPEAT = f"bull:{QUEUE}:repeat"


class Ticks:
    """A consumer that notes the ids of its iterations."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, job: Job) -> None:
        self.ids.append(job.id)


async def spoil(harness: Harness, field: str, value: Any) -> None:
    """Make the scheduler ``nightly`` and its next iteration unreadable, as a later version might have."""
    (job_id,) = [key async for key in harness.redis.scan_iter(f"{REPEAT}:nightly:*")]
    options = json.loads(await harness.redis.hget(job_id, "opts"))
    options["repeat"][field] = value
    await harness.redis.hset(job_id, "opts", json.dumps(options))
    await harness.redis.hset(f"{REPEAT}:nightly", field, value)


async def stop_the_scheduler(harness: Harness, field: str = "tz", value: str = "Mars/Base") -> list[Problem]:
    """A scheduler that runs at once and cannot go on; returns what was told of it."""
    await harness.jobs.upsert_job_scheduler(
        "nightly", name="tick", data={"x": "Zoë"}, pattern="* * * * * *", tz="UTC", priority=3
    )
    await spoil(harness, field, value)
    processor = await harness.processor(Ticks(), start=False)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    await harness.settled(1)
    await processor.close()
    return told


@pytest.mark.parametrize(
    ("field", "value"), [("tz", "Mars/Base"), ("pattern", "* * * * * FOO"), ("startDate", "some day")]
)
async def test_what_cannot_be_read_keeps_its_scheduler_and_is_named(
    harness: Harness, field: str, value: str
) -> None:
    told = await stop_the_scheduler(harness, field, value)
    (problem,) = [each for each in told if each.message == WORKER_ERRORS.SCHEDULE_FAILED]
    for part in ("'nightly'", field, "upsert"):
        assert part in problem.detail
    assert await harness.redis.zscore(REPEAT, "nightly") is not None

    later = await harness.processor(Ticks(), start=False)
    told = collect(later.runtime.bus, Problem)
    await later.initialize()
    await eventually(lambda: told)
    assert told[0].message == WORKER_ERRORS.SCHEDULER_STOPPED
    for part in ("'nightly'", field, "upsert"):
        assert part in told[0].detail
    assert (await harness.counts())["delayed"] == 0


async def test_a_stopped_scheduler_goes_on_once_it_can_be_read(harness: Harness) -> None:
    await stop_the_scheduler(harness)
    await harness.redis.hset(f"{REPEAT}:nightly", "tz", "UTC")
    ticks = Ticks()
    processor = await harness.processor(ticks, start=False)
    revived = collect(processor.runtime.bus, SchedulersRevived)
    await processor.initialize()
    await eventually(lambda: len(ticks.ids) >= 2)
    assert revived == [SchedulersRevived(QUEUE, ("nightly",))]
    job = await harness.job(ticks.ids[0])
    assert (job["name"], json.loads(job["data"]), job["priority"]) == ("tick", {"x": "Zoë"}, "3")


@pytest.mark.parametrize("options", ["[1]", '"x"', "{", "7"])
async def test_a_scheduler_whose_options_cannot_be_read_hinders_no_other(harness: Harness, options: str) -> None:
    await stop_the_scheduler(harness)
    await harness.redis.hset(f"{REPEAT}:nightly", mapping={"tz": "UTC", "opts": options})
    await harness.redis.hset(
        f"{REPEAT}:other", mapping={"ic": "1", "name": "tick", "every": "3600000", "opts": "{}"}
    )
    await harness.redis.zadd(REPEAT, {"other": 1_700_000_000_000})
    processor = await harness.processor(Ticks(), start=False)
    revived = collect(processor.runtime.bus, SchedulersRevived)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    await eventually(lambda: revived and told)
    assert revived == [SchedulersRevived(QUEUE, ("other",))]
    assert told[0].message == WORKER_ERRORS.SCHEDULER_STOPPED
    for part in ("'nightly'", "opts"):
        assert part in told[0].detail


@pytest.mark.parametrize("tz", ["europe/berlin", "UTC+3", 60, -330, 90.5])
async def test_a_zone_is_the_same_in_what_redis_keeps_of_a_scheduler(harness: Harness, tz: Any) -> None:
    job_id = await harness.jobs.upsert_job_scheduler("nightly", name="n", pattern="0 8 * * *", tz=tz)
    processor = await harness.processor(Ticks())
    schedulers = Schedulers(cast(Connections, processor.connections).commands, "bull", QUEUE)
    (found,) = [found async for found in schedulers.stored()]
    found.check()
    repeat = found.repetition()
    assert RepeatStrategy("nightly")(found.due - 1000, repeat) == found.due
    assert job_id == f"repeat:nightly:{found.due}"


async def test_a_stopped_scheduler_goes_on_when_it_is_corrected(harness: Harness) -> None:
    await stop_the_scheduler(harness)
    ticks = Ticks()
    await harness.processor(ticks)
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", pattern="* * * * * *", tz="utc")
    await eventually(lambda: len(ticks.ids) >= 2)


@pytest.mark.parametrize("left", ["gone", "completed", "failed"])
async def test_a_lost_chain_is_revived_once_however_many_look(harness: Harness, left: str) -> None:
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", every=3_600_000)
    ((_, due),) = await harness.redis.zrange(REPEAT, 0, -1, withscores=True)
    job_id = f"repeat:nightly:{int(due)}"
    await harness.redis.delete(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:delayed")
    if left == "gone":
        await harness.redis.delete(f"bull:{QUEUE}:{job_id}")
    else:
        await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "finishedOn", "1")
        await harness.redis.zadd(f"bull:{QUEUE}:{left}", {job_id: 1})
    ticks = Ticks()
    processors = [await harness.processor(ticks, start=False) for _ in range(3)]
    revived = [event for each in processors for event in [collect(each.runtime.bus, SchedulersRevived)]]
    for processor in processors:
        await processor.initialize()
    await eventually(lambda: any(revived))
    assert (await harness.counts())["delayed"] == 1
    assert sum(map(len, revived)) == 1


@pytest.mark.parametrize("end", [{"limit": 1}, {"end_date": 1_600_000_000_000}])
async def test_a_scheduler_that_is_at_its_end_is_not_revived(harness: Harness, end: dict[str, int]) -> None:
    ticks = Ticks()
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", every=50, limit=end.get("limit"))
    if "end_date" in end:
        await spoil(harness, "endDate", end["end_date"])
    await harness.processor(ticks)
    await harness.settled(1)
    link_owner = await harness.processor(ticks)
    schedulers = Schedulers(cast(Connections, link_owner.connections).commands, "bull", QUEUE)
    assert [found.scheduler_id async for found, _ in schedulers.stopped()] == ["nightly"]
    assert await schedulers.revive() == ([], [])
    assert [found.ended() async for found in schedulers.stored()] == [True]
    assert len(ticks.ids) == 1


async def test_a_running_iteration_is_no_lost_one(harness: Harness) -> None:
    processor = await harness.processor(Ticks())
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", pattern="* * * * * *")
    schedulers = Schedulers(cast(Connections, processor.connections).commands, "bull", QUEUE)
    for _ in range(20):
        assert await schedulers.revive() == ([], [])


OLD_KEY = "report:::UTC:0 8 * * *"
HASHED_KEY = "0123456789abcdef0123456789abcdef"
"""Of a repeatable job: BullMQ 5 had such keys from its middle on, with a hash that has neither ``ic`` nor data."""


@pytest.mark.parametrize("score", ["inf", "-inf", 2**53, 1e300, 1_700_000_000_000.5])
async def test_a_time_that_is_none_is_named_and_the_scheduler_can_be_made_anew(
    harness: Harness, score: Any
) -> None:
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", every=3_600_000)
    await harness.redis.zadd(REPEAT, {"nightly": score})
    (problem,) = await told_of_stopped(harness)
    for part in ("'nightly'", "it is due at", "remove it first", "upsert_job_scheduler"):
        assert part in problem.detail
    (finding,) = await scheduler_findings(harness)
    assert (finding.level, finding.remedy) == ("fail", REMEDY)
    assert f"{QUEUE}: 'nightly': it is due at" in finding.detail

    assert await harness.jobs.remove_job_scheduler("nightly") is True
    await harness.jobs.upsert_job_scheduler("nightly", name="tick", every=3_600_000)
    (finding,) = await scheduler_findings(harness)
    assert finding.level == "ok"


@pytest.mark.parametrize(
    ("key", "fields", "reason"),
    [
        (OLD_KEY, {}, "a repeatable job of BullMQ 5 or older"),
        (HASHED_KEY, {"name": "report", "pattern": "0 8 * * *"}, "a repeatable job of BullMQ 5 or older"),
        ("nightly", {}, "its options are not stored"),
    ],
)
async def test_what_is_no_job_scheduler_is_named_and_not_revived(
    harness: Harness, key: str, fields: dict[str, str], reason: str
) -> None:
    await harness.redis.zadd(REPEAT, {key: 1_700_000_000_000})
    if fields:
        await harness.redis.hset(f"{REPEAT}:{key}", mapping=fields)
    (problem,) = await told_of_stopped(harness)
    for part in (repr(key), reason, "remove it", "upsert_job_scheduler"):
        assert part in problem.detail
    (finding,) = await scheduler_findings(harness)
    assert finding.level == "fail"
    assert f"{QUEUE}: {key!r}: " in finding.detail
    assert reason in finding.detail
    assert (await harness.counts())["delayed"] == 0

    assert await harness.jobs.remove_job_scheduler(key) is True
    (finding,) = await scheduler_findings(harness)
    assert finding.level == "ok"


async def told_of_stopped(harness: Harness) -> list[Problem]:
    """Return what a service that starts now reports about stopped schedulers."""
    processor = await harness.processor(Ticks(), start=False)
    told = collect(processor.runtime.bus, Problem)
    await processor.initialize()
    await eventually(lambda: told)
    await processor.close()
    return [each for each in told if each.message == WORKER_ERRORS.SCHEDULER_STOPPED]


async def scheduler_findings(harness: Harness) -> list[Finding]:
    """What the doctor says of schedulers."""
    async with operations_on(harness.url) as operations:
        return [each for each in (await operations.doctor.examine()).findings if each.name == "schedulers"]
