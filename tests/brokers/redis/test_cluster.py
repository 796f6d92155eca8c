"""Redis Cluster, with real nodes: a prefix with a hash tag lives on one of them, and is followed when it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from auth_worker import ConfigurationError, Job, JobQueue, Settings, WorkerService
from auth_worker.admin.errors import NotFoundError
from auth_worker.events import Problem
from support.clusters import Cluster
from support.operators import operations_on
from support.processors import collect, eventually

NOWHERE = "redis+cluster://127.0.0.1:7000"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Two primaries."""
    async with Cluster(2, replicated=False) as cluster:
        yield cluster


def _settings(prefix: str) -> Settings:
    return Settings(http_port=None, log_level="ERROR", prefix=prefix)


async def test_jobs_run_in_a_cluster_and_go_on_where_their_slot_moves_to(cluster: Cluster) -> None:
    tag, done = cluster.tag_at(0), []
    settings = _settings(f"{{{tag}}}")

    async def consumer(job: Job) -> None:
        done.append(job.data)

    service = WorkerService(cluster.url, settings=settings)
    service.register_processor(queue_name="work", processor=consumer, dead_letter_queue_name="dead")
    async with service, JobQueue("work", cluster.url, settings=settings) as queue:
        await queue.add_bulk({"name": "n", "data": number} for number in range(20))
        await eventually(lambda: len(done) == 20)
        await cluster.move(tag, *cluster.primaries)
        await asyncio.wait_for(queue.add_bulk({"name": "n", "data": number} for number in range(20, 40)), 20)
        await eventually(lambda: len(done) == 40, "the jobs at the slot's new node", 20)
    assert sorted(done) == list(range(40))


async def test_jobs_that_end_together_are_settled_together_in_a_cluster_too(cluster: Cluster) -> None:
    """A batch names keys of its slot alone, so none is refused and written again."""
    settings, together = _settings(f"{{{cluster.tag_at(0)}}}"), asyncio.Barrier(10)

    async def consumer(job: Job) -> None:
        await together.wait()

    service = WorkerService(cluster.url, settings=settings)
    processor = service.register_processor(
        queue_name="work", processor=consumer, worker_config={"concurrency": 10}
    )
    problems = collect(processor.runtime.bus, Problem)
    async with service, JobQueue("work", cluster.url, settings=settings) as queue:
        await queue.add_bulk({"name": "n", "data": number} for number in range(50))
        await eventually(lambda: processor.get_metrics().completed == 50)
    assert problems == []


async def test_queues_with_hash_tags_of_their_own_are_looked_at_where_each_lives(cluster: Cluster) -> None:
    names = [f"{{{cluster.tag_at(number)}}}work" for number in range(2)]
    for name in names:
        async with JobQueue(name, cluster.url, settings=_settings("bull")) as queue:
            await queue.add("n", {})
    async with operations_on(cluster.url, "bull") as operations:
        found = await operations.queues.overview()
        assert {one.name: one.counts["wait"] for one in found.queues} == dict.fromkeys(names, 1)


async def test_results_come_from_each_node_and_from_where_a_slot_moves_to(cluster: Cluster) -> None:
    tags = [cluster.tag_at(0), cluster.tag_at(1)]

    async def consumer(job: Job) -> int:
        return int(job.data)

    async with AsyncExitStack() as stack:
        queues = [
            await stack.enter_async_context(JobQueue(f"{{{tag}}}work", cluster.url, settings=_settings("bull")))
            for tag in tags
        ]
        ids = [await queue.add("n", number) for number, queue in enumerate(queues)]
        waiting = [asyncio.create_task(each.result(job_id, 20)) for each, job_id in zip(queues, ids, strict=True)]
        await asyncio.wait(waiting, timeout=0.1)
        await cluster.move(tags[0], *cluster.primaries)
        for queue in queues:
            service = WorkerService(cluster.url, settings=_settings("bull"))
            service.register_processor(queue_name=queue.name, processor=consumer)
            await stack.enter_async_context(service)
        assert await asyncio.gather(*waiting) == [0, 1]


async def test_prefixes_are_found_on_every_primary(cluster: Cluster) -> None:
    for number in range(2):
        queue = f"{{{cluster.tag_at(number)}}}work"
        async with JobQueue(queue, cluster.url, settings=_settings(f"app{number}")) as jobs:
            await jobs.add("n", {})
    async with operations_on(cluster.url, "ap") as operations:
        assert await operations.broker.find_prefixes() == ["app0", "app1"]
        with pytest.raises(NotFoundError, match="app0, app1"):
            await operations.queues.check_exists(queue)
    async with operations_on(cluster.url, "app0") as operations:
        await operations.queues.check_prefix()  # its queue is on the other node


def test_queues_without_a_hash_tag_are_refused_with_the_remedy() -> None:
    service = WorkerService(NOWHERE, settings=Settings(http_port=None))
    with pytest.raises(ConfigurationError, match=r"\{bull\}"):
        service.register_processor(queue_name="work", processor=print)
    with pytest.raises(ConfigurationError, match=r"\{bull\}"):
        JobQueue("work", NOWHERE)


def test_a_dead_letter_queue_at_another_slot_is_refused_with_the_remedy() -> None:
    service = WorkerService(NOWHERE, settings=Settings(http_port=None))
    with pytest.raises(ConfigurationError, match="the same hash tag"):
        service.register_processor(queue_name="{a}work", processor=print, dead_letter_queue_name="{b}dead")


def test_a_cluster_url_that_cannot_be_read_says_how_it_reads() -> None:
    with pytest.raises(ConfigurationError, match="redis\\+cluster://"):
        JobQueue("work", "redis+cluster://nowhere", settings=_settings("{bull}"))
