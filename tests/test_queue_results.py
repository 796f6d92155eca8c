"""Whoever awaits the result of a job gets it, or learns why there is none."""

from __future__ import annotations

import asyncio
import pickle
from functools import partial
from pathlib import Path

import pytest

from auth_worker import Job, JobQueue
from auth_worker.brokers.redis.scripts.loader import script
from auth_worker.errors import JobCancelledError, JobFailedError, JobNotFoundError
from auth_worker.events import JobFailed
from auth_worker.flow import Flow, FlowProducer
from auth_worker.queue import JobOptionsDict
from auth_worker.queue.results import error_type_of
from support.operators import operations_on
from support.processors import QUEUE, Harness, collect, eventually
from support.servers import Server


async def consumer(job: Job) -> int:
    if job.data["n"] < 0:
        raise ValueError("below zero")
    return int(job.data["n"]) * 2


async def is_read(harness: Harness) -> bool:
    """Whether somebody reads the events."""
    return any(client["cmd"] == "xread" for client in await harness.redis.client_list())


@pytest.mark.parametrize("removed", [False, True])
async def test_the_result_comes_before_and_after_the_end(harness: Harness, removed: bool) -> None:
    before = await harness.jobs.add("n", {"n": 4}, remove_on_complete=removed)
    waiting = asyncio.create_task(harness.jobs.result(before, 10))
    await harness.processor(consumer)
    assert await waiting == 8
    assert await harness.jobs.result(before, 10) == 8


async def test_ten_thousand_wait_on_two_connections(harness: Harness) -> None:
    """One answers who begins to wait, the other reads the events."""
    await harness.jobs.add("n", {})
    before = len(await harness.redis.client_list())
    ids = await harness.jobs.add_bulk([{"name": "n", "data": {}} for _ in range(10_000)])
    waiting = [asyncio.create_task(harness.jobs.result(job_id, 60)) for job_id in ids]
    await eventually(partial(is_read, harness), "a reader of the events")
    assert len(await harness.redis.client_list()) == before + 1
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_many_results_reach_those_who_wait(harness: Harness) -> None:
    ids = await harness.jobs.add_bulk([{"name": "n", "data": {"n": n}} for n in range(1000)])
    waiting = [asyncio.create_task(harness.jobs.result(job_id, 30)) for job_id in ids]
    await harness.processor(consumer, {"concurrency": 50})
    assert await asyncio.gather(*waiting) == [n * 2 for n in range(1000)]


async def test_failures_say_why(harness: Harness) -> None:
    failing = await harness.jobs.add("n", {"n": -1}, attempts=1)
    cancelled = await harness.jobs.add("n", {"n": 1}, delay=60_000)
    waiting = asyncio.create_task(harness.jobs.result(cancelled, 10))
    with pytest.raises(TimeoutError):
        await harness.jobs.result(failing, 0.05)
    await harness.processor(consumer)
    with pytest.raises(JobFailedError, match="below zero") as failed:
        await harness.jobs.result(failing, 10)
    assert (failed.value.job_id, failed.value.error_type) == (failing, "ValueError")
    again = pickle.loads(pickle.dumps(failed.value))
    assert (str(again), again.error_type) == (str(failed.value), "ValueError")
    await harness.jobs.cancel(cancelled, "wrong list")
    with pytest.raises(JobCancelledError, match="wrong list"):
        await waiting
    with pytest.raises(JobNotFoundError):
        await harness.jobs.result("nobody", 10)


async def test_who_awaits_a_job_learns_that_it_was_removed(harness: Harness) -> None:
    replaced: JobOptionsDict = {"delay": 60_000, "deduplication": {"id": "d", "replace": True}}
    first = await harness.jobs.add("n", {"n": 1}, **replaced)
    removed = await harness.jobs.add("n", {"n": 2}, delay=60_000)
    waiting = [asyncio.create_task(harness.jobs.result(each, 20)) for each in (first, removed)]
    await eventually(partial(is_read, harness), "a reader of the events")
    await harness.jobs.add("n", {"n": 3}, **replaced)
    async with operations_on(harness.url) as work:
        await work.jobs.remove(QUEUE, removed)
    for each in waiting:
        with pytest.raises(JobNotFoundError):
            await each


