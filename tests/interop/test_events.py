"""A Node ``QueueEvents`` sees of this service what it would see of a Node worker."""

from __future__ import annotations

import asyncio

import redis.asyncio

from auth_worker import Delay, Job, UnrecoverableError
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually


async def test_a_completed_job_is_seen_through_its_whole_life(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> str:
        await job.update_progress(50)
        await job.update_progress({"step": "Zoë"})
        return "done"

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {})
    completed = await node.event(queue, "completed")
    assert completed == {"event": "completed", "jobId": job_id, "returnvalue": "done", "prev": "active"}
    assert await node.events(queue, job_id) == ["added", "waiting", "active", "progress", "progress", "completed"]
    assert (await node.event(queue, "progress"))["data"] == 50
    await node.event(queue, "drained")


async def test_a_delayed_and_retried_job_is_seen_to_wait(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        if job.attempt == 1:
            raise OSError("not yet")

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, delay=100, attempts=2, backoff={"type": "fixed", "delay": 100})
    await node.event(queue, "completed")
    assert await node.events(queue, job_id) == [
        "added",
        "delayed",
        "waiting",
        "active",
        "delayed",
        "waiting",
        "active",
        "completed",
    ]


async def test_a_job_retried_at_once_is_seen_to_wait_again(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        if job.attempt == 1:
            raise OSError("not yet")

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, attempts=2)
    await node.event(queue, "completed")
    assert await node.events(queue, job_id) == ["added", "waiting", "active", "waiting", "active", "completed"]


async def test_a_job_that_used_up_its_attempts_is_seen_to_fail(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        raise OSError("the mail server is away")

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, attempts=2)
    failed = await node.event(queue, "failed")
    assert failed == {
        "event": "failed",
        "jobId": job_id,
        "failedReason": "the mail server is away",
        "prev": "active",
    }
    exhausted = await node.event(queue, "retries-exhausted")
    assert (exhausted["jobId"], exhausted["attemptsMade"]) == (job_id, "2")


async def test_a_job_that_cannot_succeed_is_seen_to_fail_with_attempts_left(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no such user")

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, attempts=5)
    await node.event(queue, "failed")
    assert await node.events(queue, job_id) == ["added", "waiting", "active", "failed"]


async def test_a_job_that_asks_for_a_delay_is_seen_delayed(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    asked = False

    async def consumer(job: Job) -> int:
        nonlocal asked
        if not asked:
            asked = True
            raise Delay(0.1)
        return job.attempt

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {})
    assert (await node.event(queue, "completed"))["returnvalue"] == 1
    assert await node.events(queue, job_id) == [
        "added",
        "waiting",
        "active",
        "delayed",
        "waiting",
        "active",
        "completed",
    ]


async def test_a_job_of_a_dead_node_worker_is_seen_to_stall_and_completed_by_us(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> str:
        return "rescued"

    await node.start_worker(queue, {"hangs": True}, lockDuration=200, stalledInterval=100)
    job_id = await node.add(queue, "job", {})
    await node.runs(queue, 1)
    await node.stop_worker(queue, force=True)
    await node.start_events(queue)
    await start_worker(queue, consumer, stalled_interval=100)
    assert await node.wait_until_finished(queue, job_id) == "rescued"
    assert (await node.event(queue, "stalled"))["jobId"] == job_id
    job = await node.get_job(queue, job_id)
    assert (job["stalledCounter"], job["attemptsMade"]) == (1, 1)


async def test_a_job_we_lost_is_rescued_by_a_node_worker(
    node: NodeSide, queue: str, start_worker: StartWorker, redis_url: str
) -> None:
    async def consumer(job: Job) -> str:
        await asyncio.sleep(60)
        return "too late"

    job_id = await node.add(queue, "job", {})
    worker = await start_worker(queue, consumer, stalled_interval=100, lock_duration=1000)

    async def running() -> bool:
        return await node.state(queue, job_id) == "active"

    await eventually(running)
    await worker.pause()
    # As after kill -9: the lock has run out, and nobody renews it.
    async with redis.asyncio.from_url(redis_url) as client:
        await client.delete(f"bull:{queue}:{job_id}:lock")
    await node.start_events(queue)
    await node.start_worker(queue, {"returns": "rescued"}, stalledInterval=100)
    assert await node.wait_until_finished(queue, job_id) == "rescued"

    async def known_as_lost() -> bool:
        return worker.get_metrics().leases_lost == 1

    await eventually(known_as_lost)
    assert worker.get_metrics().completed == 0
