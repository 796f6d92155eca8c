"""Redis Cluster: one service works queues of several nodes, through a resharding and the loss of a primary.

Replication is asynchronous, so before the kill the replica is let catch up, with all writes held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from redis.asyncio import Redis

from auth_worker import JobQueue
from chaos.final_states import FinalStates, read_final_states
from chaos.run_log import RunLog
from chaos.worker_options import WorkerOptions
from chaos.worker_pool import ForkServer, WorkerPool
from support.clusters import Cluster, Node
from support.processors import eventually
from support.replication import settle

LASTING = {"lock_duration": 60_000, "stalled_interval": 500}
"""Leases that outlast a resharding and a fail-over."""
RECOVERY_S = 40.0


class Spread:
    """A queue on each primary of a cluster, each with its own dead letters, and the workers of all of them."""

    def __init__(self, cluster: Cluster, fork_server: ForkServer, directory: Path) -> None:
        self.cluster = cluster
        self.tags = [cluster.tag_at(number) for number in range(len(cluster.primaries))]
        self.names = [f"{{{tag}}}work" for tag in self.tags]
        self.queues = [JobQueue(name, cluster.url, timeout=RECOVERY_S) for name in self.names]
        self.accepted: list[dict[str, Any]] = [{} for _ in self.names]
        self.run_log = RunLog(directory / "run_log")
        options = WorkerOptions(
            url=cluster.url,
            run_log=str(self.run_log.path),
            log=str(directory / "workers.log"),
            queues=self.names,
            dead="*Dead",
            config=LASTING,
        )
        self.workers = WorkerPool(fork_server, self.run_log, options)
        self.clients: list[Any] = [Redis(port=node.port) for node in cluster.primaries]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.workers.kill_all()
        for queue in self.queues:
            await queue.close()
        for client in self.clients:
            await client.aclose()

    async def look_at(self, number: int, node: Node) -> None:
        """The queue is at another node from now on."""
        await self.clients[number].aclose()
        self.clients[number] = Redis(port=node.port)

    async def final_states(self, number: int) -> FinalStates:
        """Where every job of a queue stands."""
        return await read_final_states(self.clients[number], self.names[number], f"{self.names[number]}Dead")

    async def add(self, number: int, *works: dict[str, Any]) -> None:
        """Add jobs to a queue, and note them as accepted once they are."""
        ids = await self.queues[number].add_bulk({"name": "work", "data": work} for work in works)
        self.accepted[number].update(zip(ids, works, strict=True))

    async def started(self, number: int) -> None:
        """Wait until so many jobs of this queue have been started."""
        own = self.accepted[number]
        await eventually(lambda: any(run.id in own for run in self.run_log.runs()), "a run", RECOVERY_S)

    async def done(self, number: int) -> None:
        """Wait until every job of a queue has ended."""

        async def all_are() -> bool:
            final_states = await self.final_states(number)
            return len(final_states.completed) + len(final_states.dead) == len(self.accepted[number])

        await eventually(all_are, f"the jobs of {self.names[number]}", RECOVERY_S)

    async def verdict(self) -> list[str]:
        """Wait until every job has ended, then say everything that is wrong."""
        wrong = []
        for number, accepted in enumerate(self.accepted):
            await self.done(number)
            wrong += (await self.final_states(number)).violations(accepted)
        return [*wrong, *self.run_log.doubled(), *self.run_log.overlapping()]


@pytest.fixture
async def spread(fork_server: ForkServer, tmp_path: Path) -> AsyncIterator[Spread]:
    """Three primaries with a replica each, three queues, and a worker of all three."""
    async with Cluster(3, replicated=True) as cluster, Spread(cluster, fork_server, tmp_path) as spread:
        await spread.workers.start()
        yield spread


WORKS: tuple[dict[str, Any], ...] = (*({"s": 0.03} for _ in range(60)), {"do": "die"})


@pytest.mark.timeout(180)
async def test_a_slot_that_moves_under_load_takes_its_queue_along(spread: Spread) -> None:
    for number in range(3):
        await spread.add(number, *WORKS)
        await spread.started(number)
    source, target, _ = spread.cluster.primaries
    moved = spread.cluster.move(spread.tags[0], source, target)
    await asyncio.gather(moved, _add_little_by_little(spread, 0))
    await spread.look_at(0, target)
    assert await spread.verdict() == []
    runs = spread.run_log.runs()
    assert len(runs) == sum(map(len, spread.accepted))
    assert {(run.attempt, run.stalled) for run in runs} == {(1, 0)}
    assert source.ask("DBSIZE") == b":0\r\n"


@pytest.mark.timeout(180)
async def test_a_lost_primary_stops_no_other_queue_and_costs_nothing_its_replica_has(spread: Spread) -> None:
    for number in range(3):
        await spread.add(number, *WORKS)
        await spread.started(number)
    primary, replica = spread.cluster.primaries[0], spread.cluster.replicas[0]
    await settle(primary, replica)
    primary.kill()
    await spread.add(1, *WORKS)
    await spread.done(1)
    await spread.add(0, *WORKS)
    await spread.look_at(0, replica)
    assert await spread.verdict() == []
    runs = spread.run_log.runs()
    assert len(runs) == 5 * len(WORKS)
    assert {(run.attempt, run.stalled) for run in runs} == {(1, 0)}


async def _add_little_by_little(spread: Spread, number: int) -> None:
    for _ in range(30):
        await spread.add(number, {"s": 0.01})
