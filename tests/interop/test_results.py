"""Results and cancellations across the two: whoever waits for a job hears of its end, whichever side worked it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth_worker import Job, JobQueue
from auth_worker.errors import JobFailedError
from interop.conftest import StartWorker
from interop.node_side import NodeError, NodeSide


@pytest.fixture
async def jobs(redis_url: str, queue: str) -> AsyncIterator[JobQueue]:
    async with JobQueue(queue, redis_url) as producer:
        yield producer


@pytest.mark.parametrize("removed", [False, True])
async def test_we_get_the_result_of_a_job_that_node_works(
    node: NodeSide, jobs: JobQueue, queue: str, removed: bool
) -> None:
    job_id = await jobs.add("n", {}, remove_on_complete=removed)
    waiting = asyncio.create_task(jobs.result(job_id, 15))
    await node.start_worker(queue, {"returns": {"text": "Grüße 🚀", "parts": [1, None, True]}})
    assert await waiting == {"text": "Grüße 🚀", "parts": [1, None, True]}
    assert await jobs.result(job_id, 15) == await waiting


async def test_we_get_the_failure_of_a_job_that_node_works(node: NodeSide, jobs: JobQueue, queue: str) -> None:
    job_id = await jobs.add("n", {}, attempts=2, backoff=1)
    waiting = asyncio.create_task(jobs.result(job_id, 15))
    await node.start_worker(queue, {"throws": "no such page"})
    with pytest.raises(JobFailedError, match="no such page") as failed:
        await waiting
    assert (failed.value.job_id, failed.value.error_type) == (job_id, "Error")
    assert len(await node.runs(queue)) == 2


async def test_node_sees_how_a_job_that_we_work_ends(
    node: NodeSide, jobs: JobQueue, queue: str, start_worker: StartWorker
) -> None:
    running = asyncio.Event()

    async def consumer(job: Job) -> str:
        if job.name == "failing":
            raise ValueError("below zero")
        if job.name == "endless":
            running.set()
            await asyncio.Event().wait()
        return "sent"

    await node.start_events(queue)
    ids = [await jobs.add(name, {}) for name in ("sent", "failing", "endless")]
    waiting = [asyncio.create_task(node.wait_until_finished(queue, job_id)) for job_id in ids]
    await start_worker(queue, consumer)
    await asyncio.wait_for(running.wait(), 15)
    await jobs.cancel(ids[2], "wrong list")
    completion, failure, cancellation = await asyncio.gather(*waiting, return_exceptions=True)
    assert completion == "sent"
    assert isinstance(failure, NodeError)
    assert "below zero" in str(failure)
    assert isinstance(cancellation, NodeError)
    assert str(cancellation) == "job was cancelled: wrong list"


@pytest.mark.parametrize("options", [{}, {"delay": 60_000}, {"priority": 3}])
async def test_a_job_cancelled_while_it_waits_is_an_ordinary_failed_job(
    node: NodeSide, jobs: JobQueue, queue: str, options: dict[str, int]
) -> None:
    await node.start_events(queue)
    job_id = await jobs.add("n", {"n": 1}, **options)  # type: ignore[arg-type]
    waiting = asyncio.create_task(node.wait_until_finished(queue, job_id))
    await jobs.cancel(job_id, "wrong list")
    with pytest.raises(NodeError, match="job was cancelled: wrong list"):
        await waiting
    assert await node.counts(queue) == {"failed": 1}
    job = await node.get_job(queue, job_id)
    assert job["failedReason"] == "job was cancelled: wrong list"
    assert job["finishedOn"] >= job["timestamp"]
    assert job["attemptsMade"] == 0
    await node.job(queue, job_id, "retry")
    await node.start_worker(queue, {"returns": "sent"})
    assert (await node.finished(queue, job_id))["returnvalue"] == "sent"
    assert await node.counts(queue) == {"completed": 1}
