"""What the store writes besides a script's own work, and reads back when the reply to a write was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth_worker import Job
from auth_worker.broker.address import Address
from auth_worker.broker.link import Link
from auth_worker.broker.replies import Fetched, Nothing, Settled
from auth_worker.broker.store import Store, worker_scripts
from auth_worker.config import WorkerConfig
from auth_worker.errors import BrokerError
from auth_worker.options import JobOptions
from auth_worker.outcome import Complete, Fail, Outcome
from auth_worker.payload import RawJob
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


@pytest.mark.parametrize("outcome", [Complete(b"null"), Fail("no", "exhausted", "trace")])
async def test_a_job_that_is_removed_at_its_end_has_ended_only_once_it_is_gone(
    desk: Desk, store: Store, outcome: Outcome
) -> None:
    job_id = await desk.jobs.add("job", {})
    job = Job(id=job_id, name="job", data={}, opts={}, queue_name=QUEUE)
    run = Run(job, REMOVED, {}, "token", 0.0)
    assert not await store.was_settled(run, outcome, 1)
    await desk.redis.delete(f"bull:{QUEUE}:{job_id}")
    assert await store.was_settled(run, outcome, 1)


@pytest.mark.parametrize("ours", [True, False])
async def test_a_job_is_mended_for_its_failure_only_under_its_lock(desk: Desk, store: Store, ours: bool) -> None:
    job_id = await desk.jobs.add("job", {})
    key = f"bull:{QUEUE}:{job_id}"
    await desk.redis.hset(key, "parent", "not JSON")
    raw = await fetch(store, "token")
    if not ours:
        await desk.redis.set(f"{key}:lock", "another")
    job = Job(id=job_id, name="job", data={}, opts={}, queue_name=QUEUE)
    run = Run(job, JobOptions({}, CONFIG), raw, "token", 0.0)
    settled = await settle(store, run, Fail("no", "invalid_payload", "trace"))
    assert (settled.code >= 0) is ours
    assert ("parent" in await desk.job(job_id)) is not ours
    assert ("finishedOn" in await desk.job(job_id)) is ours


async def fetch(store: Store, token: str) -> RawJob:
    """The hash of the next job, locked with ``token``."""
    answer: asyncio.Future[Fetched | Nothing | BrokerError] = asyncio.get_running_loop().create_future()
    store.fetch(token, answer.set_result)
    fetched = await answer
    assert isinstance(fetched, Fetched)
    return fetched.raw


async def settle(store: Store, run: Run, outcome: Outcome) -> Settled:
    """What Redis answered to ``outcome``."""
    answer: asyncio.Future[Settled | BrokerError] = asyncio.get_running_loop().create_future()
    store.settle(run, outcome, 1, None, False, answer.set_result)
    settled = await answer
    assert isinstance(settled, Settled)
    return settled
