"""Sentinel: the primary dies, freezes or is demoted; the service and its producers follow to the promoted one.

Replication is asynchronous: what a primary has confirmed and not yet passed on dies with it. So each test lets the
replica catch up first, with all writes held back; then nothing may be lost, and nothing run twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.harness import ChaosHarness
from chaos.worker_pool import ForkServer
from support.proxy import Proxy
from support.replication import becomes, settle
from support.sentinels import SERVICE, Watched
from support.servers import Server

LASTING = {"lock_duration": 60_000, "stalled_interval": 500}
"""Leases that outlast any fail-over."""
RESUMED_WITHIN_S = 20.0
"""After the promotion; it takes one second, or six where a frozen primary leaves connections open."""


@pytest.fixture
async def watched(fork_server: ForkServer, tmp_path: Path) -> AsyncIterator[tuple[Watched, ChaosHarness]]:
    """A primary, a replica, three sentinels, and two workers that know the sentinels alone."""
    async with (
        Watched() as servers,
        ChaosHarness(fork_server, tmp_path, servers.primary.url, found_by=servers.url) as harness,
    ):
        for _ in range(2):
            await harness.workers.start(config=LASTING)
        yield servers, harness


async def promotion(servers: Watched, harness: ChaosHarness, fault: str) -> None:
    """Under load: the primary is no more, jobs are added meanwhile, and work goes on at the new one."""
    await harness.add(*({"s": 0.05} for _ in range(60)))
    await harness.started(10)
    await settle(servers.primary, servers.replica)
    getattr(servers.primary, fault)()
    added = harness.add(*({"s": 0.01} for _ in range(20)), {"do": "die"})
    await asyncio.gather(added, servers.promoted())
    promoted = time.monotonic()
    await harness.look_at(servers.replica.url)
    await harness.started(len(harness.run_log.entries("started")) + 1, within=RESUMED_WITHIN_S)
    assert time.monotonic() - promoted < RESUMED_WITHIN_S


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_lost_primary_costs_nothing_its_replica_has(
    watched: tuple[Watched, ChaosHarness], fault: str
) -> None:
    """Killed, or frozen until another is primary; thawed, it becomes a replica, and nobody is drawn to it."""
    servers, harness = watched
    await promotion(servers, harness, fault)
    if fault == "pause":
        servers.primary.resume()
        servers.primary.ask("CLIENT UNPAUSE")
        await becomes(servers.primary, "slave")
    await harness.add(*({"s": 0.01} for _ in range(20)))
    assert await harness.verdict(within=30) == []
    assert {(run.attempt, run.stalled) for run in harness.run_log.runs()} == {(1, 0)}
    assert len(harness.run_log.runs()) == 101


async def test_an_ordered_fail_over_goes_unnoticed(watched: tuple[Watched, ChaosHarness]) -> None:
    """As for an upgrade of the primary."""
    servers, harness = watched
    await harness.add(*({"s": 0.05} for _ in range(60)))
    await harness.started(10)
    await settle(servers.primary, servers.replica)
    assert servers.sentinels[0].ask(f"SENTINEL FAILOVER {SERVICE}").startswith(b"+OK")
    await servers.promoted()
    await harness.look_at(servers.replica.url)
    await harness.add(*({"s": 0.01} for _ in range(20)))
    assert await harness.verdict(within=30) == []
    assert len(harness.run_log.runs()) == 80


async def test_a_demoted_primary_that_keeps_its_connections_is_left(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    """As behind a name that changes hands: the old server lives on, answers, and takes no writes."""
    with Server() as old, Server(config={"replicaof": f"127.0.0.1 {old.port}"}) as new:
        async with (
            Proxy(old.port) as name,
            ChaosHarness(fork_server, tmp_path, old.url, found_by=name.url) as harness,
        ):
            await harness.workers.start(config=LASTING)
            await harness.add(*({"s": 0.05} for _ in range(60)))
            await harness.started(10)
            await settle(old, new)
            assert new.ask("REPLICAOF NO ONE").startswith(b"+OK")
            name.target = new.port
            await harness.look_at(new.url)
            assert old.ask(f"REPLICAOF 127.0.0.1 {new.port}").startswith(b"+OK")
            assert old.ask("CLIENT UNPAUSE").startswith(b"+OK")
            await harness.add({"s": 0.01}, {"do": "die"})
            assert await harness.verdict() == []
            assert len(harness.run_log.runs()) == 62
