"""A job that somebody cancels fails once, wherever it is, and does not run again."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from auth_worker import Job
from auth_worker.core.job_options_dict import ParentDict
from auth_worker.errors import ConfigurationError
from auth_worker.events import JobFailed
from support import process_consumers
from support.processors import QUEUE, Harness, collect, eventually
from support.running_processes import is_running

CANCELLED = "job was cancelled: wrong list"


async def failed_as_cancelled(harness: Harness, job_id: str, attempts: str) -> None:
    """It has failed, once, as Node sees any failed job, and there is no letter of it."""
    stored = await harness.job(job_id)
    assert stored["failedReason"] == CANCELLED
    assert stored.get("atm", "0") == attempts
    assert "finishedOn" in stored
    assert not {"defa", "dlq"} & set(stored)
    ends = [event for event in await harness.events() if event["event"] in ("failed", "completed")]
    assert [(end["event"], end["failedReason"]) for end in ends if end["jobId"] == job_id] == [
        ("failed", CANCELLED)
    ]
    assert await harness.dead_letters() == []
    assert not await harness.redis.exists(f"bull:{QUEUE}:{job_id}:lock")


@pytest.mark.parametrize("options", [{}, {"delay": 60_000}, {"priority": 5}, {"lifo": True, "attempts": 1}])
async def test_a_job_that_waits_fails_at_once(harness: Harness, options: dict[str, Any]) -> None:
    job_id = await harness.jobs.add("n", {}, **options)
    assert await harness.jobs.cancel(job_id, "wrong list")
    await harness.settled(1)
    await failed_as_cancelled(harness, job_id, "0")
    assert not await harness.jobs.cancel(job_id), "it has finished"


async def test_a_job_of_a_paused_queue_fails_at_once(harness: Harness) -> None:
    await harness.redis.hset(f"bull:{QUEUE}:meta", "paused", 1)
    job_id = await harness.jobs.add("n", {})
    assert await harness.jobs.cancel(job_id, "wrong list")
    await harness.settled(1)


async def test_a_job_that_is_not_there_is_not_cancelled(harness: Harness) -> None:
    assert not await harness.jobs.cancel("nobody")
    with pytest.raises(ConfigurationError, match="reason"):
        await harness.jobs.cancel("1", "x" * 501)


async def test_the_iteration_that_a_scheduler_waits_for_stays(harness: Harness) -> None:
    job_id = await harness.jobs.upsert_job_scheduler("nightly", name="n", every=60_000_000)
    assert job_id is not None
    with pytest.raises(ConfigurationError, match="scheduler"):
        await harness.jobs.cancel(job_id)
    assert sum((await harness.counts()).values()) == 1


async def test_a_running_job_stops_within_a_second(harness: Harness) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    processor = await harness.processor(consumer, {"lock_duration": 60_000})
    failures = collect(processor.runtime.bus, JobFailed)
    job_id = await harness.jobs.add("n", {}, attempts=5)
    await asyncio.wait_for(started.wait(), 10)
    asked = time.monotonic()
    assert await harness.jobs.cancel(job_id, "wrong list")
    await asyncio.wait_for(stopped.wait(), 1)
    await harness.settled(1)
    assert time.monotonic() - asked < 1
    await failed_as_cancelled(harness, job_id, "1")
    await eventually(lambda: failures)
    assert [(failure.outcome, failure.reason_class) for failure in failures] == [("cancelled", "cancelled")]


async def test_a_thread_sees_the_cancellation_in_its_job_and_its_result_does_not_count(harness: Harness) -> None:
    started = threading.Event()

    def consumer(job: Job) -> str:
        started.set()
        assert job.cancelled.wait(10)
        return "stopped early"

    await harness.processor(consumer, {"lock_duration": 60_000})
    job_id = await harness.jobs.add("n", {}, attempts=5)
    await eventually(started.is_set)
    await harness.jobs.cancel(job_id, "wrong list")
    await harness.settled(1, within=2)
    await failed_as_cancelled(harness, job_id, "1")


async def test_the_process_of_a_cancelled_job_is_killed_and_others_go_on(harness: Harness, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    processor = await harness.processor(process_consumers.anything, {"concurrency": 2}, execution="process")
    failures = collect(processor.runtime.bus, JobFailed)
    job_id = await harness.jobs.add("n", {"pid_file": str(pid_file)}, attempts=5)
    pid = int(await eventually(lambda: pid_file.exists() and pid_file.read_text(), "a process", 30))
    assert await harness.jobs.cancel(job_id, "wrong list")
    beside, after = [await harness.jobs.add("n", "fine") for _ in range(2)]
    assert [await harness.jobs.result(other, 30) for other in (beside, after)] == ["still here"] * 2
    await eventually(lambda: not is_running(pid), "the end of the process")
    await harness.settled(3)
    await failed_as_cancelled(harness, job_id, "1")
    assert [failure.reason_class for failure in failures] == ["cancelled"]


async def test_a_job_between_two_attempts_fails_at_once(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise ValueError("first")

    await harness.processor(consumer, {"backoff": {"type": "fixed", "delay": 60_000}})
    job_id = await harness.jobs.add("n", {})

    async def is_delayed() -> bool:
        return (await harness.counts())["delayed"] == 1

    await eventually(is_delayed)
    await harness.jobs.cancel(job_id, "wrong list")
    await harness.settled(1)
    await failed_as_cancelled(harness, job_id, "1")


async def test_a_lost_message_is_made_up_for_by_the_next_renewal(harness: Harness) -> None:
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    await harness.processor(consumer, {"lock_duration": 1000})
    job_id = await harness.jobs.add("n", {})
    await asyncio.wait_for(started.wait(), 10)
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "defa", CANCELLED)
    await harness.settled(1, within=3)
    await failed_as_cancelled(harness, job_id, "1")


async def test_a_job_whose_worker_died_is_not_run_again(harness: Harness) -> None:
    await harness.jobs.add("n", {}, job_id="a")
    await harness.redis.rpoplpush(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:active")
    assert await harness.jobs.cancel("a", "wrong list")
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.id)

    await harness.processor(consumer)
    await harness.settled(1)
    assert ran == []
    await failed_as_cancelled(harness, "a", "1")


async def test_a_request_that_meets_the_end_of_a_failed_attempt_allows_no_other(harness: Harness) -> None:
    """The consumer's own error and the request come at the same moment, before the retry is written."""
    attempts: list[asyncio.Task[Any]] = []

    async def consumer(job: Job) -> None:
        attempts.append(asyncio.create_task(harness.jobs.cancel(job.id, "wrong list")))
        raise ValueError("at the same moment")

    await harness.processor(consumer, {"backoff": {"type": "fixed", "delay": 60_000}})
    for number in range(20):
        await harness.jobs.add("n", {}, job_id=f"j{number}")
    await harness.settled(20, within=10)
    assert len(attempts) == 20
    for number in range(20):
        assert (await harness.job(f"j{number}"))["failedReason"] == CANCELLED


