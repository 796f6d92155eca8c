"""The broker is away, refuses, or forgets, and the workers live on: processing resumes, counted once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.harness import ChaosHarness
from chaos.worker_pool import ForkServer
from support.servers import Server

PATIENT = {"lock_duration": 15_000, "stalled_interval": 500}
LINES_A_SECOND = 1.0
KINDS_OF_FAILURE = 8


@pytest.fixture
async def lasting(fork_server: ForkServer, tmp_path: Path) -> AsyncIterator[tuple[Server, ChaosHarness]]:
    """A harness on a server of its own, which keeps every write."""
    with Server(tmp_path, appendonly=True, config={"appendfsync": "always"}) as server:
        async with ChaosHarness(fork_server, tmp_path, server.url) as harness:
            yield server, harness


async def test_broker_outage_resumes(lasting: tuple[Server, ChaosHarness]) -> None:
    """Killed three times under load: no job is lost, none runs twice, and work goes on within 2 s."""
    server, harness = lasting
    waits: list[float] = []
    for _ in range(2):
        await harness.workers.start(config=PATIENT)
    for _ in range(3):
        await harness.add(*({"s": 0.05} for _ in range(60)))
        await harness.started(len(harness.run_log.entries("started")) + 5)
        server.kill()
        await asyncio.sleep(0.7)
        server.start()
        seen, back = len(harness.run_log.entries("started")), time.monotonic()
        await harness.started(seen + 1)
        waits.append(time.monotonic() - back)
    assert statistics.median(waits) < 2
    assert await harness.verdict() == []
    assert {(run.attempt, run.stalled) for run in harness.run_log.runs()} == {(1, 0)}
    assert len(harness.run_log.runs()) == 180


async def test_an_outage_costs_little_cpu_and_few_lines(lasting: tuple[Server, ChaosHarness]) -> None:
    server, harness = lasting
    worker = await harness.workers.start(config=PATIENT)
    await harness.add(*({"s": 0.3} for _ in range(4)))
    await harness.started(4)
    lines, cpu = len(worker.log.splitlines()), worker.cpu_s
    server.kill()
    outage = 4.0
    await asyncio.sleep(outage)
    assert worker.cpu_s - cpu < 0.1 * outage
    assert len(worker.log.splitlines()) - lines < LINES_A_SECOND * KINDS_OF_FAILURE * outage
    server.start()
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == 4


@pytest.mark.parametrize("trouble", ["maxmemory 1mb", "min-replicas-to-write 1"])
async def test_a_broker_that_refuses_writes_is_waited_for(
    lasting: tuple[Server, ChaosHarness], trouble: str
) -> None:
    """OOM, and NOREPLICAS as after a failover: nothing runs twice, the log stays calm."""
    _, harness = lasting
    worker = await harness.workers.start(config=PATIENT)
    await harness.add(*({"s": 0.2} for _ in range(12)))
    await harness.started(4)
    name, value = trouble.split()
    lines = len(worker.log.splitlines())
    await harness.redis.config_set(name, value)
    await asyncio.sleep(2)
    complaints = [line for line in worker.log.splitlines()[lines:] if '"level": "error"' in line]
    assert 1 <= len(complaints) < 12
    await harness.redis.config_set(name, "0")
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == 12


async def test_a_read_only_replica_is_waited_for(lasting: tuple[Server, ChaosHarness]) -> None:
    _, harness = lasting
    await harness.workers.start(config=PATIENT)
    await harness.add(*({"s": 0.2} for _ in range(12)))
    await harness.started(4)
    await harness.redis.config_set("replica-serve-stale-data", "yes")
    await harness.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(1.5)
    await harness.redis.execute_command("REPLICAOF", "NO", "ONE")
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == 12


async def test_a_slow_script_of_somebody_else_is_waited_for(lasting: tuple[Server, ChaosHarness]) -> None:
    """BUSY: the broker answers nothing but that for two seconds; nobody's script is killed."""
    _, harness = lasting
    await harness.redis.config_set("busy-reply-threshold", "50")
    await harness.workers.start(config=PATIENT)
    await harness.add(*({"s": 0.1} for _ in range(40)))
    await harness.started(4)
    slow = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end return 1"
    assert await harness.redis.eval(slow, 0) == 1
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == 40


@pytest.mark.parametrize("fault", ["forgotten scripts", "killed clients"])
async def test_many_small_faults_lose_and_double_nothing(harness: ChaosHarness, fault: str) -> None:
    worker = await harness.workers.start(config=PATIENT)
    files = worker.open_files
    for _ in range(15):
        await harness.add(*({"s": 0.01} for _ in range(10)), {"do": "die"})
        if fault == "forgotten scripts":
            await harness.redis.script_flush()
        else:
            await harness.redis.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.1)
    assert await harness.verdict() == []
    assert {run.stalled for run in harness.run_log.runs()} == {0}
    assert len(harness.run_log.runs()) == 15 * 11
    assert abs(worker.open_files - files) <= 2


async def test_half_open_links_and_a_killed_worker_together(harness: ChaosHarness) -> None:
    async with harness.behind_a_proxy() as proxy:
        for _ in range(2):
            await harness.workers.start(url=proxy.url)
        await harness.add(*({"s": 0.02} for _ in range(100)))
        await harness.started(20)
        harness.run_log.write("fault")
        proxy.half_open()
        await harness.workers.alive[0].kill()
        assert await harness.verdict(within=20, faults_excuse=True) == []


async def test_a_broker_that_has_lost_everything_is_served_on(fork_server: ForkServer, tmp_path: Path) -> None:
    """Without an AOF it comes back empty: the job in hand is nobody's any more, and the next ones run."""
    with Server(tmp_path) as server:
        async with ChaosHarness(fork_server, tmp_path, server.url) as harness:
            worker = await harness.workers.start(config=PATIENT)
            await harness.jobs.add("work", {"s": 0.5})
            await harness.started()
            server.kill()
            server.start()
            await harness.logged("lease lost")
            await harness.add({"s": 0}, {"do": "die"})
            assert await harness.verdict() == []
            assert worker.code is None
