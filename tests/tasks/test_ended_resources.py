"""A resource that ends while its worker runs is reported when it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth_worker import WorkerService
from auth_worker.events import Problem, ResourceEnded
from auth_worker.observability.metrics import MetricsObserver
from auth_worker.tasks import TaskQueue
from auth_worker.tasks.producers import LazyProducers
from support import ending_resources
from support.processors import Harness, collect, eventually
from support.task_services import task_queue, working


class Pool:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("way", ["task group", "timeout"])
async def test_a_resource_that_ends_by_itself_is_reported_and_counted_once(harness: Harness, way: str) -> None:
    queue, other, fails = task_queue(harness), TaskQueue("other", harness.url), asyncio.Event()

    async def listen() -> None:
        await fails.wait()
        raise ConnectionResetError("the server closed the stream")

    async def pool() -> AsyncIterator[Pool]:
        if way == "task group":
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(listen())
                yield Pool("db")
                listening.cancel()
        else:
            async with asyncio.timeout(None) as limit:
                fails_soon = asyncio.create_task(fails.wait())
                fails_soon.add_done_callback(lambda _: limit.reschedule(0))
                yield Pool("db")

    for each in (queue, other):
        each.resource(pool)

        @each.task
        async def use(pool: Pool) -> None: ...

    service = WorkerService(harness.url, settings=harness.settings())
    service.include(queue)
    service.include(other)
    async with service:
        ended, problems = collect(service.runtime.bus, ResourceEnded), collect(service.runtime.bus, Problem)
        metrics = MetricsObserver()
        metrics.attach(service.runtime.bus)
        fails.set()
        await eventually(lambda: len(ended) == 2)
    name = pool.__qualname__
    reason = "ConnectionResetError: the server closed the stream" if way == "task group" else "CancelledError"
    assert [(event.queue, event.resource) for event in ended] == [(queue.name, name), (other.name, name)]
    assert all(reason in event.reason for event in ended)
    (counter,) = (family for family in metrics.collect() if family.name == "auth_worker_resources_ended")
    assert {sample.labels["queue"]: sample.value for sample in counter.samples} == {queue.name: 1, other.name: 1}
    assert problems == []


async def test_a_worker_process_whose_resource_has_ended_is_replaced(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending_resources.queue, "producers", LazyProducers("ending", harness.url, None, 10))
    async with working(harness, ending_resources.queue) as service:
        ended = collect(service.runtime.bus, ResourceEnded)
        pids = [await (await ending_resources.use.enqueue()).result(20) for _ in range(2)]
        await eventually(lambda: ended)
    assert pids[0] != pids[1]
    assert ended[0] == ("ending", "feed", "RuntimeError: the feed broke")
