"""Worker processes as their heartbeats show them, and what operators request of them."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from redis.asyncio import Redis

from auth_worker import ConfigurationError, Job
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.operations import Operations
from auth_worker.admin.problems import worker_problems
from auth_worker.admin.workers import WorkerList, WorkerProcess
from auth_worker.core import heartbeat
from support.admin_api import service_at
from support.operators import operations_on
from support.processors import QUEUE, Harness, eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats every 50 ms."""
    monkeypatch.setattr("auth_worker.process.heartbeats.BEAT_S", 0.05)


async def hold(job: Job) -> None:
    await asyncio.Event().wait()


async def only(operations: Operations) -> WorkerProcess:
    """The one process."""

    found: list[WorkerProcess] = await eventually(operations.workers.processes, "a heartbeat")
    (process,) = found
    return process


async def becomes(operations: Operations, state: str) -> None:
    """Wait until the one process says that it is in this state."""

    async def is_so() -> bool:
        return (await only(operations)).state == state

    await eventually(is_so, f"a {state} process")


async def test_a_process_says_what_it_does(harness: Harness, operations: Operations) -> None:
    for number in range(heartbeat.MOST_JOBS + 2):
        await harness.jobs.add("held", {}, job_id=f"j{number}")
    await harness.processor(hold, {"name": "pod-7", "concurrency": 20}, settings={"app_version": "4f2a91c"})

    async def all_run() -> WorkerProcess | None:
        process = await only(operations)
        return process if process.queues[0].active == heartbeat.MOST_JOBS + 2 else None

    process = await eventually(all_run, "a heartbeat with all jobs")
    assert (process.pid, process.version, process.state) == (os.getpid(), "4f2a91c", "running")
    assert process.lag_ms < 5000
    assert process.memory_bytes is None or process.memory_bytes > 10_000_000
    assert not process.is_silent
    (beat,) = process.queues
    assert (beat.queue, beat.worker, beat.slots, beat.paused) == (QUEUE, "pod-7", 20, False)
    assert len(beat.jobs) == heartbeat.MOST_JOBS
    assert [job.running_ms for job in beat.jobs] == sorted((job.running_ms for job in beat.jobs), reverse=True)


async def test_workers_of_node_are_listed_beside_those_with_heartbeats(
    harness: Harness, operations: Operations
) -> None:
    await harness.processor(hold, {"name": "pod-7"})
    node = Redis.from_url(harness.url, client_name="bull:d29yaw==:w:node-1")
    await node.ping()
    await only(operations)
    found = (await operations.workers.find()).of_queue(QUEUE)
    assert [[beat.worker for beat in process.queues] for process in found.processes] == [["pod-7"]]
    assert [other.name for other in found.others] == ["node-1"]
    assert (await operations.workers.find()).of_queue("nobodys").processes == []
    await node.aclose()


async def test_two_replicas_are_two_processes_and_a_stopped_one_is_none(
    harness: Harness, operations: Operations
) -> None:
    first, second = await harness.processor(hold), await harness.processor(hold)

    async def count() -> int:
        return len(await operations.workers.processes())

    async def both() -> bool:
        return await count() == 2

    await eventually(both, "two heartbeats")
    await first.close(0)
    assert await count() == 1
    await second.close(0)
    assert await count() == 0


async def test_one_process_pauses_and_resumes_and_the_other_goes_on(harness: Harness) -> None:
    service = service_at(harness.url, http_port=None)
    async with service, operations_on(harness.url) as operations:
        process = await only(operations)
        await operations.workers.request(process.id, "pause")
        await becomes(operations, "paused")
        await harness.jobs.add("good", {})
        await harness.processor(lambda job: None)
        await harness.settled(1)
        await operations.workers.request(process.id, "resume")

        async def resumed() -> bool:
            return {each.state for each in await operations.workers.processes()} == {"running"}

        await eventually(resumed, "both run")
        await eventually(lambda: not service.get_processors()[0].is_paused, "the service takes jobs")


async def test_a_process_that_is_asked_to_shuts_down_and_is_listed_no_more(harness: Harness) -> None:
    service = service_at(harness.url, http_port=None)
    running = asyncio.create_task(service.run())
    async with operations_on(harness.url) as operations:
        process = await only(operations)
        await operations.workers.request(process.id, "shut-down")
        assert await asyncio.wait_for(running, 20) == 0
        assert await operations.workers.processes() == []
        with pytest.raises(NotFoundError, match="there is no worker process"):
            await operations.workers.request(process.id, "pause")
        with pytest.raises(ConfigurationError, match="pause, resume, shut-down"):
            await operations.workers.request(process.id, "explode")
        await operations.audit_log.flush()
        (change,) = (await operations.audit_log.page(0, 10)).changes
        assert (change.action, change.target) == ("shut-down worker", f"{process.host} {process.pid}")


