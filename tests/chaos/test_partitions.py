"""Queues with partitions: workers and nodes are killed, and each accepted job still ends once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from auth_worker import JobQueue
from auth_worker.core.partitions import partition_names, partition_of_id
from chaos.final_states import FinalStates, read_final_states
from chaos.run_log import RunLog
from chaos.worker_options import DEAD, QUEUE, WorkerOptions
from chaos.worker_pool import ForkServer, WorkerPool
from support.clusters import SLOTS, Cluster, Node
from support.processors import eventually

PARTITIONS = 6
CONFIG = {"concurrency": 3, "lock_duration": 8_000, "stalled_interval": 500}
WORKS: tuple[dict[str, Any], ...] = (*({"s": 0.02} for _ in range(300)), *({"do": "die"} for _ in range(6)))
RECOVERY_S = 60.0


def node_of(cluster: Cluster, name: str) -> Node:
    """The primary that has a queue of the broker."""
    nodes = len(cluster.primaries)
    return cluster.primaries[min(key_slot(name.encode()) * nodes // SLOTS, nodes - 1)]


async def final_states(cluster: Cluster) -> list[FinalStates]:
    """Where the jobs of each partition stand."""
    found = []
    names, letters = partition_names(QUEUE, PARTITIONS), partition_names(DEAD, PARTITIONS, QUEUE)
    for name, dead in zip(names, letters, strict=True):
        async with Redis(port=node_of(cluster, name).port) as redis:
            found.append(await read_final_states(redis, name, dead))
    return found


@pytest.mark.timeout(180)
async def test_each_job_ends_once_whatever_is_killed(fork_server: ForkServer, tmp_path: Path) -> None:
    run_log = RunLog(tmp_path / "run_log")
    async with Cluster(3, replicated=False, appendonly=True) as cluster:
        log = str(tmp_path / "workers.log")
        options = WorkerOptions(cluster.url, str(run_log.path), log, config=CONFIG, partitions=PARTITIONS)
        workers = WorkerPool(fork_server, run_log, options)
        queue = JobQueue(QUEUE, cluster.url, timeout=RECOVERY_S, partitions=PARTITIONS)

        async def runs(number: int) -> None:
            await eventually(lambda: len(run_log.runs()) >= number, f"{number} runs", RECOVERY_S)

        async with queue, workers.kept_at(2):
            ids = await queue.add_bulk({"name": "work", "data": work} for work in WORKS)
            for number, node in enumerate(cluster.primaries):
                await runs(60 * number + 30)
                await workers.alive[0].kill()
                node.kill()
                await runs(len(run_log.runs()) + 30)  # those of the other nodes
                node.start()

            async def all_ended() -> bool:
                try:
                    found = await final_states(cluster)
                except ResponseError:  # the node has not joined the cluster again
                    return False
                return sum(len(each.completed) + len(each.dead) for each in found) == len(ids)

            await eventually(all_ended, "every job ends", RECOVERY_S)
        await workers.kill_all()
        found = await final_states(cluster)
    accepted: list[dict[str, Any]] = [{} for _ in range(PARTITIONS)]
    for job_id, work in zip(ids, WORKS, strict=True):
        accepted[partition_of_id(job_id, PARTITIONS)][job_id] = work
    wrong = [each for part, jobs in zip(found, accepted, strict=True) for each in part.violations(jobs)]
    assert [*wrong, *run_log.overlapping(), *run_log.doubled()] == []
