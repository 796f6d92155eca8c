"""What this service's producer adds, a Node worker works off, with every option honoured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from auth_worker import JobQueue
from interop.node_side import NodeSide, eventually

DATA = {"type": "sendOtp", "data": {"to": "+49", "text": "Grüße 🚀", "nested": [1, 2.5, None, True]}}


@pytest.fixture
async def producer(redis_url: str, queue: str) -> AsyncIterator[JobQueue]:
    async with JobQueue(queue, redis_url) as jobs:
        yield jobs


async def test_a_node_worker_runs_our_job_with_its_name_data_and_id(
    node: NodeSide, producer: JobQueue, queue: str
) -> None:
    job_id = await producer.add("sendOtp", DATA)
    await node.start_worker(queue, {"returns": "sent"})
    (run,) = await node.runs(queue, 1)
    assert (run["id"], run["name"], run["data"]) == (job_id, "sendOtp", DATA)
    await node.start_events(queue)
    assert await node.wait_until_finished(queue, job_id) == "sent"


async def test_a_node_worker_drains_our_bulk_in_its_order(node: NodeSide, producer: JobQueue, queue: str) -> None:
    ids = await producer.add_bulk([{"name": "sendOtp", "data": {"number": n}} for n in range(100)])
    await node.start_worker(queue)
    assert [run["id"] for run in await node.runs(queue, 100)] == ids


async def test_a_node_worker_waits_for_our_delay(node: NodeSide, producer: JobQueue, queue: str) -> None:
    await node.start_worker(queue)
    await producer.add("late", DATA, delay=400)
    (run,) = await node.runs(queue, 1)
    assert 400 <= run["startedAt"] - run["timestamp"] < 5000


async def test_a_node_worker_takes_our_urgent_jobs_first(node: NodeSide, producer: JobQueue, queue: str) -> None:
    for name, priority in (("third", 10), ("second", 2), ("fourth", 2**21 - 1), ("first", None)):
        await producer.add(name, DATA, priority=priority)
    await node.start_worker(queue)
    assert [run["name"] for run in await node.runs(queue, 4)] == ["first", "second", "third", "fourth"]


async def test_a_node_worker_takes_our_lifo_job_first(node: NodeSide, producer: JobQueue, queue: str) -> None:
    await producer.add("second", DATA)
    await producer.add("first", DATA, lifo=True)
    await node.start_worker(queue)
    assert [run["name"] for run in await node.runs(queue, 2)] == ["first", "second"]


async def test_a_node_worker_retries_our_job_as_often_and_as_late_as_we_said(
    node: NodeSide, producer: JobQueue, queue: str
) -> None:
    job_id = await producer.add("flaky", DATA, attempts=3, backoff={"type": "exponential", "delay": 100})
    await node.start_worker(queue, {"throws": "try again", "times": 2})
    runs = await node.runs(queue, 3)
    waits = [after["startedAt"] - before["startedAt"] for before, after in pairwise(runs)]
    assert waits[0] >= 100
    assert waits[1] >= 200
    await node.start_events(queue)
    await node.wait_until_finished(queue, job_id)
    assert (await node.get_job(queue, job_id))["attemptsMade"] == 3


async def test_a_node_worker_fails_our_job_once_its_attempts_are_used_up(
    node: NodeSide, producer: JobQueue, queue: str
) -> None:
    job_id = await producer.add("hopeless", DATA, attempts=2, backoff=50)
    await node.start_worker(queue, {"throws": "never"})
    assert len(await node.runs(queue, 2)) == 2
    await node.start_events(queue)
    assert (await node.event(queue, "failed"))["jobId"] == job_id


@pytest.mark.parametrize(
    ("outcome", "option"), [("completed", "remove_on_complete"), ("failed", "remove_on_fail")]
)
@pytest.mark.parametrize(("keep", "kept"), [(True, 0), (2, 2), ({"count": 3}, 3), (False, 5)])
async def test_a_node_worker_keeps_as_many_of_our_finished_jobs_as_we_said(
    node: NodeSide, producer: JobQueue, queue: str, outcome: str, option: str, keep: Any, kept: int
) -> None:
    for _ in range(5):
        await producer.add("job", DATA, **{option: keep})
    await node.start_worker(queue, {"throws": "no"} if outcome == "failed" else {"returns": "yes"})

    async def drained() -> bool:
        return await node.counts(queue) == ({outcome: kept} if kept else {})

    await node.runs(queue, 5)
    await eventually(drained)


async def test_our_job_id_names_one_job_however_often_it_is_added(
    node: NodeSide, producer: JobQueue, queue: str
) -> None:
    ids = [await producer.add("once", DATA, job_id="user@example.com-42") for _ in range(3)]
    assert set(ids) == {"user@example.com-42"}
    assert await node.counts(queue) == {"waiting": 1}
    await node.start_worker(queue)
    (run,) = await node.runs(queue, 1)
    assert run["id"] == "user@example.com-42"


async def test_our_deduplicated_job_is_known_to_node_until_it_is_done(
    node: NodeSide, producer: JobQueue, queue: str
) -> None:
    first = await producer.add("once", DATA, deduplication={"id": "user-42"})
    again = await producer.add("once", DATA, deduplication={"id": "user-42"})
    assert again == first == await node.queue(queue, "getDeduplicationJobId", "user-42")
    assert (await node.get_job(queue, first))["deduplicationId"] == "user-42"
    await node.start_worker(queue)
    await node.start_events(queue)
    await node.wait_until_finished(queue, first)
    assert await producer.add("once", DATA, deduplication={"id": "user-42"}) != first


async def test_node_reads_the_options_we_set_as_its_own(node: NodeSide, producer: JobQueue, queue: str) -> None:
    job_id = await producer.add(
        "all",
        DATA,
        delay=60_000,
        attempts=7,
        backoff={"type": "fixed", "delay": 1234, "jitter": 0.5},
        priority=9,
        lifo=True,
        remove_on_complete={"age": 3600, "count": 10},
        remove_on_fail=False,
        keep_logs=5,
        stack_trace_limit=2,
        timestamp=1_700_000_000_000,
        telemetry_metadata='{"traceparent":"00-1-1-01"}',
        fail_parent_on_failure=True,
    )
    job = await node.get_job(queue, job_id)
    expected = {
        "delay": 60_000,
        "attempts": 7,
        "backoff": {"type": "fixed", "delay": 1234, "jitter": 0.5},
        "priority": 9,
        "lifo": True,
        "removeOnComplete": {"age": 3600, "count": 10},
        "removeOnFail": False,
        "keepLogs": 5,
        "stackTraceLimit": 2,
        "telemetry": {"metadata": '{"traceparent":"00-1-1-01"}'},
        "failParentOnFailure": True,
    }
    assert {name: job["opts"].get(name) for name in expected} == expected
    assert (job["timestamp"], job["delay"], job["priority"]) == (1_700_000_000_000, 60_000, 9)
