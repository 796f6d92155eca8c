"""One logical queue in parts with a hash tag each, on every node of a cluster: the loss of a node loses no job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from zlib import crc32

import pytest
from redis.crc import key_slot

from auth_worker import Job, JobQueue, Settings, WorkerService
from support.clusters import SLOTS, Cluster
from support.processors import eventually

PARTS = [f"{{mailQueue-{number}}}" for number in range(6)]
"""As the documentation has them."""
CONFIG = {"concurrency": 2, "stalled_interval": 500, "lock_duration": 60_000}
IDS = [f"mail-{number}" for number in range(120)]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three primaries that keep their data when they are killed."""
    async with Cluster(3, replicated=False, appendonly=True) as cluster:
        yield cluster


def part_of(key: str) -> int:
    """The part that a key belongs to."""
    return crc32(key.encode()) % len(PARTS)


def node_of(part: int) -> int:
    """The primary, of three with equal shares, that has a part."""
    return min(key_slot(PARTS[part].encode()) // (SLOTS // 3), 2)


def test_documented_parts_are_two_on_each_of_three_nodes_and_keys_keep_theirs() -> None:
    assert [part_of(key) for key in ("welcome-7", "mail-0", "mail-1", "", "名前")] == [5, 4, 4, 0, 0]
    assert Counter(map(node_of, range(len(PARTS)))) == {0: 2, 1: 2, 2: 2}
    assert key_slot(b"{mailQueue-0}") // (SLOTS // 2) == key_slot(b"{mailQueue-1}") // (SLOTS // 2)


@pytest.mark.timeout(120)
async def test_a_killed_node_stops_its_own_parts_only_and_loses_no_job(cluster: Cluster) -> None:
    settings, runs, gate = Settings(http_port=None, log_level="ERROR"), Counter[str](), asyncio.Event()

    async def consumer(job: Job) -> None:
        runs[job.id] += 1
        await gate.wait()

    service = WorkerService(cluster.url, settings=settings)
    for name in PARTS:
        service.register_processor(queue_name=name, processor=consumer, worker_config=CONFIG)
    queues = [JobQueue(name, cluster.url, settings=settings) for name in PARTS]
    lost_node = cluster.primaries[0]
    elsewhere = [one for one in IDS if node_of(part_of(one)) != 0]
    async with service:
        for one in IDS:
            await queues[part_of(one)].add("n", {}, job_id=one)
        await eventually(lambda: len(runs) == 2 * len(PARTS), "each part runs what it may", 20)
        lost_node.kill()
        gate.set()
        await eventually(lambda: runs.keys() >= set(elsewhere), "the other nodes' parts go on", 30)
        assert len(runs) < len(IDS)
        lost_node.start()
        await eventually(lambda: len(runs) == len(IDS), "the lost node's parts go on", 60)
        for one in IDS:
            await queues[part_of(one)].result(one, timeout=20)
    for queue in queues:
        await queue.close()
    assert runs == dict.fromkeys(IDS, 1)