@pytest.mark.parametrize("change", ["remove", "drain", "drain delayed", "clean by node", "obliterate"])
async def test_who_awaits_a_job_learns_that_its_queue_was_emptied(harness: Harness, change: str) -> None:
    """Long before it would look by itself."""
    parent = Flow("parent", queue=QUEUE).after(Flow("child", queue=f"{QUEUE}2"))
    options: JobOptionsDict = {"delay": 60_000} if change == "drain delayed" else {}
    job_id = await harness.jobs.add("n", {}, **options)
    async with (
        JobQueue(f"{QUEUE}2", harness.url) as second,
        FlowProducer(harness.url) as flows,
        operations_on(harness.url) as work,
    ):
        waiting = [asyncio.create_task(harness.jobs.result(job_id, 20))]
        if change == "remove":
            added = await flows.add(parent)
            waiting.append(asyncio.create_task(harness.jobs.result(added.job.id, 20)))
            waiting.append(asyncio.create_task(second.result(added.children[0].job.id, 20)))
        await eventually(partial(is_read, harness), "a reader of the events")
        match change:
            case "remove":
                await work.jobs.remove(QUEUE, added.job.id, children=True)
                await work.jobs.remove(QUEUE, job_id)
            case "clean by node":
                keys = [f"bull:{QUEUE}:{name}" for name in ("wait", "events", "repeat")]
                await harness.redis.eval(
                    script("cleanJobsInSet").text, 3, *keys, f"bull:{QUEUE}:", 2**53, 0, "wait"
                )
            case "obliterate":
                await harness.jobs.obliterate()
            case _:
                async for _ in work.jobs.drain(QUEUE, delayed=change == "drain delayed"):
                    pass
        for each in waiting:
            with pytest.raises(JobNotFoundError):
                await each
    if change == "obliterate":
        assert await harness.redis.keys(f"bull:{QUEUE}:*") == []


async def test_a_job_that_awaits_a_cancelled_one_has_failed_and_was_not_cancelled(harness: Harness) -> None:
    awaited = await harness.jobs.add("n", {}, delay=60_000)
    await harness.jobs.cancel(awaited, "wrong list")

    async def waiter(job: Job) -> None:
        await harness.jobs.result(awaited, 10)

    processor = await harness.processor(waiter)
    failures = collect(processor.runtime.bus, JobFailed)
    job_id = await harness.jobs.add("n", {})
    with pytest.raises(JobFailedError, match="another job was cancelled: wrong list"):
        await harness.jobs.result(job_id, 10)
    await eventually(lambda: failures)
    assert failures[0].reason_class == "unrecoverable"


async def test_an_event_that_was_missed_is_made_up_for(harness: Harness) -> None:
    """The stream is gone, and the reader's connection broken, when the job ends."""
    job_id = await harness.jobs.add("n", {"n": 3})
    waiting = asyncio.create_task(harness.jobs.result(job_id, 20))
    await asyncio.wait({waiting}, timeout=0.2)
    await harness.processor(consumer)
    await harness.redis.delete(f"bull:{QUEUE}:events")
    await harness.redis.client_kill_filter(_type="normal", skipme=True)
    assert await waiting == 6


async def test_a_restart_of_redis_does_not_end_the_waiting(tmp_path: Path) -> None:
    with Server(tmp_path, appendonly=True, config={"appendfsync": "always"}) as server:
        harness = Harness(server.url)
        try:
            ids = [await harness.jobs.add("n", {"n": n}) for n in (3, -1)]
            waiting = [asyncio.create_task(harness.jobs.result(job_id, 30)) for job_id in ids]

            await eventually(partial(is_read, harness), "a reader of the events")
            await asyncio.to_thread(server.kill)
            server.start()
            await harness.processor(consumer, {"attempts": 1})
            result, failure = await asyncio.gather(*waiting, return_exceptions=True)
            assert result == 6
            assert isinstance(failure, JobFailedError)
        finally:
            await harness.close()


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\nValueError: a: b\nmore',
            "ValueError",
        ),
        ("Traceback (most recent call last):\n  File\npackage.errors.CardError", "CardError"),
        (
            "Traceback (most recent call last):\n  File\nKeyError: 1\n\nDuring handling of the above exception, "
            "another exception occurred:\n\nTraceback (most recent call last):\n  File\nRuntimeError: no",
            "RuntimeError",
        ),
        ("TypeError: x is not a function\n    at run (/app/a.js:1:1)", "TypeError"),
        ("Error\n    at run (/app/a.js:1:1)", "Error"),
        ("no trace at all", None),
        ("Traceback (most recent call last):\n  File", None),
        ("", None),
        (None, None),
    ],
)
def test_the_error_s_class_is_read_from_a_stack_trace(trace: str | None, expected: str | None) -> None:
    assert error_type_of(trace) == expected
