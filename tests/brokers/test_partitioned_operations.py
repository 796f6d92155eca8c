"""Operators see a queue with partitions as one, on one server and on the nodes of a cluster alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from auth_worker import ConfigurationError, Job, JobQueue, Settings, WorkerService
from auth_worker.admin.bulk import Steps
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.models import DeadLetterRow
from auth_worker.admin.operations import Operations
from auth_worker.core.partitions import partition_names
from auth_worker.errors import BrokerUnavailableError
from auth_worker.http.gauges import Gauges
from support.clusters import Cluster
from support.operators import operations_on
from support.processors import eventually
from support.servers import Server

QUEUE, DEAD, PARTITIONS = "mailQueue", "mailDead", 4
CONFIG = {"concurrency": 3, "attempts": 1}


class Site(NamedTuple):
    """A queue with partitions that a service works, and an operator."""

    service: WorkerService
    queue: JobQueue
    operations: Operations
    release: asyncio.Event
    """Jobs with the name ``slow`` end once it is set."""


@pytest.fixture(params=["one server", "a cluster"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where the queue is."""
    if request.param == "one server":
        with Server() as server:
            yield server.url
    else:
        async with Cluster(2, replicated=False) as cluster:
            yield cluster.url


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    """A service that works the queue; jobs with ``fail`` in their data fail."""
    settings = Settings(redis_url=url, http_port=None, log_level="ERROR")
    release = asyncio.Event()

    async def consumer(job: Job) -> Any:
        if job.name == "slow":
            await release.wait()
        if job.data.get("fail"):
            raise ValueError("broken")
        return job.data

    service = WorkerService(settings=settings)
    service.register_processor(
        queue_name=QUEUE,
        processor=consumer,
        worker_config=CONFIG,
        dead_letter_queue_name=DEAD,
        partitions=PARTITIONS,
    )
    queue = JobQueue(QUEUE, settings=settings, partitions=PARTITIONS)
    async with service, queue, operations_on(url) as operations:
        yield Site(service, queue, operations, release)
        release.set()


async def ended(site: Site, count: int) -> None:
    """Wait until so many jobs have ended, with any outcome."""
    await eventually(lambda: site.service.get_metrics()[0].metrics.processed >= count, f"{count} ends", 20)


async def add(site: Site, count: int, **data: Any) -> list[str]:
    """Add jobs with this data, and wait for their end."""
    before = site.service.get_metrics()[0].metrics.processed
    ids = list(map(str, await site.queue.add_bulk({"name": "n", "data": data} for _ in range(count))))
    await ended(site, before + count)
    return ids


async def counts(site: Site, queue: str = QUEUE) -> dict[str, int]:
    """How many jobs are in each state that has any."""
    (found,) = await site.operations.queues.describe([queue])
    return {state: count for state, count in found.counts.items() if count}


async def run(steps: Steps) -> int:
    """Take all steps, and return how many jobs were changed."""
    return sum([step.done async for step in steps])


async def letters(site: Site) -> list[DeadLetterRow]:
    """The dead letters."""
    page = await site.operations.dead.page(DEAD)
    return page.letters


@pytest.mark.timeout(90)
async def test_queue_jobs_and_dead_letters_are_those_of_one_queue(site: Site) -> None:
    good, bad = await add(site, 12), await add(site, 8, fail=True)
    found = await site.operations.queues.overview()
    assert [(each.name, each.workers) for each in found.queues] == [(DEAD, 0), (QUEUE, 1)]
    assert await counts(site) == {"completed": 12, "failed": 8}
    assert await counts(site, DEAD) == {"wait": 8}
    shown: list[str] = []
    for offset in range(0, 12, 5):
        page = await site.operations.jobs.page(QUEUE, "completed", offset=offset, limit=5)
        shown += [job.id for job in page.jobs]
    assert sorted(shown) == sorted(good), "each job is on one page"
    detail = await site.operations.jobs.show(QUEUE, bad[0])
    assert (detail.queue, detail.state, detail.failed_reason) == (QUEUE, "failed", "broken")
    rows = await letters(site)
    assert sorted(row.job_id for row in rows) == sorted(bad)
    assert {row.queue for row in rows} == {QUEUE}, "they name the queue, not a partition"
    assert await site.operations.dead.origins(DEAD) == {QUEUE: 8}
    with pytest.raises(NotFoundError, match=f"no job nobody in queue {QUEUE}"):
        await site.operations.jobs.show(QUEUE, "nobody")