async def test_a_request_that_races_with_completion_leaves_one_outcome(harness: Harness) -> None:
    async def consumer(job: Job) -> str:
        await asyncio.sleep(0.001)
        return "done"

    await harness.processor(consumer, {"concurrency": 10})
    ids = [f"j{number}" for number in range(200)]
    await harness.jobs.add_bulk([{"name": "n", "data": {}, "opts": {"job_id": job_id}} for job_id in ids])
    await asyncio.gather(*(harness.jobs.cancel(job_id) for job_id in ids))
    counts = await harness.settled(200)
    assert counts["failed"] > 0
    ends = [event["jobId"] for event in await harness.events() if event["event"] in ("failed", "completed")]
    assert sorted(ends) == sorted(ids)


async def test_the_letter_of_a_cancelled_job_is_there_where_it_is_asked_for(harness: Harness) -> None:
    """Of the one that ran from its worker, of the one that waited from reconciliation."""
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    await harness.processor(consumer, {"dead_letter_cancelled": True, "concurrency": 1})
    running = await harness.jobs.add("n", {"a": 1})
    waiting = await harness.jobs.add("n", {"a": 2}, delay=60_000)
    await asyncio.wait_for(started.wait(), 10)
    for job_id in (running, waiting):
        await harness.jobs.cancel(job_id, "wrong list")

    async def letters() -> list[dict[str, Any]]:
        found = await harness.dead_letters()
        return found if len(found) == 2 else []

    found = await eventually(letters)
    assert {letter["originalJobId"] for letter in found} == {running, waiting}
    assert {letter["reasonClass"] for letter in found} == {"cancelled"}


async def test_a_parent_goes_on_as_with_any_failed_child(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.id)

    parent = f"bull:{QUEUE}:p"
    await harness.redis.hset(parent, mapping={"name": "p", "data": "{}", "opts": "{}", "timestamp": 1})
    await harness.redis.zadd(f"bull:{QUEUE}:waiting-children", {"p": 1})
    family: ParentDict = {"id": "p", "queue": f"bull:{QUEUE}"}
    child = await harness.jobs.add("c", {}, delay=60_000, parent=family, ignore_dependency_on_failure=True)
    assert await harness.redis.scard(f"{parent}:dependencies") == 1
    await harness.jobs.cancel(child, "wrong list")
    await harness.processor(consumer)
    counts = await harness.settled(2)
    assert (ran, counts["failed"]) == (["p"], 1)
