"""What ``JobQueue`` does beside adding jobs, on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from auth_worker.config import Settings
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.flow import Flow, FlowProducer
from auth_worker.job import Job
from auth_worker.queue import JobOptionsDict, JobQueue
from support.processors import QUEUE, Harness, eventually
from support.servers import Server, free_port


async def test_a_job_is_read_and_its_data_changed(harness: Harness) -> None:
    job_id = await harness.jobs.add("n", {"a": 1}, delay=60_000, attempts=4)
    assert await harness.jobs.update_data(job_id, {"a": 2})
    job = await harness.jobs.get(job_id)
    assert job is not None
    assert (job.id, job.queue_name, job.name, job.state) == (job_id, QUEUE, "n", "delayed")
    assert (job.data, job.opts["attempts"], job.attempts_made, job.finished_on) == ({"a": 2}, 4, 0, None)
    assert not await harness.jobs.update_data("nobody", 1)
    assert await harness.jobs.get("nobody") is None
    with pytest.raises(ConfigurationError, match="is not JSON"):
        await harness.jobs.update_data(job_id, {1, 2})
    assert await asyncio.to_thread(harness.jobs.sync.update_data, job_id, 3)
    found = await asyncio.to_thread(harness.jobs.sync.get, job_id)
    assert found is not None
    assert found.data == 3
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={"data": "{", "opts": "[1]"})
    broken = await harness.jobs.get(job_id)
    assert broken is not None
    assert (broken.data, broken.opts) == ("{", {})


async def test_job_schedulers_are_listed(harness: Harness) -> None:
    jobs = harness.jobs
    now = time.time() * 1000
    await jobs.upsert_job_scheduler("b", name="n", data={"x": 1}, every=timedelta(hours=1), offset=90_000, limit=3)
    await jobs.upsert_job_scheduler("a", name="n", pattern="0 0 1 1 *", tz="Europe/Berlin", immediately=True)
    await harness.redis.zadd(f"bull:{QUEUE}:repeat", {"odd": 9e15})
    found = {each.id: each for each in await jobs.job_schedulers()}
    assert sorted(found) == ["a", "b", "odd"]
    assert (found["b"].every, found["b"].offset, found["b"].limit, found["b"].data) == (
        3_600_000,
        90_000,
        3,
        {"x": 1},
    )
    assert (found["a"].pattern, found["a"].tz, found["a"].problem) == ("0 0 1 1 *", "Europe/Berlin", None)
    assert abs(found["a"].next - now) < 5000
    assert "its options are not stored" in (found["odd"].problem or "")


async def test_global_limits_are_set_and_removed(harness: Harness) -> None:
    jobs, meta = harness.jobs, f"bull:{QUEUE}:meta"
    await jobs.set_global_concurrency(2)
    await jobs.set_global_rate_limit(10, 1000)
    assert await harness.redis.hmget(meta, "concurrency", "max", "duration") == [b"2", b"10", b"1000"]
    await jobs.remove_global_concurrency()
    await jobs.remove_global_rate_limit()
    assert await harness.redis.hmget(meta, "concurrency", "max", "duration") == [None] * 3
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number between 1"):
        await jobs.set_global_concurrency(0)
    with pytest.raises(ConfigurationError, match="duration must be a whole number between 1"):
        await jobs.set_global_rate_limit(1, 0)


async def test_a_deduplication_key_is_shown_and_removed(harness: Harness) -> None:
    jobs = harness.jobs
    first = await jobs.add("n", {}, deduplication={"id": "x"})
    assert await jobs.deduplication_job_id("x") == first
    assert await jobs.remove_deduplication_key("x")
    assert not await jobs.remove_deduplication_key("x")
    assert await jobs.deduplication_job_id("x") is None
    assert (await jobs.add("n", {}, deduplication={"id": "x"})).created


async def test_a_queue_is_obliterated_unless_jobs_run(harness: Harness) -> None:
    running, release = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        running.set()
        await release.wait()

    await harness.processor(consumer, {"concurrency": 1})
    await harness.jobs.add_bulk({"name": "n"} for _ in range(1500))
    await asyncio.wait_for(running.wait(), 5)
    assert not await harness.jobs.obliterate()
    assert not await harness.redis.hexists(f"bull:{QUEUE}:meta", "paused")
    await harness.redis.hset(f"bull:{QUEUE}:meta", "paused", 1)
    assert not await harness.jobs.obliterate()
    assert await harness.redis.hexists(f"bull:{QUEUE}:meta", "paused")
    assert await harness.jobs.obliterate(force=True)
    release.set()

    async def gone() -> bool:
        return not [key for key in await harness.redis.keys(f"bull:{QUEUE}:*") if key.count(b"-") > 1]

    await eventually(gone)


async def test_a_command_gives_up_after_the_time_out() -> None:
    queue = JobQueue("q", f"redis://127.0.0.1:{free_port()}", settings=Settings(http_port=None), timeout=0.2)
    with pytest.raises(BrokerUnavailableError):
        await queue.get("1")


async def test_each_command_gives_up_in_time_when_a_connected_redis_falls_silent(tmp_path: Path) -> None:
    settings = Settings(http_port=None)
    with Server(tmp_path) as server:
        queue = JobQueue("q", server.url, settings=settings, timeout=0.5)
        flows = FlowProducer(server.url, settings=settings, timeout=0.5)
        job_id = await queue.add("n", {})
        await flows.add(Flow("n", queue="q"))
        server.pause()
        try:
            calls: list[Coroutine[Any, Any, Any]] = [
                queue.add("n", {}),
                queue.cancel(job_id),
                queue.get(job_id),
                queue.upsert_job_scheduler("s", name="n", every=timedelta(hours=1)),
                queue.remove_job_scheduler("s"),
                queue.run_job_scheduler("s"),
                queue.set_global_concurrency(1),
                flows.add(Flow("n", queue="q")),
                flows.get("q", job_id),
            ]
            async with asyncio.timeout(3):
                failures = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(failure) for failure in failures] == [BrokerUnavailableError] * len(calls)
            with pytest.raises(TimeoutError, match=f"job {job_id} of queue q has not ended within 0.1 s"):
                await queue.result(job_id, 0.1)
        finally:
            server.resume()
        await queue.close()
        await flows.close()


@pytest.mark.parametrize("repeat", [{}, {"every": 60_000, "pattern": "* * * * *"}])
async def test_a_job_scheduler_has_either_a_pattern_or_every(harness: Harness, repeat: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="'s': it needs either a pattern or every"):
        await harness.jobs.upsert_job_scheduler("s", name="n", **repeat)


async def test_a_scheduler_s_job_is_added_now_with_its_data_and_options(harness: Harness) -> None:
    jobs = harness.jobs
    options: JobOptionsDict = {"attempts": 3, "priority": 2, "keep_logs": 5, "fail_parent_on_failure": True}
    await jobs.upsert_job_scheduler("nightly", name="report", data={"a": 1}, every=3_600_000, **options)
    scheduler = await jobs.get_job_scheduler("nightly")
    assert scheduler is not None
    assert (scheduler.name, scheduler.every, scheduler.data) == ("report", 3_600_000, {"a": 1})
    added = await jobs.run_job_scheduler("nightly")
    assert added is not None
    assert added.created
    job = await jobs.get(added)
    assert job is not None
    assert (job.name, job.data, job.state) == ("report", {"a": 1}, "prioritized")
    assert {name: job.opts[name] for name in ("attempts", "priority", "keepLogs", "failParentOnFailure")} == {
        "attempts": 3,
        "priority": 2,
        "keepLogs": 5,
        "failParentOnFailure": True,
    }
    assert await jobs.get_job_scheduler("nightly") == scheduler
    assert await jobs.run_job_scheduler("other") is None
    assert await jobs.get_job_scheduler("other") is None


async def test_a_scheduler_whose_options_cannot_be_read_runs_nothing(harness: Harness) -> None:
    await harness.jobs.upsert_job_scheduler("nightly", name="report", every=3_600_000)
    await harness.redis.hset(f"bull:{QUEUE}:repeat:nightly", "opts", "[1")
    with pytest.raises(ConfigurationError, match="job scheduler 'nightly': opts is not JSON"):
        await harness.jobs.run_job_scheduler("nightly")