@pytest.mark.timeout(90)
async def test_jobs_are_changed_wherever_they_are(site: Site) -> None:
    bad = await add(site, 6, fail=True)
    assert await run(site.operations.jobs.retry_many(QUEUE, bad)) == 6
    await ended(site, 12)
    assert await counts(site, DEAD) == {"wait": 6}, "each retry removed a dead letter, each failure left one"
    (first, *_) = await letters(site)
    await site.operations.dead.redrive(DEAD, first.id)
    await ended(site, 13)
    assert await counts(site, DEAD) == {"wait": 6}
    later = [str(await site.queue.add("n", {}, delay=3_600_000)) for _ in range(6)]
    await site.operations.jobs.change(QUEUE, later[0], priority=5)
    await site.operations.jobs.promote(QUEUE, later[0])
    await ended(site, 14)
    await site.operations.jobs.cancel(QUEUE, later[1], "no longer needed")
    await site.operations.jobs.dead_letter(QUEUE, later[2], "", "let us see")
    await site.operations.jobs.remove(QUEUE, later[3])
    assert await counts(site) == {"completed": 1, "failed": 8, "delayed": 2}
    assert await counts(site, DEAD) == {"wait": 7}
    assert await run(site.operations.jobs.drain(QUEUE, delayed=True)) == 2
    assert await run(site.operations.jobs.clean(QUEUE, "failed", 0)) == 8
    assert await counts(site) == {"completed": 1}


@pytest.mark.timeout(90)
async def test_the_queue_is_paused_limited_and_removed_as_a_whole(site: Site) -> None:
    await add(site, 1)
    await site.operations.queues.pause(QUEUE)
    assert (await site.operations.queues.describe_one(QUEUE)).paused
    waiting = await site.queue.add_bulk({"name": "slow", "data": {}} for _ in range(8))
    assert await counts(site) == {"completed": 1, "wait": 8}
    with pytest.raises(ConfigurationError, match="at least 4: it is divided among 4 partitions"):
        await site.operations.settings.set_concurrency(QUEUE, 3)
    await site.operations.settings.set_concurrency(QUEUE, 6)
    await site.operations.settings.set_rate_limit(QUEUE, (400, 1000))
    assert (await site.operations.queues.describe_one(QUEUE)).concurrency == 6
    await site.operations.settings.set_concurrency(QUEUE, None)
    await site.operations.settings.set_rate_limit(QUEUE, None)
    await site.operations.queues.resume(QUEUE)

    async def three_run() -> bool:
        return (await counts(site)).get("active") == 3

    await eventually(three_run, "as many jobs run as the worker has slots", 10)
    with pytest.raises(RefusedError):
        await site.operations.settings.obliterate(QUEUE)
    site.release.set()
    await ended(site, 1 + len(waiting))
    await site.operations.settings.obliterate(QUEUE)
    assert [each.name for each in (await site.operations.queues.overview()).queues] == []


@pytest.mark.timeout(90)
async def test_schedulers_and_deduplication_are_of_the_whole_queue(site: Site) -> None:
    names = [f"every-{number}" for number in range(4)]
    for name in names:
        await site.operations.schedulers.upsert(QUEUE, name, name="n", every=3_600_000)
    found = await site.operations.schedulers.entries(QUEUE)
    assert sorted(each.id for each in found) == names
    before = site.service.get_metrics()[0].metrics.processed
    await site.operations.schedulers.run_now(QUEUE, names[0])
    await ended(site, before + 1)
    await site.operations.schedulers.remove(QUEUE, names[0])
    assert len(await site.queue.job_schedulers()) == 3
    held = [await site.queue.add("n", {}, deduplication={"id": "once"}, delay=3_600_000) for _ in range(2)]
    assert (held[0] == held[1], held[1].created) == (True, False)
    assert (await site.operations.settings.deduplication(QUEUE, "once")).job_id == held[0]
    await site.operations.settings.remove_deduplication(QUEUE, "once")


@pytest.mark.timeout(90)
async def test_a_worker_is_one_and_an_operator_adds_to_its_queue(site: Site) -> None:
    added = await site.operations.jobs.add(QUEUE, "n", {}, {})
    assert await site.queue.result(added, timeout=10) == {}

    async def is_seen() -> bool:
        processes = await site.operations.workers.processes()
        return [beat.queue for each in processes for beat in each.queues] == [QUEUE]

    await eventually(is_seen, "its process is seen", 10)
    (process,) = await site.operations.workers.processes()
    await site.operations.workers.request(process.id, "pause")
    (processor,) = site.service.get_processors()
    await eventually(lambda: processor.is_paused, "the request arrives", 10)
    gauges = Gauges(site.service)
    reading = await site.service.runtime.watch_loop.call(gauges._read())
    assert ([each.queue for each in reading.queues], reading.letters) == ([QUEUE], {DEAD: 0})


