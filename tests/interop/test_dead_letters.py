"""The dead letters of this service are jobs that any Node consumer reads."""

from __future__ import annotations

import time
from typing import Any

import pytest

from auth_worker import Job, UnrecoverableError
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually


async def fail(job: Job) -> None:
    raise UnrecoverableError("no such user: Zoë")


async def letters_of(node: NodeSide, queue: str, count: int = 1) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]] | None:
        found = await node.jobs(queue, "waiting")
        return found if len(found) >= count else None

    found = await eventually(enough)
    assert found is not None
    return found


async def test_a_node_consumer_reads_our_dead_letter(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    data = {"type": "sendVerificationEmail", "data": {"name": "Zoë"}}
    job_id = await node.add(queue, "sendVerificationEmail", data, attempts=3)
    await start_worker(queue, fail, dead_letters=f"{queue}-dead")
    await node.start_worker(f"{queue}-dead", {"returns": "seen"})
    (letter,) = await node.runs(f"{queue}-dead", 1)
    content = letter["data"]
    assert letter["name"] == content["name"] == "sendVerificationEmail"
    assert (content["originalQueue"], content["originalJobId"], content["data"]) == (queue, job_id, data)
    assert content["opts"]["attempts"] == 3
    assert content["failedReason"] == "no such user: Zoë"
    assert content["reasonClass"] == "unrecoverable"
    assert content["attemptsMade"] == 1
    assert content["worker"] == "pod-7"
    assert "UnrecoverableError: no such user: Zoë" in content["stacktrace"][-1]
    assert 0 <= time.time() * 1000 - content["failedAt"] < 60_000


async def test_the_letter_and_the_failed_job_agree(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    job_id = await node.add(queue, "job", {})
    await start_worker(queue, fail, dead_letters=f"{queue}-dead")
    (letter,) = await letters_of(node, f"{queue}-dead")
    job = await node.get_job(queue, job_id)
    assert letter["data"]["failedAt"] == job["finishedOn"]
    assert letter["data"]["stacktrace"] == job["stacktrace"]
    assert letter["data"]["failedReason"] == job["failedReason"]


@pytest.mark.parametrize("keep", [True, 0, {"count": 0}, 1, {"age": 1}])
async def test_a_producer_that_removes_failed_jobs_does_not_lose_the_letter(
    node: NodeSide, queue: str, start_worker: StartWorker, keep: Any
) -> None:
    ids = [await node.add(queue, "job", {"number": number}, removeOnFail=keep) for number in range(5)]
    await start_worker(queue, fail, dead_letters=f"{queue}-dead")
    letters = await letters_of(node, f"{queue}-dead", 5)
    assert [letter["data"]["originalJobId"] for letter in letters] == ids
    assert [letter["data"]["data"] for letter in letters] == [{"number": number} for number in range(5)]


async def test_each_failed_job_has_one_letter(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def odd_ones_fail(job: Job) -> None:
        if job.data["number"] % 2:
            raise OSError("odd")

    jobs = [{"name": "job", "data": {"number": number}, "opts": {"attempts": 2}} for number in range(40)]
    ids = await node.add_bulk(queue, jobs)
    await start_worker(queue, odd_ones_fail, dead_letters=f"{queue}-dead", concurrency=5)
    letters = await letters_of(node, f"{queue}-dead", 20)
    assert sorted(letter["data"]["originalJobId"] for letter in letters) == sorted(ids[1::2])
    assert await node.counts(queue) == {"completed": 20, "failed": 20}


async def test_a_letter_of_an_odd_job_id_is_readable_by_node(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    job_id = await node.add(queue, "job", {}, jobId="user Zoë/42 {x} 100%")
    await start_worker(queue, fail, dead_letters=f"{queue}-dead")
    (letter,) = await letters_of(node, f"{queue}-dead")
    assert letter["data"]["originalJobId"] == job_id
    assert (await node.get_job(f"{queue}-dead", letter["id"]))["data"] == letter["data"]


async def test_a_job_that_a_node_worker_failed_gets_its_letter_from_us(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await node.start_worker(queue, {"throws": "no such user: Zoë"}, name="node-1")
    job_id = await node.add(queue, "job", {"number": 1}, attempts=2)
    failed = await node.finished(queue, job_id)
    await node.stop_worker(queue)
    await start_worker(queue, fail, dead_letters=f"{queue}-dead")
    (letter,) = await letters_of(node, f"{queue}-dead")
    content = letter["data"]
    assert (content["originalJobId"], content["data"]) == (job_id, {"number": 1})
    assert (content["failedReason"], content["reasonClass"]) == ("no such user: Zoë", "exhausted")
    assert (content["attemptsMade"], content["failedAt"]) == (2, failed["finishedOn"])
    assert content["worker"] == "node-1"
    assert content["stacktrace"] == failed["stacktrace"]
