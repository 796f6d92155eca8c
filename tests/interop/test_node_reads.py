"""A Node ``Queue`` reads the jobs this service has worked as if a Node worker had."""

from __future__ import annotations

import time
from typing import Any

import pytest

from auth_worker import Job, UnrecoverableError
from interop.conftest import StartWorker
from interop.node_side import NodeError, NodeSide


async def test_node_reads_a_job_we_completed(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def consumer(job: Job) -> dict[str, Any]:
        await job.log("looked up the user")
        await job.log("grüßte ihn")
        await job.update_progress({"percent": 50})
        return {"sent": True, "to": "Zoë"}

    before = time.time() * 1000
    job_id = await node.add(queue, "welcome", {"to": "Zoë"})
    await start_worker(queue, consumer)
    job = await node.finished(queue, job_id)
    assert job["returnvalue"] == {"sent": True, "to": "Zoë"}
    assert job["progress"] == {"percent": 50}
    assert job["processedBy"] == "pod-7"
    assert (job["attemptsMade"], job["attemptsStarted"], job["stalledCounter"]) == (1, 1, 0)
    assert before - 1 <= job["processedOn"] <= job["finishedOn"] <= time.time() * 1000 + 1
    assert "failedReason" not in job
    assert job["stacktrace"] == []
    assert await node.logs(queue, job_id) == ["looked up the user", "grüßte ihn"]
    assert await node.job(queue, job_id, "isCompleted") is True


@pytest.mark.parametrize("value", [None, 0, "", False, [], "Zoë 🚀", [1, [2.5, {"x": None}]], -(2**53) + 1])
async def test_node_reads_every_json_value_we_return(
    node: NodeSide, queue: str, start_worker: StartWorker, value: Any
) -> None:
    async def consumer(job: Job) -> Any:
        return value

    job_id = await node.add(queue, "welcome", {})
    await start_worker(queue, consumer)
    job = await node.finished(queue, job_id)
    assert job["returnvalue"] == value
    await node.start_events(queue)
    assert await node.wait_until_finished(queue, job_id) == value


async def test_node_reads_a_job_we_failed(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def look_up_mailbox(job: Job) -> None:
        raise ValueError(f"no such mailbox: Zoë (attempt {job.attempt})")

    job_id = await node.add(queue, "welcome", {}, attempts=3, backoff=1)
    await start_worker(queue, look_up_mailbox)
    job = await node.finished(queue, job_id)
    assert job["failedReason"] == "no such mailbox: Zoë (attempt 3)"
    assert (job["attemptsMade"], job["attemptsStarted"]) == (3, 3)
    assert job["processedBy"] == "pod-7"
    assert job["finishedOn"] >= job["processedOn"]
    assert len(job["stacktrace"]) == 3
    for attempt, trace in enumerate(job["stacktrace"], 1):
        assert f"ValueError: no such mailbox: Zoë (attempt {attempt})" in trace
        assert "look_up_mailbox" in trace
    assert await node.job(queue, job_id, "isFailed") is True


async def test_node_waits_for_our_result(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def consumer(job: Job) -> dict[str, int]:
        return {"answer": job.data["question"] * 2}

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "ask", {"question": 21})
    assert await node.wait_until_finished(queue, job_id) == {"answer": 42}


async def test_node_waits_for_our_failure(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no such question")

    await node.start_events(queue)
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "ask", {}, attempts=5)
    with pytest.raises(NodeError, match=r"^no such question$"):
        await node.wait_until_finished(queue, job_id)


async def test_a_job_we_failed_can_be_retried_from_node(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    healthy = False

    async def consumer(job: Job) -> str:
        if not healthy:
            raise ConnectionError("the mail server is away")
        return "sent"

    job_id = await node.add(queue, "welcome", {}, attempts=1)
    await start_worker(queue, consumer)
    await node.finished(queue, job_id)
    healthy = True
    await node.job(queue, job_id, "retry")
    job = await node.finished(queue, job_id)
    assert job["returnvalue"] == "sent"
    assert await node.counts(queue) == {"completed": 1}


async def test_node_lists_our_workers_by_name_while_they_run(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None: ...

    assert await node.worker_names(queue) == []
    ours = await start_worker(queue, consumer)
    named = await start_worker(queue, consumer, name="pod-8")
    other = await start_worker(f"{queue}-2", consumer)
    assert await node.worker_names(queue) == ["pod-7", "pod-8"]
    assert await node.queue(queue, "getWorkersCount") == 2
    assert await node.worker_names(f"{queue}-2") == ["pod-7"]
    for worker in (ours, named, other):
        await worker.close()
    assert await node.worker_names(queue) == await node.worker_names(f"{queue}-2") == []


async def test_node_lists_our_worker_beside_its_own(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def consumer(job: Job) -> None: ...

    await start_worker(queue, consumer)
    await node.start_worker(queue, name="node-1")
    assert await node.worker_names(queue) == ["node-1", "pod-7"]
