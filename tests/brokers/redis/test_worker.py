"""What a worker's broker writes besides a script's own work, and reads back when the reply to a write was lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator

import pytest

from auth_worker import Job
from auth_worker.brokers.redis.decode import RawJob
from auth_worker.brokers.redis.doorbell import Doorbell
from auth_worker.brokers.redis.scripts import loader
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.worker import RedisWorkerBroker, worker_scripts
from auth_worker.config import WorkerConfig
from auth_worker.core.outcome import Complete, Fail, HandBack, Outcome, Refusal
from auth_worker.core.policy import JobPolicy
from auth_worker.core.ports.worker import Nothing, Settled, Taken
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus
from support.processors import QUEUE, Harness

CONFIG = WorkerConfig()
REMOVED = JobPolicy({"removeOnComplete": True, "removeOnFail": True}, CONFIG)


def a_job(job_id: str) -> Job:
    """What a worker knows of a job."""
    return Job(id=job_id, name="job", data={}, opts={}, queue_name=QUEUE)


@pytest.fixture
def unread() -> None:
    """No script has been read in this process."""
    loader.script.cache_clear()
    loader.read_all_scripts.cache_clear()


@pytest.fixture
async def broker(harness: Harness) -> AsyncIterator[RedisWorkerBroker]:
    link = Link(Address.of(harness.url), name="broker", client_name="broker", scripts=worker_scripts())
    await link.start(5)
    yield RedisWorkerBroker(
        link,
        link,
        Doorbell(link, link),
        queue=QUEUE,
        config=CONFIG,
        settings=harness.settings(),
        name="worker",
        dead_letter_queue=None,
        bus=EventBus(),
        subscribe=lambda callback: None,
    )
    await link.stop()


@pytest.mark.parametrize("outcome", [Complete(b"null"), Fail("no", "exhausted", "trace")])
async def test_a_job_that_is_removed_at_its_end_has_ended_only_once_it_is_gone(
    harness: Harness, broker: RedisWorkerBroker, outcome: Outcome
) -> None:
    job_id = await harness.jobs.add("job", {})
    job = a_job(job_id)
    run = Run(job, REMOVED, {}, "token", 0.0)
    assert not await broker.was_settled(run, outcome, 1)
    await harness.redis.delete(f"bull:{QUEUE}:{job_id}")
    assert await broker.was_settled(run, outcome, 1)


@pytest.mark.parametrize("ours", [True, False])
async def test_a_job_is_repaired_for_its_failure_only_under_its_lock(
    harness: Harness, broker: RedisWorkerBroker, ours: bool
) -> None:
    job_id = await harness.jobs.add("job", {})
    key = f"bull:{QUEUE}:{job_id}"
    await harness.redis.hset(key, "parent", "not JSON")
    raw = await fetch(broker, "token")
    if not ours:
        await harness.redis.set(f"{key}:lock", "another")
    job = a_job(job_id)
    run = Run(job, JobPolicy({}, CONFIG), raw, "token", 0.0)
    settled = await settle(broker, run, Fail("no", "invalid_payload", "trace"))
    assert (settled.refusal is None) is ours
    assert ("parent" in await harness.job(job_id)) is not ours
    assert ("finishedOn" in await harness.job(job_id)) is ours


@pytest.mark.parametrize(
    ("holder", "begun", "started"),
    [("token", False, "0"), ("token", True, "1"), ("another", False, "1"), (None, False, "1")],
)
async def test_only_who_holds_the_lock_takes_back_an_attempt_that_has_not_begun(
    harness: Harness, broker: RedisWorkerBroker, holder: str | None, begun: bool, started: str
) -> None:
    job_id = await harness.jobs.add("job", {})
    raw = await fetch(broker, "token")
    lock = f"bull:{QUEUE}:{job_id}:lock"
    await (harness.redis.set(lock, holder) if holder else harness.redis.delete(lock))
    job = a_job(job_id)
    run = Run(job, JobPolicy({}, CONFIG), raw, "token", 0.0)
    for _ in range(2):  # the second time as after a lost reply
        settled = await settle(broker, run, HandBack(begun))
    assert settled.refusal is Refusal.NOT_OURS
    assert (await harness.job(job_id))["ats"] == started
    assert (await harness.counts())["wait"] == (holder == "token")


@pytest.mark.parametrize(
    ("marked", "begun", "stalls"), [(True, False, "0"), (True, True, "1"), (False, False, "1")]
)
async def test_a_job_that_waited_in_a_process_that_died_is_charged_no_stall(
    harness: Harness, broker: RedisWorkerBroker, marked: bool, begun: bool, stalls: str
) -> None:
    job_id = await harness.jobs.add("job", {})
    await fetch(broker, "token")
    if marked:
        broker.mark_waiting(a_job(job_id))
    if begun:
        await broker.mark_begun(a_job(job_id))
    assert await broker.upkeep.recover_stalled() == []
    await harness.redis.delete(f"bull:{QUEUE}:{job_id}:lock", f"bull:{QUEUE}:stalled-check")
    assert await broker.upkeep.recover_stalled() == [job_id]
    assert (await harness.job(job_id))["stc"] == stalls
    assert (await harness.counts())["wait"] == 1
    assert await harness.redis.scard(f"bull:{QUEUE}:auth-worker-waiting") == 0


async def test_leases_are_renewed_and_jobs_recovered_although_no_file_can_be_read(
    harness: Harness, unread: None, broker: RedisWorkerBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(name: str) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    job_id = await harness.jobs.add("job", {})
    monkeypatch.setattr(loader, "loadScript", no_descriptor)
    await fetch(broker, "token")
    run = Run(a_job(job_id), REMOVED, {}, "token", 0.0)
    assert await broker.upkeep.extend_leases([run]) == set()
    assert await broker.upkeep.recover_stalled() == []


async def test_a_mark_of_a_job_that_runs_elsewhere_stays(harness: Harness, broker: RedisWorkerBroker) -> None:
    job_id = await harness.jobs.add("job", {})
    await fetch(broker, "token")
    broker.mark_waiting(a_job(job_id))
    assert await broker.upkeep.recover_stalled() == []
    await harness.redis.delete(f"bull:{QUEUE}:stalled-check")
    assert await broker.upkeep.recover_stalled() == [], "its lock holds"
    assert "stc" not in await harness.job(job_id)
    assert await harness.redis.sismember(f"bull:{QUEUE}:auth-worker-waiting", job_id)


async def test_a_job_that_is_gone_does_not_come_back_with_the_attempt_that_is_taken_back(
    harness: Harness, broker: RedisWorkerBroker
) -> None:
    job_id = await harness.jobs.add("job", {})
    await fetch(broker, "token")
    await harness.redis.delete(f"bull:{QUEUE}:{job_id}")
    answer: asyncio.Future[Settled | BrokerError] = asyncio.get_running_loop().create_future()
    broker.hand_back(a_job(job_id), "token", answer.set_result)
    assert await answer == Settled(Refusal.NOT_OURS, None)
    assert not await harness.redis.exists(f"bull:{QUEUE}:{job_id}")


async def fetch(broker: RedisWorkerBroker, token: str) -> RawJob:
    """The hash of the next job, locked with ``token``."""
    answer: asyncio.Future[Taken | Nothing | BrokerError] = asyncio.get_running_loop().create_future()
    broker.fetch(token, answer.set_result)
    taken = await answer
    assert isinstance(taken, Taken)
    stored: RawJob = taken.stored
    return stored


async def settle(broker: RedisWorkerBroker, run: Run, outcome: Outcome) -> Settled:
    """What Redis answered to ``outcome``."""
    answer: asyncio.Future[Settled | BrokerError] = asyncio.get_running_loop().create_future()
    broker.settle(run, outcome, 1, None, False, answer.set_result)
    settled = await answer
    assert isinstance(settled, Settled)
    return settled