@pytest.mark.timeout(90)
async def test_a_running_job_is_cancelled_in_its_partition_alone(site: Site) -> None:
    """Jobs that Node adds to partitions have ids that count from 1 in each of them."""
    settings = site.queue.settings
    names = partition_names(QUEUE, PARTITIONS)
    ids = []
    for name in names[:2]:
        async with JobQueue(name, settings=settings) as part:
            ids.append(str(await part.add("slow", {"part": name}, job_id="same")))
    assert ids == ["same", "same"]
    (processor,) = site.service.get_processors()
    await eventually(lambda: processor.active == 2, "both run", 10)
    async with JobQueue(names[1], settings=settings) as part:
        assert await part.cancel("same", "no longer needed")
        await ended(site, 1)
        cancelled = await part.get("same")
        assert cancelled is not None
        assert cancelled.state == "failed"
    site.release.set()
    async with JobQueue(names[0], settings=settings) as part:
        assert await part.result("same", timeout=10) == {"part": names[0]}


@pytest.mark.timeout(90)
async def test_the_doctor_names_partitions_that_no_worker_works(site: Site, url: str) -> None:
    """As after a change of their number, where jobs are left, or of a producer without ``partitions``."""
    left = 8
    if "cluster" not in url:  # which refuses such a name
        left += 1
        async with JobQueue(QUEUE, settings=site.queue.settings) as without:
            await without.add("n", {})
    async with JobQueue(QUEUE, settings=site.queue.settings, partitions=2) as before:
        await before.add_bulk({"name": "n", "data": {}, "opts": {"job_id": f"old-{n}"}} for n in range(8))
    expected = partition_names(QUEUE, 2) + [f"{QUEUE} without partitions (1 waiting)"] * (left - 8)

    async def is_told() -> bool:
        findings = (await site.operations.doctor.examine()).findings
        return all(name in str([each.detail for each in findings]) for name in expected)

    await eventually(is_told, "the doctor names them", 20)
    assert await counts(site) == {"wait": left}, "they are shown with the others"


@pytest.mark.timeout(120)
async def test_what_can_be_reached_is_shown_while_a_node_is_away() -> None:
    async with Cluster(3, replicated=False, appendonly=True) as cluster:
        queue = JobQueue(QUEUE, cluster.url, settings=Settings(http_port=None), partitions=6)
        async with queue, operations_on(cluster.url) as operations:
            ids = list(await queue.add_bulk({"name": "n", "data": {}} for _ in range(60)))
            assert (await operations.queues.describe_one(QUEUE)).waiting == 60
            cluster.primaries[0].kill()

            async def is_noticed() -> bool:
                findings = (await operations.doctor.examine()).findings
                return any(each.name == "nodes" and each.level == "fail" for each in findings)

            await eventually(is_noticed, "the doctor notices it", 20)
            found = await operations.queues.overview()
            assert [each.name for each in found.queues] == [QUEUE]
            assert not found.complete, "others may be missing"
            assert 20 < found.queues[0].waiting < 60
            page = await operations.jobs.page(QUEUE, "wait", limit=60)
            assert {job.id for job in page.jobs} < set(ids)
            with pytest.raises(BrokerUnavailableError):
                await operations.queues.pause(QUEUE)


@pytest.mark.timeout(90)
async def test_after_a_change_of_their_number_operators_use_the_latest_and_those_that_are_left(
    site: Site, url: str
) -> None:
    settings = site.queue.settings
    async with JobQueue(QUEUE, settings=settings, partitions=6) as before:
        await before.add("n", {}, job_id="old")
    async with JobQueue(QUEUE, settings=settings, partitions=PARTITIONS) as now, operations_on(url) as operations:
        await now.add("n", {}, job_id="new")
        added = await operations.jobs.add(QUEUE, "n", {}, {})
        assert await now.result(added, timeout=10) == {}
        with pytest.raises(ConfigurationError, match="at least 10: it is divided among 10 partitions"):
            await operations.settings.set_concurrency(QUEUE, PARTITIONS)
        for old in partition_names(QUEUE, 6):
            await operations.settings.obliterate(old, force=True)
        await operations.settings.set_concurrency(QUEUE, PARTITIONS)
