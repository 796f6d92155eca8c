"""A test that passes in memory passes on Redis: one programme of jobs leaves the same behind on both."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

from auth_worker import Delay, Job, UnrecoverableError
from auth_worker.core.job_info import JobInfo
from auth_worker.errors import AuthWorkerError
from auth_worker.flow import Flow
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker, RealBroker
from support.tested_tasks import flows

NOWHERE = "redis://127.0.0.1:1"
NOT_COMPARED = {"timestamp", "processed_on", "finished_on", "parent", "worker", "attempts_started", "stacktrace"}
Facts = list[Any]


def shop() -> tuple[TaskQueue, list[str]]:
    """Tasks that end in every way there is, and the order in which they ran."""
    order: list[str] = []
    config = {"attempts": 2, "concurrency": 1, "backoff": {"type": "fixed", "delay": 10}}
    queue = TaskQueue("shop", NOWHERE, worker_config=config, dead_letter_queue_name="shopDead", timeout=5.0)

    @queue.task
    async def end(job: Job, how: str, label: str = "") -> Any:
        order.append(label or how)
        await job.update_progress({"attempt": job.attempt})
        if how == "flaky" and job.attempt == 1:
            raise OSError("once")
        if how == "delay" and order.count("delay") == 1:
            raise Delay(0.01)
        if how == "broken":
            raise OSError("always")
        if how == "refused":
            raise UnrecoverableError("never")
        return {"values": sorted((await job.children_values()).values(), key=str)} if how == "collect" else how

    return queue, order


async def programme(
    queue: TaskQueue, working: Callable[[], contextlib.AbstractAsyncContextManager[None]]
) -> Facts:
    """Add jobs of every kind, have them worked, and return what is left."""
    jobs = queue.jobs
    facts: Facts = []
    for label, options in (
        ("late", {"priority": 5}),
        ("soon", {"priority": 1}),
        ("plain", {}),
        ("first", {"lifo": True}),
    ):
        await jobs.add("end", {"how": "ok", "label": label}, job_id=label, **options)
    for how in ("flaky", "delay", "broken", "refused"):
        await jobs.add("end", {"how": how}, job_id=f"job-{how}")
    facts.append((await jobs.add("end", {"how": "ok"}, job_id="late")).created)
    await jobs.add("end", {"wrong": 1}, job_id="invalid")
    await jobs.add("nobody", {}, job_id="unknown")
    await jobs.add("end", {"how": "ok"}, job_id="unwanted", delay=60_000)
    facts += [
        await jobs.cancel("unwanted", "not any more"),
        await jobs.cancel("unwanted"),
        await jobs.cancel("none"),
    ]
    child: Any = {"queue": "shop", "ignore_dependency_on_failure": True}
    tree = Flow(
        "end",
        {"how": "collect"},
        queue="shop",
        job_id="tree",
        children=[
            Flow("end", {"how": "ok", "label": "leaf"}, job_id="leaf", **child),
            Flow("end", {"how": "refused", "label": "bad leaf"}, job_id="badleaf", **child),
        ],
    )
    facts.append(await flows.add(tree))
    deduplicated: Any = {"deduplication": {"id": "d"}}
    facts += [
        (await jobs.add("end", {"how": "ok", "label": "d"}, job_id=each, **deduplicated)).created for each in "de"
    ]
    facts.append(await jobs.deduplication_job_id("d"))
    ids = ["late", "soon", "plain", "first", *(f"job-{how}" for how in ("flaky", "delay", "broken", "refused"))]
    ids += ["invalid", "unknown", "unwanted", "tree", "leaf", "badleaf", "d"]
    async with working():
        for job_id in ids:
            try:
                facts.append((job_id, await jobs.result(job_id, 30)))
            except AuthWorkerError as error:
                facts.append((job_id, type(error).__name__, str(error)))
    for job_id in ids:
        facts.append(shown(await jobs.get(job_id)))
    read = await flows.get("shop", "tree")
    assert read is not None
    facts.append((read.children_count, sorted(each.job.id for each in read.children)))
    return facts


def shown(job: JobInfo | None) -> Any:
    """What must be the same of a job."""
    if job is None:
        return None
    fields = {name: value for name, value in asdict(job).items() if name not in NOT_COMPARED}
    fields["opts"] = {name: value for name, value in job.opts.items() if (name, value) != ("attempts", 0)}
    fields["opts"].pop("parent", None)  # its queue's name begins with the prefix
    return fields


async def test_a_programme_of_jobs_leaves_the_same_behind(real_broker: RealBroker) -> None:
    queue, order = shop()

    with MemoryBroker() as memory:

        @contextlib.asynccontextmanager
        async def drained() -> AsyncIterator[None]:
            await memory.drain(queue, with_delayed=True, raise_errors=False)
            yield

        in_memory = await programme(queue, drained)
        dead = [job.data for job in memory.enqueued() if job.queue_name == "shopDead"]
    order_in_memory, order[:] = list(order), []

    @contextlib.asynccontextmanager
    async def worked() -> AsyncIterator[None]:
        async with real_broker.worker(queue):
            yield

    in_redis = await programme(queue, worked)
    assert in_memory == in_redis
    assert sorted(order_in_memory) == sorted(order)
    assert [each for each in order_in_memory if each in ("first", "plain", "soon", "late")] == [
        each for each in order if each in ("first", "plain", "soon", "late")
    ]
    assert {letter["originalJobId"]: letter["reasonClass"] for letter in dead} == {
        "job-broken": "exhausted",
        "job-refused": "unrecoverable",
        "invalid": "invalid_payload",
        "unknown": "unknown_job_type",
        "badleaf": "unrecoverable",
    }
