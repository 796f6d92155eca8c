"""What Node sets per queue holds for our worker: prefix, metrics, event stream length, stall limit, bulk moves."""

from __future__ import annotations

import pytest
import redis.asyncio

from auth_worker import Job, QueueProcessorService
from auth_worker.config import Settings
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually


async def odd_ones_fail(job: Job) -> None:
    if job.data % 2:
        raise OSError("odd")


async def add_numbers(node: NodeSide, queue: str, count: int) -> None:
    jobs = [{"name": "job", "data": number, "opts": {"attempts": 1}} for number in range(count)]
    await node.add_bulk(queue, jobs)


async def test_node_reads_the_metrics_we_collect(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    await start_worker(queue, odd_ones_fail, metrics={"max_data_points": 60}, concurrency=5)
    await add_numbers(node, queue, 31)
    await node.until_counts(queue, completed=16, failed=15)
    assert (await node.queue(queue, "getMetrics", "completed"))["meta"]["count"] == 16
    assert (await node.queue(queue, "getMetrics", "failed"))["meta"]["count"] == 15


async def test_no_metrics_are_collected_where_nobody_asked(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, odd_ones_fail)
    await add_numbers(node, queue, 2)
    await node.until_counts(queue, completed=1, failed=1)
    assert (await node.queue(queue, "getMetrics", "completed"))["meta"]["count"] == 0


async def test_the_event_stream_stays_as_short_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker, redis_url: str
) -> None:
    await node.open_queue(queue, streams={"events": {"maxLen": 100}})
    await start_worker(queue, odd_ones_fail, concurrency=10)
    await add_numbers(node, queue, 1000)
    await node.until_counts(queue, completed=500, failed=500)
    async with redis.asyncio.from_url(redis_url) as client:
        assert 50 <= await client.xlen(f"bull:{queue}:events") < 500


@pytest.mark.parametrize("prefix", ["auth", "{auth}"])
async def test_a_queue_under_another_prefix_is_worked(
    node: NodeSide, queue: str, redis_url: str, prefix: str
) -> None:
    await node.open_queue(queue, prefix=prefix)

    async def consumer(job: Job) -> str:
        await job.update_progress(100)
        await job.log("done")
        return "done"

    worker = QueueProcessorService(
        queue_name=queue,
        processor=consumer,
        connection=redis_url,
        settings=Settings(http_port=None, prefix=prefix, name="pod-7"),
    )
    await worker.initialize()
    try:
        job_id = await node.add(queue, "job", {})
        job = await node.finished(queue, job_id)
        assert (job["returnvalue"], job["progress"]) == ("done", 100)
        assert await node.worker_names(queue) == ["pod-7"]
    finally:
        await worker.close()
    async with redis.asyncio.from_url(redis_url, decode_responses=True) as client:
        assert [key async for key in client.scan_iter() if not key.startswith(f"{prefix}:")] == []


async def test_a_job_that_stalled_too_often_fails_and_is_dead_lettered(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await node.start_worker(queue, {"hangs": True}, lockDuration=200, stalledInterval=100)
    job_id = await node.add(queue, "job", {"number": 1}, attempts=5)
    await node.runs(queue, 1)
    await node.stop_worker(queue, force=True)
    ran: list[Job] = []
    await start_worker(queue, ran.append, dead_letters=f"{queue}-dead", stalled_interval=100, max_stalled_count=0)
    job = await node.finished(queue, job_id)
    assert job["failedReason"] == "job stalled more than allowable limit"
    assert ran == []
    (letter,) = await node.jobs(f"{queue}-dead", "waiting")
    assert (letter["data"]["reasonClass"], letter["data"]["data"]) == ("stalled", {"number": 1})


async def test_a_queue_that_node_obliterates_under_us_is_usable_again(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, odd_ones_fail)
    await add_numbers(node, queue, 10)
    await node.until_counts(queue, completed=5, failed=5)
    await node.queue(queue, "pause")
    await node.queue(queue, "obliterate", {"force": True})
    await node.queue(queue, "resume")
    job_id = await node.add(queue, "job", 0)
    assert (await node.finished(queue, job_id))["attemptsMade"] == 1


async def test_failed_jobs_that_node_retries_in_bulk_run_again(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    healthy = False

    async def consumer(job: Job) -> None:
        if not healthy:
            raise ConnectionError("the mail server is away")

    await start_worker(queue, consumer)
    await add_numbers(node, queue, 20)
    await node.until_counts(queue, failed=20)
    healthy = True
    await node.queue(queue, "retryJobs", {"state": "failed"})

    async def all_done() -> bool:
        return await node.counts(queue) == {"completed": 20}

    await eventually(all_done)
