"""Redis goes away, lies, or forgets: processing resumes, and what was done is counted once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth_worker import Delay, Job, RateLimited, UnrecoverableError
from auth_worker.events import JobCompleted, JobFailed, JobRetried, LeaseLost
from support.processors import QUEUE, Harness, collect, eventually
from support.proxy import Proxy
from support.servers import Server


@pytest.fixture
async def lasting(tmp_path: Path) -> AsyncIterator[tuple[Server, Harness]]:
    """A server of its own that keeps its data, and a harness on it."""
    with Server(tmp_path, appendonly=True, config={"appendfsync": "always"}) as server:
        harness = Harness(server.url)
        yield server, harness
        await harness.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[tuple[Proxy, Harness, Harness]]:
    """A proxy to the shared server, a harness that goes through it, and one that goes directly to the server."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    async with Proxy(port) as proxy:
        behind, direct = Harness(proxy.url), Harness(redis_url)
        yield proxy, behind, direct
        proxy.heal()
        await behind.close()
        await direct.close()


async def test_broker_outage_resumes(lasting: tuple[Server, Harness]) -> None:
    """A job that ends while Redis is down is written once it is back, and not run again."""
    server, harness = lasting
    runs: list[str] = []
    started, go_on = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> str:
        runs.append(job.name)
        if job.name == "long":
            started.set()
            await go_on.wait()
        return job.name

    await harness.processor(consumer, {"lock_duration": 20_000})
    await harness.jobs.add("long", {})
    await started.wait()
    server.kill()
    go_on.set()
    await asyncio.sleep(0.5)
    server.start()
    back = time.monotonic()
    await harness.jobs.add("after", {})
    await harness.settled(2)
    assert time.monotonic() - back < 2
    assert sorted(runs) == ["after", "long"]


async def test_a_frozen_server_costs_nothing_while_the_lease_holds(lasting: tuple[Server, Harness]) -> None:
    server, harness = lasting
    runs: list[str] = []

    async def consumer(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.01)

    await harness.processor(consumer, {"lock_duration": 10_000})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(200))
    server.pause()
    await asyncio.sleep(1)
    server.resume()
    await harness.settled(200)
    assert len(runs) == len(set(runs)) == 200


async def test_a_result_is_not_written_after_the_lease_has_ended(lasting: tuple[Server, Harness]) -> None:
    server, harness = lasting
    started, go_on = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await go_on.wait()

    processor = await harness.processor(consumer, {"lock_duration": 600, "stalled_interval": 60_000})
    lost = collect(processor.runtime.bus, LeaseLost)
    await harness.jobs.add("late", {})
    await started.wait()
    server.pause()
    go_on.set()
    await eventually(lambda: lost, "the lease is given up", within=15)
    server.resume()
    assert processor.active == 0
    counts = await harness.counts()
    assert (counts["active"], counts["completed"]) == (1, 0), "what was on its way was refused"


async def test_forgotten_scripts_are_loaded_again(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        if job.data % 5 == 0:
            raise UnrecoverableError("every fifth")

    await harness.processor(consumer)
    for round_ in range(10):
        await harness.redis.script_flush()
        await harness.jobs.add_bulk({"name": "n", "data": n} for n in range(round_ * 10, round_ * 10 + 10))
    await harness.settled(100)
    assert len(await harness.dead_letters()) == 20


async def test_a_server_that_refuses_writes_for_a_while_loses_nothing(lasting: tuple[Server, Harness]) -> None:
    _, harness = lasting
    runs: list[str] = []

    async def consumer(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.3)

    await harness.processor(consumer, {"lock_duration": 10_000})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(8))
    await eventually(lambda: len(runs) == 4)
    await harness.redis.execute_command("CONFIG", "SET", "min-replicas-to-write", "1")
    await asyncio.sleep(1)
    await harness.redis.execute_command("CONFIG", "SET", "min-replicas-to-write", "0")
    await harness.settled(8)
    assert len(runs) == 8


@pytest.mark.parametrize("fails", ["completes", "retries", "dies"])
async def test_a_finish_whose_reply_is_lost_counts_once(line: tuple[Proxy, Harness, Harness], fails: str) -> None:
    proxy, behind, direct = line
    runs: list[int] = []

    async def consumer(job: Job) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            proxy.swallow_reply_to = job.id.encode()
            if fails == "retries":
                raise ValueError("again")
            if fails == "dies":
                raise UnrecoverableError("no")
        proxy.swallow_reply_to = None if len(runs) > 1 else proxy.swallow_reply_to
        return "done"

    processor = await behind.processor(consumer)
    events = {kind: collect(processor.runtime.bus, kind) for kind in (JobCompleted, JobRetried, JobFailed)}
    job_id = await direct.jobs.add("once", {})
    await eventually(lambda: proxy.swallowed)
    proxy.heal()
    await direct.settled(1)
    await eventually(lambda: processor.active == 0)
    told = {kind.__name__: len(seen) for kind, seen in events.items()}
    assert (
        told
        == {
            "completes": {"JobCompleted": 1, "JobRetried": 0, "JobFailed": 0},
            "retries": {"JobCompleted": 1, "JobRetried": 1, "JobFailed": 0},
            "dies": {"JobCompleted": 0, "JobRetried": 0, "JobFailed": 1},
        }[fails]
    )
    assert runs == ([1, 2] if fails == "retries" else [1])
    assert len(await direct.dead_letters()) == (1 if fails == "dies" else 0)
    assert "stc" not in await direct.job(job_id)


