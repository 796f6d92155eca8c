"""Redis Cluster, with real nodes: a prefix with a hash tag lives on one of them, and is followed when it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from auth_worker import ConfigurationError, Job, JobQueue, Settings, WorkerService
from servers import Server
from workers import eventually

PREFIX = "{bull}"
SLOT = key_slot(PREFIX.encode())


@pytest.fixture
def nodes() -> Iterator[tuple[Server, Server]]:
    """Two servers that will be a cluster."""
    config = {"cluster-enabled": "yes"}
    with Server(config=config) as first, Server(config=config) as second:
        yield first, second


@pytest.fixture
async def cluster(nodes: tuple[Server, Server]) -> AsyncIterator[tuple[Redis, Redis]]:
    """A client of each node; the first has every slot."""
    first, second = (Redis.from_url(node.url) for node in nodes)
    await first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
    await first.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)  # type: ignore[no-untyped-call]

    async def agreed() -> bool:
        states = [await node.execute_command("CLUSTER", "INFO") for node in (first, second)]  # type: ignore[no-untyped-call]
        return all(
            "cluster_state:ok" in _text(state) and "cluster_known_nodes:2" in _text(state) for state in states
        )

    await eventually(agreed, "the nodes know each other", 20)
    yield first, second
    await first.aclose()
    await second.aclose()


def _text(reply: object) -> str:
    if isinstance(reply, dict):
        return "\n".join(f"{key}:{value}" for key, value in reply.items())
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _settings() -> Settings:
    return Settings(http_port=None, log_level="ERROR", prefix=PREFIX)


def _url(nodes: tuple[Server, Server]) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[1].port},127.0.0.1:{nodes[0].port}"


async def test_jobs_run_in_a_cluster_and_go_on_where_their_slot_moves_to(
    nodes: tuple[Server, Server], cluster: tuple[Redis, Redis]
) -> None:
    done: list[int] = []

    async def consumer(job: Job) -> None:
        done.append(job.data)

    service = WorkerService(_url(nodes), settings=_settings())
    service.register_processor(queue_name="work", processor=consumer, dead_letter_queue_name="dead")
    async with service, JobQueue("work", _url(nodes), settings=_settings()) as queue:
        await queue.add_bulk({"name": "n", "data": number} for number in range(20))
        await eventually(lambda: len(done) == 20)
        await _move_slot(nodes, cluster)
        await asyncio.wait_for(queue.add_bulk({"name": "n", "data": number} for number in range(20, 40)), 20)
        await eventually(lambda: len(done) == 40, "the jobs at the slot's new node", 20)
    assert sorted(done) == list(range(40))


async def _move_slot(nodes: tuple[Server, Server], cluster: tuple[Redis, Redis]) -> None:
    """Give the prefix's slot, with its keys, to the second node."""
    first, second = cluster
    ids = [_text(await node.execute_command("CLUSTER", "MYID")) for node in cluster]  # type: ignore[no-untyped-call]

    async def run(node: Redis, *command: object) -> object:
        return await node.execute_command(*command)  # type: ignore[no-untyped-call]

    await run(second, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", ids[0])
    await run(first, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", ids[1])
    while keys := await run(first, "CLUSTER", "GETKEYSINSLOT", SLOT, 100):
        assert isinstance(keys, list)
        await run(first, "MIGRATE", "127.0.0.1", nodes[1].port, "", 0, 5000, "REPLACE", "KEYS", *keys)
    for node in (second, first):
        await run(node, "CLUSTER", "SETSLOT", SLOT, "NODE", ids[1])


def test_a_prefix_without_a_hash_tag_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"\{bull\}"):
        WorkerService("redis+cluster://127.0.0.1:7000", settings=Settings(http_port=None))


def test_a_cluster_url_that_cannot_be_read_says_how_it_reads() -> None:
    with pytest.raises(ConfigurationError, match="redis\\+cluster://"):
        JobQueue("work", "redis+cluster://nowhere", settings=_settings())
