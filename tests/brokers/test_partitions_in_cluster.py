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
from support.operators import operations_on
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
    await queue.add_bulk([{"name": "n", "opts": {"job_id": one}} for one in IDS])
    async with queue, service:
        await eventually(lambda: len(runs) == CONFIG["concurrency"], "its slots are full", 20)
        assert len({node_of(one) for one in runs}) == 3
        lost_node.kill()
        gate.set()
        await eventually(lambda: runs.keys() >= set(elsewhere), "the jobs of the other nodes run", 30)
        assert len(runs) < len(IDS)
        assert not (await service.get_health()).healthy
        async with operations_on(cluster.url) as operations:
            assert [each.workers for each in (await operations.queues.overview()).queues] == [1]
        lost_node.start()
        await eventually(lambda: len(runs) == len(IDS), "the jobs of the lost node run", 60)
        results = await asyncio.gather(*(queue.result(one, timeout=20) for one in IDS))
        await eventually(lambda: processor.get_metrics().completed == len(IDS), "every end is counted", 20)
    assert results == IDS
    assert runs == dict.fromkeys(IDS, 1)


@pytest.mark.timeout(120)
async def test_a_service_starts_without_a_node_that_is_away_and_has_its_jobs_once_it_is_back(
    cluster: Cluster,
) -> None:
    runs, cancelled = Counter[str](), asyncio.Event()

    async def consumer(job: Job) -> None:
        runs[job.id] += 1
        if job.name == "endless":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    queue = JobQueue("mailQueue", cluster.url, settings=SETTINGS, partitions=PARTITIONS)
    here = [one for one in IDS if node_of(one) == 0]
    elsewhere = [one for one in IDS if node_of(one) != 0]
    async with queue:
        await queue.add_bulk([{"name": "n", "opts": {"job_id": one}} for one in IDS])
        cluster.primaries[0].kill()
        service = WorkerService(cluster.url, settings=SETTINGS)
        service.register_processor(
            queue_name="mailQueue", processor=consumer, worker_config=CONFIG, partitions=PARTITIONS
        )
        async with service:
            await eventually(lambda: runs.keys() == set(elsewhere), "the jobs of the other nodes run", 30)
            async with JobQueue("mailQueue", cluster.url, settings=SETTINGS, partitions=PARTITIONS) as late:
                await late.add("n", job_id=f"another-{{{elsewhere[0]}}}")
                assert await late.result(elsewhere[0], timeout=10) is None
                found = await late.get(elsewhere[0])
                assert found is not None
                assert found.state == "completed"
                assert not await late.cancel(elsewhere[0]), "it has ended"
            cluster.primaries[0].start()
            await eventually(lambda: runs.keys() >= set(here), "the jobs of the node that is back run", 30)
            await eventually(lambda: _is_healthy(service), "nothing is wrong any more", 20)
            await queue.add("endless", job_id=f"endless-{{{here[0]}}}")
            await eventually(lambda: runs[f"endless-{{{here[0]}}}"], "it runs", 10)
            assert await queue.cancel(f"endless-{{{here[0]}}}", "no longer needed")
            await asyncio.wait_for(cancelled.wait(), 10)
    assert set(runs.values()) == {1}


async def _is_healthy(service: WorkerService) -> bool:
    return (await service.get_health()).healthy
