"""Job schedulers that Node sets up go on from iteration to iteration while our worker works the queue."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from auth_worker import Job
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually


class Iterations:
    """A consumer that notes the jobs it is given, and when (ms)."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.times: list[float] = []

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.times.append(time.time() * 1000)

    async def reach(self, count: int) -> None:
        async def reached() -> bool:
            return len(self.jobs) >= count

        await eventually(reached)


def on_the_beat(before: int, after: int, every: int) -> bool:
    """Whether two iterations are whole beats apart: BullMQ leaves out those that nobody was there to run."""
    return after > before and (after - before) % every == 0


async def scheduler(node: NodeSide, queue: str) -> dict[str, Any]:
    return dict(await node.queue(queue, "getJobScheduler", "nightly"))


async def test_a_scheduler_that_fires_every_so_often_keeps_its_beat(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    template = {"name": "report", "data": {"kind": "daily"}, "opts": {"priority": 3, "removeOnComplete": False}}
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 200}, template)
    await consumer.reach(5)
    due = [int(job.id.rpartition(":")[2]) for job in consumer.jobs]
    assert all(on_the_beat(before, after, 200) for before, after in pairwise(due))
    for job, late in zip(
        consumer.jobs, (ran - at for ran, at in zip(consumer.times, due, strict=True)), strict=True
    ):
        assert (job.name, job.data, job.priority) == ("report", {"kind": "daily"}, 3)
        assert job.id.startswith("repeat:nightly:")
        assert 0 <= late < 5000
    assert (await scheduler(node, queue))["iterationCount"] >= 5


async def test_a_cron_scheduler_goes_on(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    repeat = {"pattern": "* * * * * *", "tz": "Europe/Berlin"}
    await node.queue(queue, "upsertJobScheduler", "nightly", repeat, {"name": "tick"})
    await consumer.reach(3)
    due = [int(job.id.rpartition(":")[2]) for job in consumer.jobs[:3]]
    assert due[0] % 1000 == 0
    assert all(on_the_beat(before, after, 1000) for before, after in pairwise(due))
    found = await scheduler(node, queue)
    assert (found["pattern"], found["tz"], found["name"]) == ("* * * * * *", "Europe/Berlin", "tick")


@pytest.mark.parametrize("tz", ["utc", "europe/berlin", "UTC+3", "utc-05:30", "local", "PST", 60])
async def test_a_scheduler_in_any_zone_that_node_takes_goes_on(
    node: NodeSide, queue: str, start_worker: StartWorker, tz: str | int
) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    await node.queue(
        queue, "upsertJobScheduler", "nightly", {"pattern": "* * * * * *", "tz": tz}, {"name": "tick"}
    )
    await consumer.reach(2)


async def test_numbers_that_node_was_given_as_texts_count(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": "50", "limit": "3"}, {"name": "tick"})
    await node.until_counts(queue, completed=3)


async def test_a_scheduler_with_a_limit_ends_there(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 50, "limit": 3}, {"name": "tick"})
    await node.until_counts(queue, completed=3)
    assert len(consumer.jobs) == 3


async def test_a_scheduler_goes_on_when_an_iteration_fails_for_good(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    calls: list[str] = []

    async def consumer(job: Job) -> None:
        calls.append(job.id)
        raise OSError("no")

    await start_worker(queue, consumer)
    template = {"name": "tick", "opts": {"attempts": 1}}
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 100, "limit": 3}, template)
    await node.until_counts(queue, failed=3)
    assert len(set(calls)) == 3


async def test_a_retried_iteration_makes_one_next_iteration(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> None:
        if job.attempt < 3:
            raise OSError("not yet")

    await start_worker(queue, consumer)
    template = {"name": "tick", "opts": {"attempts": 3}}
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 100, "limit": 4}, template)
    await node.until_counts(queue, completed=4)


async def test_the_next_iteration_waits_while_one_runs(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    seen: list[dict[str, int]] = []

    async def consumer(job: Job) -> None:
        seen.append(await node.counts(queue))

    await start_worker(queue, consumer)
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 60_000}, {"name": "tick"})
    await node.until_counts(queue, completed=1, delayed=1)
    assert seen == [{"active": 1, "delayed": 1}]


@pytest.mark.parametrize("scheduler_id", ["nightly", "Zoë 🚀", "a:b:c", "a:b::d:e f"])
async def test_a_scheduler_keeps_its_id(
    node: NodeSide, queue: str, start_worker: StartWorker, scheduler_id: str
) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    await node.queue(queue, "upsertJobScheduler", scheduler_id, {"every": 100}, {"name": "tick"})
    await consumer.reach(3)
    assert {job.id.rpartition(":")[0] for job in consumer.jobs} == {f"repeat:{scheduler_id}"}


async def test_a_removed_scheduler_makes_no_more_iterations(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Iterations()
    await start_worker(queue, consumer)
    await node.queue(queue, "upsertJobScheduler", "nightly", {"every": 100}, {"name": "tick"})
    await consumer.reach(2)
    await node.queue(queue, "removeJobScheduler", "nightly")

    async def only_finished() -> bool:
        return set(await node.counts(queue)) == {"completed"}

    await eventually(only_finished)


async def test_a_node_worker_goes_on_with_a_scheduler_that_we_worked_on(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    consumer = Iterations()
    worker = await start_worker(queue, consumer)
    await node.queue(
        queue, "upsertJobScheduler", "nightly", {"every": 100}, {"name": "tick", "data": {"x": "Zoë"}}
    )
    await consumer.reach(2)
    await worker.close()
    await node.start_worker(queue)
    runs = await node.runs(queue, 2)
    before, after = (int(run["id"].rpartition(":")[2]) for run in runs[:2])
    assert on_the_beat(before, after, 100)
    assert all((run["name"], run["data"]) == ("tick", {"x": "Zoë"}) for run in runs)