@pytest.mark.parametrize("priority", [0, 3])
@pytest.mark.parametrize("raised", [Delay(1.5), RateLimited(1.5)])
async def test_a_move_whose_reply_is_lost_is_no_lost_lease(
    line: tuple[Proxy, Harness, Harness], raised: Delay | RateLimited, priority: int
) -> None:
    proxy, behind, direct = line
    runs = 0

    async def consumer(job: Job) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            proxy.swallow_reply_to = job.id.encode()
            raise raised

    processor = await behind.processor(consumer)
    await direct.jobs.add("once", {}, priority=priority)
    await eventually(lambda: proxy.swallowed)
    proxy.heal()
    await direct.settled(1)
    await eventually(lambda: processor.active == 0)
    metrics = processor.get_metrics()
    assert (metrics.leases_lost, metrics.delayed, metrics.completed) == (0, 1, 1)


async def test_nothing_goes_on_writing_once_its_processor_is_closed(
    lasting: tuple[Server, Harness],
) -> None:
    """The replies that were still to come fail when the connections are given up."""
    server, harness = lasting
    go_on = asyncio.Event()

    async def consumer(job: Job) -> None:
        await go_on.wait()

    processor = await harness.processor(consumer, {"lock_duration": 30_000})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(4))
    await eventually(lambda: processor.active == 4)
    server.pause()
    go_on.set()
    await processor.close(0.2)
    server.resume()
    await eventually(
        lambda: not any(task.get_name().startswith("settle ") for task in asyncio.all_tasks()), within=2
    )


async def test_a_fetched_job_whose_reply_was_lost_is_found_at_once(line: tuple[Proxy, Harness, Harness]) -> None:
    proxy, behind, direct = line
    runs: list[int] = []

    async def consumer(job: Job) -> None:
        runs.append(job.stalled_count)

    processor = await behind.processor(consumer, {"lock_duration": 30_000}, start=False)
    await processor.initialize()
    proxy.swallow_reply_to = b"lockDuration"
    await direct.jobs.add("lost", {})
    await eventually(lambda: proxy.swallowed)
    proxy.heal()
    await direct.settled(1, within=5)
    assert runs == [0]


async def test_connections_that_are_cut_all_the_time_lose_and_double_nothing(
    line: tuple[Proxy, Harness, Harness],
) -> None:
    proxy, behind, direct = line
    runs: list[str] = []

    async def consumer(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.01)

    await behind.processor(consumer, {"lock_duration": 20_000})
    ids = await direct.jobs.add_bulk({"name": "n", "data": {}} for _ in range(300))
    for _ in range(10):
        await asyncio.sleep(0.1)
        proxy.cut()
    await direct.settled(300, within=30)
    assert sorted(runs) == sorted(ids)


async def test_adding_survives_a_lost_reply_as_one_job(line: tuple[Proxy, Harness, Harness]) -> None:
    proxy, behind, direct = line
    async with behind.jobs:
        proxy.swallow_reply_to = b"precious"
        adding = asyncio.create_task(behind.jobs.add("precious", {}))
        await eventually(lambda: proxy.swallowed)
        proxy.heal()
        await adding
    assert (await direct.counts())["wait"] == 1


async def test_half_open_connections_are_noticed_within_20_s(line: tuple[Proxy, Harness, Harness]) -> None:
    proxy, behind, direct = line
    done: list[str] = []

    async def consumer(job: Job) -> None:
        done.append(job.id)

    await behind.processor(consumer, {"lock_duration": 60_000})
    await direct.jobs.add("before", {})
    await direct.settled(1)
    proxy.half_open()
    await direct.jobs.add("after", {})
    cut = time.monotonic()
    await direct.settled(2, within=25)
    assert time.monotonic() - cut < 20


async def test_a_frozen_line_does_not_hold_up_the_stop(line: tuple[Proxy, Harness, Harness]) -> None:
    proxy, behind, direct = line
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    processor = await behind.processor(consumer)
    await direct.jobs.add("long", {})
    await started.wait()
    proxy.black_hole = True
    before = time.monotonic()
    assert await processor.close(0.5) is False
    assert time.monotonic() - before < 5
    assert (await direct.job((await direct.redis.lindex(f"bull:{QUEUE}:active", 0)).decode()))["name"] == "long"