async def test_a_processor_on_its_own_drains_until_its_job_has_ended(
    harness: Harness, operations: Operations
) -> None:
    go_on = asyncio.Event()

    async def wait(job: Job) -> None:
        await go_on.wait()

    await harness.jobs.add("one", {})
    processor = await harness.processor(wait)
    await eventually(lambda: processor.active == 1, "the job runs")
    await operations.workers.request((await only(operations)).id, "shut-down")
    await becomes(operations, "draining")
    go_on.set()
    await eventually(lambda: not processor.is_running, "it is closed")
    assert (await harness.counts())["completed"] == 1


async def test_a_process_that_blocks_its_loop_shows_the_lag(harness: Harness, operations: Operations) -> None:
    process = await harness.processor(hold)
    await only(operations)
    blocked = asyncio.get_running_loop().run_in_executor(None, asyncio.run, _seen_from_outside(harness.url))
    await asyncio.sleep(0)
    deadline = time.monotonic() + 10
    while not blocked.done() and time.monotonic() < deadline:
        time.sleep(0.3)  # noqa: ASYNC251 - the work loop is blocked
        await asyncio.sleep(0)
    assert await blocked > 200
    assert process.is_running


async def _seen_from_outside(url: str) -> int:
    async with operations_on(url) as operations:

        async def lag() -> int:
            found = await operations.workers.processes()
            return found[0].lag_ms if found and found[0].lag_ms > 200 else 0

        return int(await eventually(lag, "the lag"))


async def test_a_process_that_has_died_is_silent_for_a_while_and_then_forgotten(
    harness: Harness, operations: Operations
) -> None:
    seconds, _ = await harness.redis.time()
    store = operations.broker.heartbeats()
    record = heartbeat.Heartbeat(
        id="dead", host="h", pid=1, version="1", state="running", up_ms=1, lag_ms=0
    ).model_dump_json(by_alias=True)
    await harness.redis.hset("bull:auth-worker-heartbeats", "dead", record)
    await harness.redis.hset("bull:auth-worker-heartbeats", "strange", "{")
    at = {"dead": seconds * 1000 - 20_000, "strange": seconds * 1000}
    await harness.redis.zadd("bull:auth-worker-heartbeats:times", at)
    process = await only(operations)
    assert process.is_silent
    assert process.silent_ms == pytest.approx(20_000, abs=5000)
    assert len(await store.heartbeats()) == 2
    await harness.redis.zadd("bull:auth-worker-heartbeats:times", {"dead": seconds * 1000 - 40_000})
    await harness.processor(hold)

    async def forgotten() -> bool:
        return "dead" not in [each.id for each in await operations.workers.processes()]

    await eventually(forgotten, "the dead one is forgotten")
    assert 0 < await harness.redis.pttl("bull:auth-worker-heartbeats") <= heartbeat.LIFETIME_MS


def test_what_is_wrong_with_a_process_is_said_with_its_remedy() -> None:
    beat = heartbeat.QueueBeat(queue=QUEUE, worker="w", slots=5, active=0, paused=False)
    process = WorkerProcess(
        id="1", host="web", pid=7, version="1", state="running", up_ms=1, lag_ms=0, queues=[beat], silent_ms=0
    )
    assert worker_problems([process]) == []
    strained = beat.model_copy(update={"leases_lost": 2, "suspects": 1})
    wrong = [
        process.model_copy(update={"silent_ms": 20_000}),
        process.model_copy(update={"lag_ms": 3000}),
        process.model_copy(update={"queues": [strained]}),
    ]
    found = worker_problems(wrong)
    assert [problem.text.replace("worker process 7 on web", "it") for problem in found] == [
        "it has been silent for 20 s",
        "it is 3 s late: a consumer blocks its event loop",
        f"{QUEUE}: 2 leases lost by it since it started; those jobs may have run twice",
        f"{QUEUE}: 1 job recovered from dead workers wait to run alone in it",
    ]
    assert all(problem.remedy for problem in found)
    assert WorkerList(processes=[process, wrong[0]]).slots() == {QUEUE: 5}
