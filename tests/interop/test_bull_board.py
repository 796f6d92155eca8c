"""Bull Board shows a queue of this service as it shows one of Node workers, and its buttons work."""

from __future__ import annotations

from typing import Any

from auth_worker import Job
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually

JOB = "/api/queues/:queueName/:jobId"


async def consume(job: Job) -> str:
    await job.update_progress(50)
    await job.log("tried")
    if job.data == "bad" and job.attempt < 3:
        raise OSError(f"no luck in attempt {job.attempt}")
    return "done"


async def shown_queue(node: NodeSide, queue: str) -> dict[str, Any]:
    query = {"activeQueue": queue, "status": "latest", "page": "1", "jobsPerPage": "10"}
    (shown,) = (await node.board(queue, "get", "/api/queues", query))["queues"]
    return dict(shown)


async def test_the_board_says_whether_somebody_works_a_queue(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    assert (await shown_queue(node, queue))["hasWorkers"] is False
    worker = await start_worker(queue, consume)
    assert (await shown_queue(node, queue))["hasWorkers"] is True
    (shown,) = (await node.board(queue, "get", "/api/queues/:queueName/workers"))["workers"]
    assert shown["name"] == "pod-7"
    await worker.close()
    assert (await shown_queue(node, queue))["hasWorkers"] is False


async def test_the_board_shows_our_finished_jobs(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    good = await node.add(queue, "good", "good")
    bad = await node.add(queue, "bad", "bad", attempts=2)
    await start_worker(queue, consume, metrics={})
    await node.until_counts(queue, completed=1, failed=1)
    shown = await shown_queue(node, queue)
    assert (shown["counts"]["completed"], shown["counts"]["failed"]) == (1, 1)
    jobs = {job["id"]: job for job in shown["jobs"]}
    assert jobs[good]["returnValue"] == "done"
    assert jobs[bad]["failedReason"] == "no luck in attempt 2"
    assert "no luck in attempt 2" in jobs[bad]["stacktrace"][0]
    for job in jobs.values():
        assert (job["processedBy"], job["progress"]) == ("pod-7", 50)
        assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]
    assert (jobs[good]["isFailed"], jobs[bad]["isFailed"]) == (False, True)
    assert await node.board(queue, "get", f"{JOB}/logs", jobId=bad) == ["tried", "tried"]
    metrics = await node.board(queue, "get", "/api/queues/:queueName/metrics")
    assert metrics["completed"]["meta"]["count"] == metrics["failed"]["meta"]["count"] == 1


async def test_the_retry_button_runs_our_failed_job_again(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    job_id = await node.add(queue, "bad", "bad", attempts=2)
    await start_worker(queue, consume)
    await node.until_counts(queue, failed=1)
    await node.board(queue, "put", f"{JOB}/retry", jobId=job_id)
    await node.until_counts(queue, completed=1)
    assert (await node.get_job(queue, job_id))["returnvalue"] == "done"


async def test_the_promote_button_runs_a_delayed_job_now(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, consume)
    job_id = await node.add(queue, "good", "good", delay=600_000)
    await node.board(queue, "put", f"{JOB}/promote", jobId=job_id)
    await node.finished(queue, job_id)


async def test_the_pause_button_stops_our_worker_until_resume(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, consume)
    await node.board(queue, "put", "/api/queues/:queueName/pause")
    assert (await shown_queue(node, queue))["isPaused"] is True
    job_id = await node.add(queue, "good", "good")
    await node.board(queue, "put", "/api/queues/:queueName/resume")
    await node.finished(queue, job_id)


async def test_the_board_shows_our_dead_letters(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    job_id = await node.add(queue, "bad", "bad", attempts=1)
    await start_worker(queue, consume, dead_letters=f"{queue}-dead")

    async def letters() -> list[Any]:
        return list((await shown_queue(node, f"{queue}-dead"))["jobs"])

    (letter,) = await eventually(letters)
    assert (letter["name"], letter["data"]["originalJobId"]) == ("bad", job_id)
