"""Limits on a queue, set by Node or by our own worker, hold for our worker and cost it no time beyond them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from auth_worker import Job, RateLimited
from auth_worker.engine.fetcher import Fetcher
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually

SLACK = 50
"""How far (ms) our clock and Redis's may disagree on an interval."""


class Starts:
    """A consumer that notes when its jobs started (ms), and how many ran at a time."""

    def __init__(self, duration: float = 0) -> None:
        self.times: list[float] = []
        self.most = 0
        self._running = 0
        self._duration = duration

    async def __call__(self, job: Job) -> None:
        self.times.append(time.time() * 1000)
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(self._duration)
        self._running -= 1

    def gaps(self, over: int) -> list[float]:
        """The time between each job and the one ``over`` places later."""
        times = sorted(self.times)
        return [after - before for before, after in zip(times, times[over:], strict=False)]


async def add_jobs(node: NodeSide, queue: str, count: int, **opts: Any) -> list[str]:
    return await node.add_bulk(queue, [{"name": "job", "data": {}, "opts": opts} for _ in range(count)])


async def test_our_workers_limiter_holds_over_all_workers(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts()
    await add_jobs(node, queue, 8)
    for _ in range(2):
        await start_worker(queue, consumer, concurrency=5, limiter={"max": 2, "duration": 400})
    await node.until_counts(queue, completed=8)
    assert min(consumer.gaps(over=2)) >= 400 - SLACK
    assert consumer.times[-1] - consumer.times[0] < 4 * 400 + 2000


async def test_a_global_rate_limit_of_node_holds(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    consumer = Starts()
    await node.queue(queue, "setGlobalRateLimit", 2, 400)
    await add_jobs(node, queue, 6)
    await start_worker(queue, consumer, concurrency=5)
    await node.until_counts(queue, completed=6)
    assert min(consumer.gaps(over=2)) >= 400 - SLACK
    assert consumer.times[-1] - consumer.times[0] < 2 * 400 + 2000


async def test_a_queue_that_node_rate_limits_pauses_and_goes_on(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts()
    await node.queue(queue, "rateLimit", 500)
    limited = time.time() * 1000
    await add_jobs(node, queue, 1)
    await start_worker(queue, consumer, limiter={"max": 100, "duration": 100})  # as BullMQ asks of such workers
    await node.until_counts(queue, completed=1)
    assert 500 - SLACK <= consumer.times[0] - limited < 3000


async def test_a_rate_limit_that_node_lifts_is_noticed(
    node: NodeSide, queue: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asyncio.Event()
    pause = Fetcher.pause

    def noticed(fetcher: Fetcher, seconds: float, *, ignore_doorbell: bool = True) -> None:
        found.set()
        pause(fetcher, seconds, ignore_doorbell=ignore_doorbell)

    monkeypatch.setattr(Fetcher, "pause", noticed)
    monkeypatch.setattr("auth_worker.engine.fetcher.LONGEST_PAUSE", 0.2)
    await node.queue(queue, "rateLimit", 600_000)
    job_id = await node.add(queue, "job", {})
    worker = await start_worker(queue, Starts(), limiter={"max": 100, "duration": 100})
    await asyncio.wait_for(found.wait(), 10)
    assert worker.get_metrics().processed == 0
    await node.queue(queue, "removeRateLimitKey")
    await node.finished(queue, job_id)


async def test_a_consumer_that_is_rate_limited_pauses_its_queue_and_loses_no_attempt(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    times: list[float] = []

    async def consumer(job: Job) -> None:
        times.append(time.time() * 1000)
        if len(times) == 1:
            raise RateLimited(0.5)

    worker = await start_worker(queue, consumer)
    first, second = await add_jobs(node, queue, 2, attempts=1)

    async def resting() -> bool:
        return bool(await node.queue(queue, "getRateLimitTtl") > 0)

    await eventually(resting)
    assert await node.counts(queue) == {"waiting": 2}
    await node.until_counts(queue, completed=2)
    assert times[1] - times[0] >= 500 - SLACK
    assert [(await node.get_job(queue, job_id))["attemptsMade"] for job_id in (first, second)] == [1, 1]
    assert worker.get_metrics().delayed == 1


async def test_a_global_concurrency_of_node_holds_over_all_workers_without_pauses(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts(0.03)
    await node.queue(queue, "setGlobalConcurrency", 2)
    await add_jobs(node, queue, 20)
    for _ in range(2):
        await start_worker(queue, consumer, concurrency=5)
    await node.until_counts(queue, completed=20)
    assert consumer.most == 2
    assert consumer.times[-1] - consumer.times[0] < 10 * 30 + 2000


async def test_jobs_run_as_many_at_a_time_as_the_worker_says(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts(0.05)
    await add_jobs(node, queue, 20)
    await start_worker(queue, consumer, concurrency=4)
    await node.until_counts(queue, completed=20)
    assert consumer.most == 4


async def test_a_queue_that_node_pauses_runs_nothing_until_it_resumes(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    first_runs, go_on = asyncio.Event(), asyncio.Event()
    names: list[str] = []

    async def consumer(job: Job) -> None:
        names.append(job.name)
        first_runs.set()
        await go_on.wait()

    await start_worker(queue, consumer)
    first = await node.add(queue, "first", {})
    await node.add(queue, "second", {})
    await asyncio.wait_for(first_runs.wait(), 10)
    await node.queue(queue, "pause")
    go_on.set()
    assert (await node.finished(queue, first))["attemptsMade"] == 1
    await node.add(queue, "third", {})
    await node.add(queue, "urgent", {}, priority=1)
    assert await node.queue(queue, "isPaused") is True
    assert (await node.queue(queue, "getJobCounts"))["completed"] == 1
    assert names == ["first"]
    await node.queue(queue, "resume")
    await node.until_counts(queue, completed=4)
    assert names == ["first", "second", "third", "urgent"]


async def test_a_delayed_job_that_node_promotes_runs_at_once(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts()
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, delay=600_000)
    await node.job(queue, job_id, "promote")
    await node.finished(queue, job_id)


async def test_a_delayed_job_that_node_brings_forward_runs_then(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Starts()
    await start_worker(queue, consumer)
    job_id = await node.add(queue, "job", {}, delay=600_000)
    await node.job(queue, job_id, "changeDelay", 100)
    await node.finished(queue, job_id)


async def test_a_job_that_node_removes_is_not_run(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    consumer = Starts()
    first, second = await add_jobs(node, queue, 2)
    await node.job(queue, first, "remove")
    await start_worker(queue, consumer)
    await node.finished(queue, second)
    assert len(consumer.times) == 1


async def test_the_data_and_priority_that_node_changes_are_those_that_run(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    seen: list[Any] = []

    async def consumer(job: Job) -> None:
        seen.append(job.data)

    await node.add(queue, "job", "first", priority=3)
    job_id = await node.add(queue, "job", "old", priority=9)
    await node.job(queue, job_id, "updateData", "new")
    await node.job(queue, job_id, "changePriority", {"priority": 1})
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=2)
    assert seen == ["new", "first"]


async def test_our_worker_and_a_node_worker_share_a_queue_and_each_job_runs_once(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    ours: list[str] = []

    async def consumer(job: Job) -> None:
        ours.append(job.id)
        await asyncio.sleep(0.005)

    await node.start_worker(queue, concurrency=5)
    await start_worker(queue, consumer, concurrency=5)
    ids = await add_jobs(node, queue, 500)
    await node.until_counts(queue, completed=500)
    theirs = [run["id"] for run in await node.runs(queue)]
    assert sorted(ours + theirs) == sorted(ids)
    assert ours
    assert theirs
