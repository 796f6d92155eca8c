"""Every option a Node producer can set on a job is honoured by our worker."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from typing import Any

import pytest

from auth_worker import Job
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually

LATE = 1500
"""How late (ms) a job may start on a busy machine; what matters is that it never starts early."""


class Failing:
    """A consumer that always fails, and knows when it was called (ms)."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    async def __call__(self, job: Job) -> None:
        self.calls.append(time.monotonic() * 1000)
        raise OSError(f"attempt {job.attempt} of {job.max_attempts}")

    @property
    def waits(self) -> list[float]:
        return [after - before for before, after in pairwise(self.calls)]


class Recording:
    """A consumer that notes which jobs it is given, by name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, job: Job) -> None:
        self.names.append(job.name)


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_a_job_has_as_many_attempts_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker, attempts: int
) -> None:
    consumer = Failing()
    job_id = await node.add(queue, "job", {}, attempts=attempts)
    await start_worker(queue, consumer, attempts=3)
    job = await node.finished(queue, job_id)
    assert job["failedReason"] == f"attempt {attempts} of {attempts}"
    assert len(consumer.calls) == job["attemptsMade"] == attempts


async def test_a_job_without_attempts_has_those_of_the_worker(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Failing()
    job_id = await node.add(queue, "job", {})
    await start_worker(queue, consumer, attempts=4, backoff={"type": "fixed", "delay": 1})
    assert (await node.finished(queue, job_id))["attemptsMade"] == len(consumer.calls) == 4


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (150, [(150, 150), (150, 150)]),
        ({"type": "fixed", "delay": 150}, [(150, 150), (150, 150)]),
        ({"type": "exponential", "delay": 100}, [(100, 100), (200, 200), (400, 400)]),
        ({"type": "fixed", "delay": 200, "jitter": 0.5}, [(100, 200), (100, 200)]),
        ({"type": "exponential", "delay": 200, "jitter": 0.25}, [(150, 200), (300, 400)]),
        ({"type": "fixed", "delay": 200, "jitter": 1}, [(0, 200)]),
        (0, [(0, 0), (0, 0)]),
    ],
)
async def test_a_failed_job_waits_as_long_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker, backoff: Any, waits: list[tuple[int, int]]
) -> None:
    consumer = Failing()
    job_id = await node.add(queue, "job", {}, attempts=len(waits) + 1, backoff=backoff)
    await start_worker(queue, consumer)
    await node.finished(queue, job_id)
    for waited, (least, most) in zip(consumer.waits, waits, strict=True):
        assert least - 2 <= waited < most + LATE


async def test_a_backoff_only_the_producer_knows_is_replaced_by_the_workers(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    job_id = await node.add(queue, "job", {}, attempts=3, backoff={"type": "fibonacci", "delay": 5})
    consumer = Failing()
    await start_worker(queue, consumer, backoff={"type": "fixed", "delay": 20})
    assert (await node.finished(queue, job_id))["attemptsMade"] == 3
    assert all(15 <= waited < 20 + LATE for waited in consumer.waits)


async def test_a_delayed_job_starts_when_it_is_due_and_not_with_the_next_look_at_the_queue(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    lateness: list[float] = []

    async def consumer(job: Job) -> None:
        lateness.append(time.time() * 1000 - job.timestamp - job.data["delay"])

    await start_worker(queue, consumer, concurrency=5)
    delays = [150, 333, 480, 700, 1100]
    await node.add_bulk(
        queue, [{"name": "job", "data": {"delay": ms}, "opts": {"delay": ms}} for ms in reversed(delays)]
    )
    await node.until_counts(queue, completed=len(delays))
    assert min(lateness) >= -2
    assert statistics.median(lateness) < 500


async def test_urgent_jobs_run_first_and_equals_in_their_order(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Recording()
    for name, priority in (("e", 9), ("c", 3), ("d", 3), ("f", 2_097_151), ("a", 0), ("b", 1)):
        await node.add(queue, name, {}, priority=priority)
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=6)
    assert consumer.names == ["a", "b", "c", "d", "e", "f"]


async def test_an_urgent_delayed_job_keeps_its_priority(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Recording()
    worker = await start_worker(queue, consumer)
    await worker.pause()
    await node.add(queue, "second", {}, priority=5)
    await node.add(queue, "first", {}, priority=1, delay=60_000)
    await node.queue(queue, "promoteJobs")
    await worker.resume()
    await node.until_counts(queue, completed=2)
    assert consumer.names == ["first", "second"]


async def test_the_last_lifo_job_runs_first(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    consumer = Recording()
    for name, lifo in (("third", False), ("second", True), ("first", True)):
        await node.add(queue, name, {}, lifo=lifo)
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=3)
    assert consumer.names == ["first", "second", "third"]


async def test_a_failed_lifo_job_is_retried_before_the_others(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    names: list[str] = []

    async def consumer(job: Job) -> None:
        names.append(job.name)
        if job.name == "flaky" and job.attempt == 1:
            raise OSError("once")

    await node.add(queue, "calm", {})
    await node.add(queue, "flaky", {}, lifo=True, attempts=2)
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=2)
    assert names == ["flaky", "flaky", "calm"]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
@pytest.mark.parametrize(
    ("keep", "kept"),
    [(True, 0), (False, 6), (2, 2), ({"count": 3}, 3), ({"age": 3600}, 6), ({"age": 3600, "count": 1}, 1)],
)
async def test_as_many_finished_jobs_stay_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker, outcome: str, keep: Any, kept: int
) -> None:
    async def consumer(job: Job) -> None:
        if outcome == "failed":
            raise OSError("no")

    options = {"removeOnComplete": keep, "removeOnFail": keep, "attempts": 1}
    worker = await start_worker(queue, consumer, remove_on_complete={"count": 4}, remove_on_fail={"count": 4})
    ids = await node.add_bulk(queue, [{"name": "job", "data": {}, "opts": options} for _ in range(6)])

    async def all_done() -> bool:
        return worker.get_metrics().processed == 6

    await eventually(all_done)
    assert await node.counts(queue) == ({outcome: kept} if kept else {})
    assert [job["id"] for job in await node.jobs(queue, outcome)] == ids[6 - kept :]


async def test_finished_jobs_stay_as_the_worker_says_where_node_said_nothing(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, Recording(), remove_on_complete={"count": 2})
    await node.add_bulk(queue, [{"name": "job", "data": {}} for _ in range(6)])
    await node.until_counts(queue, completed=2)


async def test_finished_jobs_are_removed_once_they_are_older_than_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await start_worker(queue, Recording())
    first = await node.add(queue, "job", {}, removeOnComplete={"age": 1, "limit": 10})
    await node.finished(queue, first)

    async def first_is_gone() -> bool:
        await node.add(queue, "job", {}, removeOnComplete={"age": 1, "limit": 10})
        return await node.state(queue, first) == "unknown"

    await eventually(first_is_gone)
    assert (await node.counts(queue))["completed"] >= 1


async def test_the_log_keeps_as_many_rows_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> list[int]:
        return [await job.log(f"row {number}") for number in range(5)]

    job_id = await node.add(queue, "job", {}, keepLogs=2)
    await start_worker(queue, consumer)
    assert (await node.finished(queue, job_id))["returnvalue"] == [1, 2, 2, 2, 2]
    assert await node.logs(queue, job_id) == ["row 3", "row 4"]


@pytest.mark.parametrize(
    ("keep", "rows"), [(2.5, [1, 2, 2]), (10**30, [1, 2, 3]), (True, [1, 2, 3]), (0, [1, 2, 3])]
)
async def test_a_number_of_rows_that_redis_takes_for_none_does_not_fail_the_job(
    node: NodeSide, queue: str, start_worker: StartWorker, keep: float, rows: list[int]
) -> None:
    async def consumer(job: Job) -> list[int]:
        return [await job.log(f"row {number}") for number in range(3)]

    job_id = await node.add(queue, "job", {}, keepLogs=keep)
    await start_worker(queue, consumer)
    assert (await node.finished(queue, job_id))["returnvalue"] == rows


@pytest.mark.parametrize(("limit", "kept"), [(0, []), (1, [3]), (2, [2, 3]), (10, [1, 2, 3])])
async def test_as_many_stack_traces_stay_as_node_said(
    node: NodeSide, queue: str, start_worker: StartWorker, limit: int, kept: list[int]
) -> None:
    job_id = await node.add(queue, "job", {}, attempts=3, stackTraceLimit=limit)
    await start_worker(queue, Failing())
    traces = (await node.finished(queue, job_id))["stacktrace"]
    assert [f"attempt {attempt} of 3" in trace for attempt, trace in zip(kept, traces, strict=True)] == [
        True for _ in kept
    ]


@pytest.mark.parametrize("job_id", ["user@example.com", "Zoë 🚀", "a/b{c}%d", "a:b:c", "-1x", "x" * 200])
async def test_a_job_keeps_the_id_node_gave_it(
    node: NodeSide, queue: str, start_worker: StartWorker, job_id: str
) -> None:
    async def consumer(job: Job) -> str:
        await job.log("seen")
        await job.update_progress(1)
        await job.extend_lease()
        return job.id

    assert await node.add(queue, "job", {}, jobId=job_id) == job_id
    await start_worker(queue, consumer)
    assert (await node.finished(queue, job_id))["returnvalue"] == job_id
    assert await node.logs(queue, job_id) == ["seen"]


async def test_the_consumer_reads_what_node_said_of_the_job(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    seen: list[Job] = []

    async def consumer(job: Job) -> None:
        seen.append(job)

    options = {"priority": 7, "timestamp": 1_700_000_000_000, "attempts": 2}
    telemetry = {"metadata": '{"traceparent":"00-1-1-01"}', "omitContext": True}
    job_id = await node.add(queue, "job", {"x": [1, None, "Zoë"]}, **options, telemetry=telemetry)
    await start_worker(queue, consumer)
    stored = await node.finished(queue, job_id)
    (job,) = seen
    assert (job.id, job.name, job.data, job.queue_name) == (job_id, "job", {"x": [1, None, "Zoë"]}, queue)
    assert (job.attempt, job.max_attempts, job.priority) == (1, 2, 7)
    assert job.timestamp == 1_700_000_000_000
    assert job.parent is None
    assert job.opts["telemetryMetadata"] == telemetry["metadata"]
    assert job.opts["omitContext"] is True
    assert stored["opts"]["telemetry"] == telemetry
