"""Queues as an operator sees them, and the doctor's findings."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker import Job, JobQueue, UnrecoverableError, WorkerService
from auth_worker.admin.models import Change, Diagnosis
from auth_worker.admin.operations import Operations
from auth_worker.brokers.redis.server import acl_rule, needed_commands
from auth_worker.core.report import Finding
from auth_worker.queue import JobOptionsDict
from support.operators import operations_on
from support.processors import DEAD, QUEUE, Harness, eventually
from support.servers import Server


async def failing(job: Job) -> None:
    raise UnrecoverableError("broken")


async def test_queues_are_found_and_described(harness: Harness, operations: Operations) -> None:
    processor = await harness.processor(failing)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(3))
    await harness.settled(3)
    found = await operations.queues.overview()
    assert found.complete
    work, dead = found.queues
    assert (work.name, work.counts["failed"], work.workers, work.failed_per_minute) == (QUEUE, 3, 1, 3)
    assert (work.dead_letters, work.oldest_waiting_ms, work.paused) == (3, None, False)
    assert (dead.name, dead.waiting, dead.workers, dead.dead_letters_of) == (DEAD, 3, 0, [QUEUE])
    await processor.close()
    await eventually(lambda: _no_workers(operations))
    assert (await operations.queues.workers("other")) == []


async def _no_workers(operations: Operations) -> bool:
    return not await operations.queues.workers(QUEUE)


async def done_at(harness: Harness, state: str, ages_s: list[float]) -> None:
    """Let the queue have jobs that finished so long ago."""
    now = time.time() * 1000
    await harness.redis.hset(f"bull:{QUEUE}:meta", "opts.maxLenEvents", 10_000)
    await harness.redis.zadd(
        f"bull:{QUEUE}:{state}", {f"{state}{n}": now - age * 1000 for n, age in enumerate(ages_s)}
    )


async def test_rates_count_the_last_minute(harness: Harness, operations: Operations) -> None:
    await done_at(harness, "completed", [1, 2, 30, 50, 70, 600])
    await done_at(harness, "failed", [5])
    (queue,) = (await operations.queues.overview()).queues
    assert (queue.done_per_minute, queue.failed_per_minute) == (4, 1)


async def test_a_rate_is_known_where_retention_keeps_jobs_only_for_a_moment(
    harness: Harness, operations: Operations
) -> None:
    await done_at(harness, "completed", [n / 100 for n in range(1000)])
    (queue,) = (await operations.queues.overview()).queues
    assert queue.done_per_minute == pytest.approx(6000, rel=0.1)


@pytest.mark.parametrize(("ago", "meant"), [(0, 90), (1, 60), (2, 0)])
async def test_a_rate_is_known_where_only_bullmqs_metrics_are_kept(
    harness: Harness, operations: Operations, ago: int, meant: int
) -> None:
    await done_at(harness, "failed", [600])
    await harness.redis.lpush(f"bull:{QUEUE}:metrics:completed:data", 7, 30)
    minute = -1
    while int(time.time() // 60) != minute:  # again if one ended meanwhile
        minute = int(time.time() // 60)
        counter = {"count": 1060, "prevCount": 1000, "prevTS": (minute - ago) * 60_000 + 5}
        await harness.redis.hset(f"bull:{QUEUE}:metrics:completed", mapping=counter)
        (queue,) = (await operations.queues.overview()).queues
    window_s = 60 + time.time() % 60
    assert queue.done_per_minute == pytest.approx(meant * 60 / window_s, abs=2)


async def test_the_metrics_that_workers_write_are_understood(harness: Harness, operations: Operations) -> None:
    async def done(job: Job) -> None:
        """Nothing."""

    await harness.processor(done, {"metrics": {"max_data_points": 10}, "remove_on_complete": {"count": 0}})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(60))

    async def counted() -> bool:
        (queue,) = (await operations.queues.overview()).queues
        return queue.counts["completed"] == 0 and queue.done_per_minute >= 25

    await eventually(counted, "the rate shows what was done")


async def test_the_oldest_waiting_job_is_found_among_priorities(harness: Harness, operations: Operations) -> None:
    now = int(time.time() * 1000)
    await harness.jobs.add("n", {}, timestamp=now - 1000)
    await harness.jobs.add("n", {}, priority=1, timestamp=now - 5000)
    await harness.jobs.add("n", {}, priority=7, timestamp=now - 60_000)
    await harness.jobs.add("n", {}, priority=7, timestamp=now - 2000)
    (queue,) = (await operations.queues.overview()).queues
    assert queue.waiting == 4
    assert queue.oldest_waiting_ms == pytest.approx(60_000, abs=5000)


async def test_other_prefixes_and_keys_are_not_queues(harness: Harness, operations: Operations) -> None:
    await harness.redis.hset("other:mail:meta", "x", 1)
    await harness.redis.hset("bull:mail:repeat:a:meta", "x", 1)
    assert (await operations.queues.overview()).queues == []


async def test_workers_are_listed_by_name(harness: Harness, operations: Operations) -> None:
    await harness.processor(failing, {"name": "pod-7"})
    (worker,) = await eventually(lambda: operations.queues.workers(QUEUE))
    assert (worker.queue, worker.name) == (QUEUE, "pod-7")
    node = Redis.from_url(harness.url, client_name="bull:d29yaw==")
    other = Redis.from_url(harness.url, client_name="bull:not base64".replace(" ", "-"))
    await asyncio.gather(node.ping(), other.ping())
    assert [one.name for one in await operations.queues.workers(QUEUE)] == ["", "pod-7"]
    await asyncio.gather(node.aclose(), other.aclose())


async def test_a_paused_queue_starts_nothing_until_resumed(harness: Harness) -> None:
    changes: list[Change] = []
    async with operations_on(harness.url, record=changes.append) as operations:
        await operations.queues.pause(QUEUE)
        await harness.processor(failing)
        await harness.jobs.add("n", {})
        (queue,) = await operations.queues.describe([QUEUE])
        assert queue.paused
        await asyncio.sleep(0.2)
        assert (await harness.counts())["failed"] == 0
        await operations.queues.resume(QUEUE)
        await harness.settled(1)
    assert [change.action for change in changes] == ["pause", "resume"]


# The doctor


def finding(diagnosis: Diagnosis, name: str) -> Finding:
    """The worst finding of that name."""
    found = [one for one in diagnosis.findings if one.name == name]
    return max(found, key=lambda one: ("ok", "warn", "fail").index(one.level))


async def test_a_suitable_broker_is_healthy(harness: Harness, operations: Operations) -> None:
    await harness.processor(failing)
    await harness.jobs.add("n", {})
    await harness.settled(1)
    diagnosis = await operations.doctor.examine()
    assert diagnosis.healthy
    levels = {one.name: one.level for one in diagnosis.findings}
    assert levels.pop("persistence") == "warn", "the tests' server keeps nothing"
    assert set(levels.values()) == {"ok"}, diagnosis.findings
    assert not await harness.redis.exists("bull:auth-worker-doctor")


async def test_a_setting_that_loses_jobs_is_found_with_its_remedy() -> None:
    with Server(config={"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"}) as server:
        async with operations_on(server.url) as operations:
            diagnosis = await operations.doctor.examine()
    assert not diagnosis.healthy
    eviction = finding(diagnosis, "eviction")
    assert eviction.level == "fail"
    assert "CONFIG SET maxmemory-policy noeviction" in eviction.remedy
    assert finding(diagnosis, "persistence").level == "warn"


async def test_queues_without_a_worker_are_found(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {})
    diagnosis = await operations.doctor.examine()
    assert finding(diagnosis, "workers").detail == f"no worker for {QUEUE} (1 waiting)"
    await operations.queues.pause(QUEUE)
    diagnosis = await operations.doctor.examine()
    assert finding(diagnosis, "paused").remedy == f"auth-worker resume {QUEUE}"


async def test_active_jobs_without_a_lock_are_found(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(2))
    await harness.redis.rename(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:active")
    fresh, old = await harness.redis.lrange(f"bull:{QUEUE}:active", 0, -1)
    await harness.redis.hset(f"bull:{QUEUE}:{fresh.decode()}", "processedOn", int(time.time() * 1000))
    locks = finding(await operations.doctor.examine(), "locks")
    assert locks.level == "fail"
    assert f"{QUEUE}:{old.decode()}" in locks.detail
    await harness.redis.lrem(f"bull:{QUEUE}:active", 1, old)
    assert finding(await operations.doctor.examine(), "locks").level == "warn"


async def test_failed_jobs_without_a_letter_are_found(harness: Harness, operations: Operations) -> None:
    processor = await harness.processor(failing)
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(2))
    await harness.settled(2)
    await processor.close()
    (job_id,) = await harness.redis.zrange(f"bull:{QUEUE}:failed", 0, 0)
    long_ago = int(time.time() * 1000) - 300_000
    await harness.redis.hset(f"bull:{QUEUE}:{job_id.decode()}", "finishedOn", long_ago)
    await harness.redis.hdel(f"bull:{QUEUE}:{job_id.decode()}", "dlq")
    letters = finding(await operations.doctor.examine(), "dead letters")
    assert letters.level == "fail"
    assert f"{QUEUE} (1)" in letters.detail


async def test_schedulers_that_cannot_be_read_or_have_stopped_are_found(
    harness: Harness, operations: Operations
) -> None:
    await harness.jobs.upsert_job_scheduler("hourly", name="n", every=3_600_000, limit=9)
    await harness.jobs.upsert_job_scheduler("nightly", name="n", pattern="0 3 * * *", tz="europe/berlin")
    schedulers = finding(await operations.doctor.examine(), "schedulers")
    assert (schedulers.level, schedulers.detail) == ("ok", "2 found, each with its next iteration")
    await harness.redis.hset(f"bull:{QUEUE}:repeat:nightly", "tz", "Mars/Base")
    await harness.redis.zadd(f"bull:{QUEUE}:repeat", {"hourly": int(time.time() * 1000) - 300_000})
    found = [each for each in (await operations.doctor.examine()).findings if each.name == "schedulers"]
    assert [each.level for each in found] == ["fail", "fail"]
    assert f"{QUEUE}: 'nightly': tz: time zone 'Mars/Base' is not known" in found[0].detail
    assert "upsert" in found[0].remedy
    assert f"have no next iteration: {QUEUE}: 'hourly'" in found[1].detail


async def test_the_printed_permissions_are_enough() -> None:
    """A worker, a producer and an operator do their work as a user who may do no more, and nothing is refused."""
    with Server() as server:
        rule = acl_rule("bull").replace(">PASSWORD", ">secret")
        admin: Any = Redis.from_url(server.url)
        await admin.execute_command(*rule.split())
        url = f"redis://auth-worker:secret@127.0.0.1:{server.port}/0"
        service = WorkerService(url)
        service.register_processor(queue_name=QUEUE, processor=failing, dead_letter_queue_name=DEAD)
        async with service, JobQueue(QUEUE, url) as jobs, operations_on(url) as operations:
            some: list[JobOptionsDict] = [{}, {"priority": 2}, {"delay": 30}]
            ids = [await jobs.add("n", {}, **options) for options in some]
            await eventually(lambda: _failed(admin, len(ids)))
            await jobs.upsert_job_scheduler("tick", name="n", every=3_600_000)
            await operations.queues.overview()
            await operations.queues.workers()
            await operations.queues.pause(QUEUE)
            await operations.jobs.retry(QUEUE, ids[0])
            await operations.jobs.show(QUEUE, ids[1])
            (letter,) = (await operations.dead.page(DEAD, limit=1)).letters
            await operations.dead.redrive(DEAD, letter.id)
            async for _ in operations.jobs.drain(QUEUE, delayed=True):
                pass
            async for _ in operations.jobs.clean(QUEUE, "failed", 0):
                pass
            diagnosis = await operations.doctor.examine()
        assert finding(diagnosis, "permissions").level == "ok", diagnosis.findings
        assert await admin.execute_command("ACL", "LOG") == []
        await admin.aclose()


async def _failed(client: Any, count: int) -> bool:
    return int(await client.zcard(f"bull:{QUEUE}:failed")) == count


@pytest.mark.parametrize("command", ["hstrlen", "evalsha", "zadd", "xadd", "client|list"])
async def test_a_missing_permission_is_named(command: str) -> None:
    with Server() as server:
        admin: Any = Redis.from_url(server.url)
        await admin.execute_command(*acl_rule("bull").replace(">PASSWORD", "nopass").split())
        async with operations_on(f"redis://auth-worker:x@127.0.0.1:{server.port}/0") as operations:
            await admin.execute_command("ACL", "SETUSER", "auth-worker", f"-{command}")
            diagnosis = await operations.doctor.examine()
        await admin.aclose()
    permissions = finding(diagnosis, "permissions")
    assert command in permissions.detail
    assert permissions.level in ("fail", "warn")
    assert "doctor --acl" in permissions.remedy


def test_the_list_of_commands_has_nothing_dangerous() -> None:
    dangerous = {"keys", "flushall", "flushdb", "config|set", "debug", "shutdown", "monitor", "eval_ro", "migrate"}
    assert not dangerous & set(needed_commands())
