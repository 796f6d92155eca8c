"""A queue with partitions on every node of a cluster: the loss of a node stops its jobs only, and loses none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot

from auth_worker import Job, JobQueue, Settings, WorkerService
from auth_worker.core.partitions import partition_names, partition_of_id
from support.clusters import SLOTS, Cluster
from support.processors import eventually

PARTITIONS = 6
CONFIG = {"concurrency": 12, "stalled_interval": 500, "lock_duration": 60_000}
IDS = [f"mail-{number}" for number in range(120)]
SETTINGS = Settings(http_port=None, log_level="ERROR")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three primaries that keep their data when they are killed."""
    async with Cluster(3, replicated=False, appendonly=True) as cluster:
        yield cluster


def node_of(job_id: str) -> int:
    """The primary, of three with equal shares, that has a job."""
    name = partition_names("mailQueue", PARTITIONS)[partition_of_id(job_id, PARTITIONS)]
    return min(key_slot(name.encode()) // (SLOTS // 3), 2)


@pytest.mark.timeout(120)
async def test_a_killed_node_stops_its_own_jobs_only_and_loses_none(cluster: Cluster) -> None:
    runs, gate = Counter[str](), asyncio.Event()

    async def consumer(job: Job) -> str:
        runs[job.id] += 1
        await gate.wait()
        return job.id

    service = WorkerService(cluster.url, settings=SETTINGS)
    processor = service.register_processor(
        queue_name="mailQueue", processor=consumer, worker_config=CONFIG, partitions=PARTITIONS
    )
    queue = JobQueue("mailQueue", cluster.url, settings=SETTINGS, partitions=PARTITIONS)
    lost_node = cluster.primaries[0]
    elsewhere = [one for one in IDS if node_of(one) != 0]
    assert 30 < len(elsewhere) < len(IDS)
    async with service, queue:
        await queue.add_bulk([{"name": "n", "opts": {"job_id": one}} for one in IDS])
        await eventually(lambda: len(runs) == CONFIG["concurrency"], "its slots are full", 20)
        assert len({node_of(one) for one in runs}) == 3
        lost_node.kill()
        gate.set()
        await eventually(lambda: runs.keys() >= set(elsewhere), "the jobs of the other nodes run", 30)
        assert len(runs) < len(IDS)
        assert not (await service.get_health()).healthy
        lost_node.start()
        await eventually(lambda: len(runs) == len(IDS), "the jobs of the lost node run", 60)
        results = await asyncio.gather(*(queue.result(one, timeout=20) for one in IDS))
        await eventually(lambda: processor.get_metrics().completed == len(IDS), "every end is counted", 20)
    assert results == IDS
    assert runs == dict.fromkeys(IDS, 1)
