"""A limit on a queue is one limit, whichever of Node and Python set it and whichever workers it holds for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Literal

import pytest

from auth_worker import Job, JobQueue
from auth_worker.admin.operations import Operations, open_operations
from auth_worker.config import Settings
from interop.conftest import StartWorker
from interop.node_side import NodeSide

SLACK = 50
"""How far (ms) a clock and Redis's may disagree on an interval."""
EVERY = 400
Side = Literal["node", "ours"]
Span = tuple[float, float]


@pytest.fixture
async def ours(queue: str, redis_url: str) -> AsyncIterator[JobQueue]:
    async with JobQueue(queue, redis_url) as jobs:
        yield jobs


@pytest.fixture
async def operations(redis_url: str) -> AsyncIterator[Operations]:
    async with open_operations(Settings(redis_url=redis_url)) as opened:
        yield opened


async def limit_concurrency(by: Side, node: NodeSide, ours: JobQueue, most: int) -> None:
    if by == "node":
        await node.queue(ours.name, "setGlobalConcurrency", most)
    else:
        await ours.set_global_concurrency(most)


async def limit_rate(by: Side, node: NodeSide, ours: JobQueue, most: int) -> None:
    if by == "node":
        await node.queue(ours.name, "setGlobalRateLimit", most, EVERY)
    else:
        await ours.set_global_rate_limit(most, timedelta(milliseconds=EVERY))


async def remove_limits(by: Side, node: NodeSide, ours: JobQueue) -> None:
    if by == "node":
        await node.queue(ours.name, "removeGlobalConcurrency")
        await node.queue(ours.name, "removeGlobalRateLimit")
    else:
        await ours.remove_global_concurrency()
        await ours.remove_global_rate_limit()


def most_at_once(spans: Sequence[Span]) -> int:
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


async def spans_of_node(node: NodeSide, queue: str) -> list[Span]:
    """When Node's runs were certainly under way (ms): its clock leaves out fractions. There may be none."""
    return [(run["startedAt"] + 1, run["endedAt"]) for run in await node.call("runs", queue)]


class Spans(list[Span]):
    """A consumer that takes 30 ms and notes when it ran (ms)."""

    async def __call__(self, job: Job) -> None:
        start = time.time() * 1000
        await asyncio.sleep(0.03)
        self.append((start, time.time() * 1000))


BOTH = pytest.mark.parametrize("by", ["node", "ours"])


@BOTH
async def test_each_side_reads_the_limits_of_the_other_and_that_they_are_gone(
    node: NodeSide, ours: JobQueue, operations: Operations, by: Side
) -> None:
    async def seen() -> list[Any]:
        shown = await operations.queues.describe_one(ours.name)
        limit = shown.rate_limit and (shown.rate_limit.max, shown.rate_limit.duration)
        rate = await node.queue(ours.name, "getGlobalRateLimit")
        of_node = rate and (rate["max"], rate["duration"])
        return [shown.concurrency, await node.queue(ours.name, "getGlobalConcurrency"), limit, of_node]

    await ours.add("job", {})
    await limit_concurrency(by, node, ours, 3)
    await limit_rate(by, node, ours, 7)
    assert await seen() == [3, 3, (7, EVERY), (7, EVERY)]
    await remove_limits("ours" if by == "node" else "node", node, ours)
    assert await seen() == [None] * 4


@BOTH
async def test_a_job_that_runs_here_counts_for_the_concurrency_of_node_s_worker(
    node: NodeSide, ours: JobQueue, start_worker: StartWorker, by: Side
) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def hold(job: Job) -> None:
        started.set()
        await release.wait()

    await limit_concurrency(by, node, ours, 2)
    await start_worker(ours.name, hold, concurrency=1)
    await ours.add("job", {})
    await asyncio.wait_for(started.wait(), 10)
    await node.start_worker(ours.name, {"takes": 30}, concurrency=5)
    await ours.add_bulk({"name": "job"} for _ in range(6))
    await node.until_counts(ours.name, completed=6, active=1)
    assert most_at_once(await spans_of_node(node, ours.name)) == 1
    release.set()
    await node.until_counts(ours.name, completed=7)


@BOTH
async def test_a_job_that_node_s_worker_runs_counts_for_the_concurrency_here(
    node: NodeSide, ours: JobQueue, start_worker: StartWorker, by: Side
) -> None:
    spans = Spans()
    await limit_concurrency(by, node, ours, 2)
    await node.start_worker(ours.name, {"hangs": True}, concurrency=1)
    await ours.add("job", {})
    await node.runs(ours.name, 1)
    await start_worker(ours.name, spans, concurrency=5)
    await ours.add_bulk({"name": "job"} for _ in range(6))
    await node.until_counts(ours.name, completed=6, active=1)
    assert most_at_once(spans) == 1


@BOTH
async def test_a_concurrency_holds_over_the_workers_of_both(
    node: NodeSide, ours: JobQueue, start_worker: StartWorker, by: Side
) -> None:
    spans = Spans()
    await limit_concurrency(by, node, ours, 2)
    await node.start_worker(ours.name, {"takes": 30}, concurrency=5)
    await start_worker(ours.name, spans, concurrency=5)
    await ours.add_bulk({"name": "job"} for _ in range(20))
    await node.until_counts(ours.name, completed=20)
    assert most_at_once([*spans, *await spans_of_node(node, ours.name)]) == 2


@BOTH
async def test_a_rate_limit_holds_over_the_workers_of_both(
    node: NodeSide, ours: JobQueue, start_worker: StartWorker, by: Side
) -> None:
    spans = Spans()
    await limit_rate(by, node, ours, 2)
    await node.start_worker(ours.name, {"takes": 30}, concurrency=1)
    await start_worker(ours.name, spans, concurrency=1)
    await ours.add_bulk({"name": "job"} for _ in range(6))
    await node.until_counts(ours.name, completed=6)
    starts = sorted(start for start, _ in [*spans, *await spans_of_node(node, ours.name)])
    assert min(later - start for start, later in zip(starts, starts[2:], strict=False)) >= EVERY - SLACK


async def test_a_rate_limit_of_ours_holds_for_node_s_worker_alone(node: NodeSide, ours: JobQueue) -> None:
    await limit_rate("ours", node, ours, 2)
    await node.start_worker(ours.name, {"takes": 1}, concurrency=5)
    await ours.add_bulk({"name": "job"} for _ in range(6))
    await node.until_counts(ours.name, completed=6)
    starts = sorted(start for start, _ in await spans_of_node(node, ours.name))
    assert min(later - start for start, later in zip(starts, starts[2:], strict=False)) >= EVERY - SLACK
    assert starts[-1] - starts[0] < 2 * EVERY + 2000
