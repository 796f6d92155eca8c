"""Handles, job schedulers and flows of typed tasks: checked as a call of ``enqueue`` is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from auth_worker import Job
from auth_worker.errors import InvalidJobDataError, JobCancelledError
from auth_worker.flow import FlowProducer
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker

queue = TaskQueue("handled", "redis://127.0.0.1:1", worker_config={"attempts": 1}, timeout=2.0)
flows = FlowProducer("redis://127.0.0.1:1")


@dataclass
class Sum:
    total: int


@queue.task(attempts=4)
async def add(left: int, right: int = 1) -> Sum:
    return Sum(left + right)


@queue.task
async def collect(job: Job, title: str) -> tuple[str, list[Sum]]:
    return title, [add.read_result(each) for each in (await job.children_values()).values()]


async def test_a_handle_cancels_looks_and_is_made_anew_of_the_id(jobs: MemoryBroker) -> None:
    first = await add.options(job_id="first", delay=60_000).enqueue(1)
    again = add.handle("first")
    assert again == add.handle("first")
    info = await again.info()
    assert info is not None
    assert (info.state, info.data, again.created) == ("delayed", {"left": 1}, False)
    assert await first.cancel("not any more")
    assert not await first.cancel()
    with pytest.raises(JobCancelledError, match="not any more"):
        await again.result(5)
    second = await add.enqueue(1, right=2)
    await jobs.drain(queue)
    assert await add.handle(second.id).result(5) == Sum(3)
    assert await add.handle("nobody").info() is None


def test_a_handle_does_so_without_an_event_loop(jobs: MemoryBroker) -> None:
    handle = add.enqueue_sync(1)
    info = handle.info_sync()
    assert info is not None
    assert info.state == "wait"
    assert handle.cancel_sync("enough")
    with pytest.raises(JobCancelledError, match="enough"):
        handle.result_sync(5)


async def test_a_scheduler_enqueues_calls_of_the_task_with_its_options(jobs: MemoryBroker) -> None:
    scheduler = add.options(priority=7).scheduler("often", every=1_000)
    for _ in range(2):
        assert await scheduler.upsert(20, right=22) is not None
    (ran,) = await jobs.drain(queue)
    assert ran.return_value == {"total": 42}
    assert {"attempts": 4, "priority": 7}.items() <= ran.opts.items()
    with pytest.raises(InvalidJobDataError, match="left"):
        await scheduler.upsert(left="many")  # type: ignore[arg-type]
    assert await scheduler.remove()
    assert not await scheduler.remove()


async def test_a_flow_of_tasks_is_checked_and_gives_typed_results(jobs: MemoryBroker) -> None:
    flow = collect.flow("sums").after(add.flow(1), add.options(job_id="two").flow(2, right=3)).after(add.flow(9))
    added = await flows.add(flow)
    await jobs.drain(queue)
    title, sums = await collect.handle(added.job).result(5)
    assert (title, sums) == ("sums", [Sum(2), Sum(5), Sum(10)])
    assert jobs.assert_enqueued(add, right=3).opts["attempts"] == 4
    with pytest.raises(InvalidJobDataError, match="left"):
        add.flow("many")  # type: ignore[arg-type]


def test_a_result_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidJobDataError, match="the result of task add is not what its annotation says"):
        add.read_result({"total": "many"})
