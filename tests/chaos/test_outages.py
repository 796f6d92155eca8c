"""The broker is away, refuses, or forgets, and the workers live on: processing resumes, counted once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.stage import Stage
from chaos.supervisor import Nursery
from servers import Server

PATIENT = {"lock_duration": 15_000, "stalled_interval": 500}
LINES_A_SECOND = 1.0
KINDS_OF_FAILURE = 8


@pytest.fixture
async def lasting(nursery: Nursery, tmp_path: Path) -> AsyncIterator[tuple[Server, Stage]]:
    """A stage on a server of its own, which keeps every write."""
    with Server(tmp_path, appendonly=True, config={"appendfsync": "always"}) as server:
        async with Stage(nursery, tmp_path, server.url) as stage:
            yield server, stage


async def test_broker_outage_resumes(lasting: tuple[Server, Stage]) -> None:
    """Killed three times under load: no job is lost, none runs twice, and work goes on within 2 s."""
    server, stage = lasting
    waits: list[float] = []
    for _ in range(2):
        await stage.crew.hire(config=PATIENT)
    for _ in range(3):
        await stage.add(*({"s": 0.05} for _ in range(60)))
        await stage.started(len(stage.ledger.entries("started")) + 5)
        server.kill()
        await asyncio.sleep(0.7)
        server.start()
        seen, back = len(stage.ledger.entries("started")), time.monotonic()
        await stage.started(seen + 1)
        waits.append(time.monotonic() - back)
    assert statistics.median(waits) < 2
    assert await stage.verdict() == []
    assert {(run.attempt, run.stalled) for run in stage.ledger.runs()} == {(1, 0)}
    assert len(stage.ledger.runs()) == 180


async def test_an_outage_costs_little_cpu_and_few_lines(lasting: tuple[Server, Stage]) -> None:
    server, stage = lasting
    worker = await stage.crew.hire(config=PATIENT)
    await stage.add(*({"s": 0.3} for _ in range(4)))
    await stage.started(4)
    lines, cpu = len(worker.log.splitlines()), worker.cpu_s
    server.kill()
    outage = 4.0
    await asyncio.sleep(outage)
    assert worker.cpu_s - cpu < 0.1 * outage
    assert len(worker.log.splitlines()) - lines < LINES_A_SECOND * KINDS_OF_FAILURE * outage
    server.start()
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == 4


@pytest.mark.parametrize("trouble", ["maxmemory 1mb", "min-replicas-to-write 1"])
async def test_a_broker_that_refuses_writes_is_waited_for(lasting: tuple[Server, Stage], trouble: str) -> None:
    """OOM, and NOREPLICAS as after a failover: nothing runs twice, the log stays calm."""
    _, stage = lasting
    worker = await stage.crew.hire(config=PATIENT)
    await stage.add(*({"s": 0.2} for _ in range(12)))
    await stage.started(4)
    name, value = trouble.split()
    lines = len(worker.log.splitlines())
    await stage.redis.config_set(name, value)
    await asyncio.sleep(2)
    complaints = [line for line in worker.log.splitlines()[lines:] if '"level": "error"' in line]
    assert 1 <= len(complaints) < 12
    await stage.redis.config_set(name, "0")
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == 12


async def test_a_read_only_replica_is_waited_for(lasting: tuple[Server, Stage]) -> None:
    _, stage = lasting
    await stage.crew.hire(config=PATIENT)
    await stage.add(*({"s": 0.2} for _ in range(12)))
    await stage.started(4)
    await stage.redis.config_set("replica-serve-stale-data", "yes")
    await stage.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(1.5)
    await stage.redis.execute_command("REPLICAOF", "NO", "ONE")
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == 12


async def test_a_slow_script_of_somebody_else_is_waited_for(lasting: tuple[Server, Stage]) -> None:
    """BUSY: the broker answers nothing but that for two seconds; nobody's script is killed."""
    _, stage = lasting
    await stage.redis.config_set("busy-reply-threshold", "50")
    await stage.crew.hire(config=PATIENT)
    await stage.add(*({"s": 0.1} for _ in range(40)))
    await stage.started(4)
    slow = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 3 do end return 1"
    assert await stage.redis.eval(slow, 0) == 1
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == 40


@pytest.mark.parametrize("storm", ["forgotten scripts", "killed clients"])
async def test_a_storm_of_small_faults_loses_and_doubles_nothing(stage: Stage, storm: str) -> None:
    worker = await stage.crew.hire(config=PATIENT)
    files = worker.open_files
    for _ in range(15):
        await stage.add(*({"s": 0.01} for _ in range(10)), {"do": "die"})
        if storm == "forgotten scripts":
            await stage.redis.script_flush()
        else:
            await stage.redis.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.1)
    assert await stage.verdict() == []
    assert {run.stalled for run in stage.ledger.runs()} == {0}
    assert len(stage.ledger.runs()) == 15 * 11
    assert abs(worker.open_files - files) <= 2


async def test_half_open_links_and_a_killed_worker_together(stage: Stage) -> None:
    async with stage.behind_a_proxy() as proxy:
        for _ in range(2):
            await stage.crew.hire(url=proxy.url)
        await stage.add(*({"s": 0.02} for _ in range(100)))
        await stage.started(20)
        stage.ledger.write("fault")
        proxy.half_open()
        await stage.crew.alive[0].kill()
        assert await stage.verdict(within=20, faults_excuse=True) == []


async def test_a_broker_that_has_lost_everything_is_served_on(nursery: Nursery, tmp_path: Path) -> None:
    """Without an AOF it comes back empty: the job in hand is nobody's any more, and the next ones run."""
    with Server(tmp_path) as server:
        async with Stage(nursery, tmp_path, server.url) as stage:
            worker = await stage.crew.hire(config=PATIENT)
            await stage.jobs.add("work", {"s": 0.5})
            await stage.started()
            server.kill()
            server.start()
            await stage.logged("lease lost")
            await stage.add({"s": 0}, {"do": "die"})
            assert await stage.verdict() == []
            assert worker.code is None
