"""Odd names of queues and prefixes in a Redis Cluster: added, worked, listed, dead-lettered and redriven."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from auth_worker import ConfigurationError, JobQueue, Settings, WorkerService
from auth_worker.admin.bulk_records import BulkOperation
from auth_worker.admin.operations import Operations
from auth_worker.core.alert_settings import AlertSettings
from auth_worker.core.job_options import Parent
from support.clusters import Cluster
from support.command_line import run_program
from support.failing_consumer import Failing
from support.operators import operations_on
from support.processors import eventually

IDS = ["-1wQ_x", "a b", "a:b:c", "名前 🚀", "*", "[x]\\", "{tag}", "}{", "x" * 200]
PLACES = [
    ("{app:jobs}", "mail", "mail dead"),
    ("app:{jobs}:eu", "почта 🚀", "почта dead"),
    ("{a b}", "[q]*?\\", "[q]*?\\ dead"),
    ("{{x}", "a}b", "a}b dead"),
    ("{é}{b}", "{c}", "{d}"),
    ("bull", "{mail in}#1", "{mail in}dead"),
    ("app:jobs", "x{*}y", "z{*}"),
    ("[b*?]\\", "{_}}{t}", "{_} dead"),
]
"""Prefix, queue and dead-letter queue; the hash tag is in the prefix, or in both names."""
REFUSED = [
    ("bull", "mail", "dead"),
    ("{}bull", "mail", "dead"),
    ("{}", "{mail}", "{mail}dead"),
    ("bull}", "mail{", "mail{}"),
    ("bull", "{a}mail", "{b}dead"),
    ("app:jobs", "{a}mail", "dead"),
]
"""Their keys have no hash tag, as Redis finds it, or not the same."""


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three primaries."""
    async with Cluster(3, replicated=False) as cluster:
        yield cluster


async def counts(operations: Operations, queue: str) -> Mapping[str, int]:
    """How many jobs there are in each state."""
    (found,) = await operations.queues.describe([queue])
    return found.counts


async def lives(cluster: Cluster, prefix: str, queue: str, dead: str) -> None:
    """Jobs of such names are added, die, are listed, redriven, and run."""
    settings = Settings(http_port=None, log_level="ERROR", prefix=prefix)
    consumer = Failing()
    service = WorkerService(cluster.url, settings=settings)
    service.register_processor(queue_name=queue, processor=consumer, dead_letter_queue_name=dead)
    async with (
        service,
        JobQueue(queue, cluster.url, settings=settings) as jobs,
        operations_on(cluster.url, prefix) as operations,
    ):
        assert await jobs.add_bulk({"name": "n", "data": {}, "opts": {"job_id": one}} for one in IDS) == IDS

        async def all_failed() -> bool:
            return (await counts(operations, queue))["failed"] == len(IDS)

        await eventually(all_failed, f"the jobs of {prefix}:{queue} die", 20)
        assert {one.name for one in (await operations.queues.overview()).queues} == {queue, dead}
        assert await operations.dead.queues() == {dead: len(IDS)}
        page = await operations.dead.page(dead)
        assert {letter.job_id for letter in page.letters} == set(IDS)
        assert {letter.queue for letter in page.letters} == {queue}
        for job_id in IDS:
            assert (await operations.jobs.show(queue, job_id)).state == "failed"
        for letter in page.letters:
            assert await operations.dead.redrive(dead, letter.id) == letter.job_id
        await operations.audit_log.flush()
        assert (await operations.audit_log.page(0, 1)).total == len(IDS)
        await records_are_kept(operations)

        async def all_completed() -> bool:
            return (await counts(operations, queue))["completed"] == len(IDS)

        await eventually(all_completed, f"the jobs of {prefix}:{queue} are redriven", 20)
    assert dict(consumer.runs) == dict.fromkeys(IDS, 2)


async def records_are_kept(operations: Operations) -> None:
    """What belongs to all queues together is kept under the hash tag that they share."""
    begun = BulkOperation(
        id="0" * 32,
        action="drain",
        queue=None,
        who="ada",
        dry_run=False,
        state="running",
        started_at=1,
        updated_at=1,
    )
    await operations.bulk.begin(begun, "{}")
    assert [each.state for each in await operations.bulk.newest()] == ["running"]
    await operations.bulk.ask_to_stop(begun.id, "alan")
    assert await operations.bulk.beat(begun.id) == "alan"
    assert await operations.alerts.elect("one")
    await operations.alerts.evaluate(AlertSettings(dead_letters=0), [], "one")
    assert (await operations.alerts.state()).thresholds == {"dead_letters": 0}
    await operations.history.mark_version("1.0")
    assert [each.version for each in await operations.history.versions()] == ["1.0"]


async def test_odd_names_are_added_worked_listed_dead_lettered_and_redriven(
    cluster: Cluster, tmp_path: Path
) -> None:
    for place in PLACES:
        await lives(cluster, *place)
    prefix, queue, _ = PLACES[1]
    shown = await asyncio.to_thread(
        run_program, tmp_path, "queues", "--json", redis_url=cluster.url, prefix=prefix
    )
    assert queue in {json.loads(line)["name"] for line in shown.stdout.splitlines()}, shown.stderr
    prefix, queue, dead = PLACES[6]
    for arguments in (("jobs", "--json", "--", queue), ("dead", "list", "--json", "--queue", dead)):
        done = await asyncio.to_thread(run_program, tmp_path, *arguments, redis_url=cluster.url, prefix=prefix)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("prefix", "queue", "dead"), REFUSED)
def test_names_without_a_common_hash_tag_are_refused(prefix: str, queue: str, dead: str) -> None:
    service = WorkerService("redis+cluster://127.0.0.1:7000", settings=Settings(http_port=None, prefix=prefix))
    with pytest.raises(ConfigurationError, match="hash tag"):
        service.register_processor(queue_name=queue, processor=Failing(), dead_letter_queue_name=dead)


async def test_a_wrong_prefix_names_the_nearest_of_its_hash_tag(cluster: Cluster) -> None:
    settings = Settings(http_port=None, log_level="ERROR", prefix="app:{jobs}:eu")
    async with JobQueue("mail", cluster.url, settings=settings) as jobs:
        await jobs.add("n", {})
    async with operations_on(cluster.url, "app:{jobs}:us") as operations:
        with pytest.raises(Exception, match=r"there are under app:\{jobs\}:eu; did you mean app:\{jobs\}:eu\?"):
            await operations.queues.check_prefix()


async def test_a_job_whose_parent_is_in_another_slot_is_refused_and_nothing_of_it_is_added(
    cluster: Cluster,
) -> None:
    settings = Settings(redis_url=cluster.url, http_port=None)
    async with JobQueue("{a}mail", settings=settings) as parents, JobQueue("{b}mail", settings=settings) as others:
        parent = Parent(id=await parents.add("parent", job_id="p"), queue="bull:{a}mail")
        with pytest.raises(ConfigurationError, match=r"parent: its queue 'bull:\{a\}mail' is in another slot"):
            await others.add("child", job_id="c", parent=parent)
        assert await others.get("c") is None
        assert await parents.add("child", job_id="c", parent=parent) == "c"
