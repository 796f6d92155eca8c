"""Queues, prefixes and ids as Node takes them: worked, shown, dead-lettered and redriven here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auth_worker import JobQueue, Settings, WorkerService
from auth_worker.core.names import check_job_id, check_queue_name
from auth_worker.errors import ConfigurationError
from interop.node_side import NodeError, NodeSide
from support.command_line import run_program
from support.failing_consumer import Failing
from support.http_requests import Api, asked
from support.operators import operations_on

TOKEN = "the token of the operator"
IDS = [
    "-1wQ_x",
    "--",
    "a b",
    "a:b:c",
    "é/#+,?",
    "名前 🚀",
    "*",
    "[x]\\",
    "007",
    "%2F",
    "..",
    "x" * 700,
    "{tag}",
    "$(id)",
]
PLACES = [
    ("app:jobs", "mail"),
    ("bull", "mail/in #1 + 2, 3"),
    ("bull", "-mail"),
    ("[b*?]\\", "почта 🚀"),
    ("my prefix", "a%2Fb"),
    ("{app:x}", "q"),
    ("bull", 'a"b\\c'),
]
OF_NODE_ALONE = ["a\nb", "a\0b", "\x1b[2J", "\x9b", "wait\t"]
"""Ids that our producer refuses, and Node does not."""


def parsed(metrics: str) -> set[str]:
    """The values of the label ``queue``."""
    families = text_string_to_metric_families(metrics)
    return {sample.labels["queue"] for family in families for sample in family.samples if "queue" in sample.labels}


@pytest.mark.parametrize(("prefix", "queue"), PLACES)
async def test_names_that_node_allows_are_worked_shown_dead_lettered_and_redriven(
    node: NodeSide, redis_url: str, tmp_path: Path, prefix: str, queue: str
) -> None:
    dead = f"{queue} dead"
    await node.open_queue(queue, prefix=prefix)
    ids = [*IDS, *OF_NODE_ALONE]
    for job_id in ids:
        assert await node.add(queue, "n", {}, jobId=job_id) == job_id
    consumer = Failing()
    settings = Settings(prefix=prefix, http_port=0, http_token=TOKEN, name="pod-7", log_level="ERROR")
    service = WorkerService(redis_url, settings=settings)
    service.register_processor(queue_name=queue, processor=consumer, dead_letter_queue_name=dead)
    async with service:
        await node.until_counts(queue, failed=len(ids))
        api = Api(service.http_port, TOKEN)
        shown = {each["name"]: each for each in (await api.get("/queues")).json["queues"]}
        assert shown.keys() == {queue, dead}
        assert shown[queue]["workers"] == 1
        for job_id in ids:
            found = await api.get(f"/queues/{quote(queue, safe='')}/jobs/{quote(job_id, safe='')}")
            assert (found.status, found.json["id"], found.json["state"]) == (200, job_id, "failed")
        letters = (await api.get(f"/dead-letters/{quote(dead, safe='')}", limit=100)).json["letters"]
        assert sorted(letter["jobId"] for letter in letters) == sorted(ids)
        for letter in letters:
            path = f"/dead-letters/{quote(dead, safe='')}/{quote(letter['id'], safe='')}/redrive"
            assert (await api.post(path)).json["jobId"] == letter["jobId"]
        await node.until_counts(queue, completed=len(ids))
        shown_labels = parsed((await asked(service.http_port, "/metrics", Authorization=f"Bearer {TOKEN}")).text)
        assert queue in shown_labels
    assert dict(consumer.runs) == dict.fromkeys(ids, 2)
    for job_id in (IDS[0], IDS[5], OF_NODE_ALONE[2]):
        done = await asyncio.to_thread(
            run_program, tmp_path, "job", "--json", "--", queue, job_id, redis_url=redis_url, prefix=prefix
        )
        assert json.loads(done.stdout)["id"] == job_id, done.stderr


@pytest.mark.parametrize(("prefix", "queue"), PLACES)
async def test_what_we_add_under_such_a_name_is_nodes_too(
    node: NodeSide, redis_url: str, prefix: str, queue: str
) -> None:
    async with JobQueue(queue, redis_url, settings=Settings(prefix=prefix, http_port=None)) as jobs:
        assert [await jobs.add("n", {}, job_id=job_id) for job_id in IDS] == IDS
    await node.open_queue(queue, prefix=prefix)
    await node.start_worker(queue, prefix=prefix)
    assert sorted(run["id"] for run in await node.runs(queue, len(IDS))) == sorted(IDS)


@pytest.mark.parametrize("job_id", ["0", "17", "-5", "a:b", "a:b:c:d", "1:x"])
async def test_an_id_that_node_refuses_is_refused(node: NodeSide, queue: str, job_id: str) -> None:
    with pytest.raises(NodeError):
        await node.add(queue, "n", {}, jobId=job_id)
    with pytest.raises(ConfigurationError):
        check_job_id(job_id)


@pytest.mark.parametrize("name", ["", "a:b"])
async def test_a_queue_name_that_node_refuses_is_refused(node: NodeSide, name: str) -> None:
    with pytest.raises(NodeError):
        await node.open_queue(name)
    with pytest.raises(ConfigurationError):
        check_queue_name("name", name)


async def test_a_prefix_finds_its_own_queues_alone(node: NodeSide, redis_url: str) -> None:
    for prefix, queue in (("a", "one"), ("a:b", "two"), ("a*", "three"), ("ab", "four")):
        await node.open_queue(queue, prefix=prefix)
        await node.add(queue, "n", {})
    for prefix, queue in (("a", "one"), ("a:b", "two"), ("a*", "three")):
        async with operations_on(redis_url, prefix) as operations:
            assert [each.name for each in (await operations.queues.overview()).queues] == [queue]


async def test_a_name_with_a_dash_is_explained(tmp_path: Path, redis_url: str) -> None:
    done = await asyncio.to_thread(run_program, tmp_path, "job", "mail", "-1wQ", redis_url=redis_url)
    assert done.returncode == 2
    assert "--" in done.stderr
    assert "begins with" in " ".join(done.stderr.split())
