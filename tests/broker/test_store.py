"""What the store reads back when the reply to a write was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from auth_worker import Job
from auth_worker.broker.address import Address
from auth_worker.broker.link import Link
from auth_worker.broker.store import Store, worker_scripts
from auth_worker.config import WorkerConfig
from auth_worker.options import JobOptions
from auth_worker.outcome import Complete, Fail, Outcome
from auth_worker.run import Run
from workers import QUEUE, Desk

CONFIG = WorkerConfig()
REMOVED = JobOptions({"removeOnComplete": True, "removeOnFail": True}, CONFIG)


@pytest.fixture
async def store(desk: Desk) -> AsyncIterator[Store]:
    link = Link(Address.of(desk.url), name="store", client_name="store", scripts=worker_scripts())
    await link.start(5)
    yield Store(link, prefix="bull", queue=QUEUE, config=CONFIG, name="worker")
    await link.stop()


@pytest.mark.parametrize("outcome", [Complete("null"), Fail("no", "exhausted", "trace")])
async def test_a_job_that_is_removed_at_its_end_has_ended_only_once_it_is_gone(
    desk: Desk, store: Store, outcome: Outcome
) -> None:
    job_id = await desk.jobs.add("job", {})
    job = Job(id=job_id, name="job", data={}, opts={}, queue_name=QUEUE)
    run = Run(job, REMOVED, {}, "token", 0.0, 0.0)
    assert not await store.was_settled(run, outcome, 1)
    await desk.redis.delete(f"bull:{QUEUE}:{job_id}")
    assert await store.was_settled(run, outcome, 1)
