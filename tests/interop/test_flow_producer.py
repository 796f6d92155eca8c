"""Flows that we add leave in Redis what Node's ``FlowProducer`` leaves, and run in a Node worker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker.config import Settings
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.flow import AddedFlow, Flow, FlowProducer, FlowTree
from auth_worker.queue import JobQueue
from conformance.picture import differences, take
from interop.node_side import NodeSide
from support.servers import free_port

Tree = Mapping[str, Any]


def node(name: str, queue: str, *children: Tree, data: Any = None, **opts: Any) -> Tree:
    """A flow as Node takes it."""
    given = {} if data is None else {"data": data}
    return {"name": name, "queueName": queue, **given, "opts": opts, "children": list(children)}


def ours(tree: Tree) -> Flow:
    """The same flow as we take it."""
    return Flow(
        tree["name"],
        tree.get("data"),
        queue=tree["queueName"],
        children=[ours(child) for child in tree["children"]],
        **tree["opts"],
    )


def flow(queue: str, *children: Flow, **options: Any) -> Flow:
    return Flow("parent", queue=queue, children=children, **options)


TREES: dict[str, list[Tree]] = {
    "a_job_alone": [node("a", "work", data={"n": 1}, jobId="a")],
    "children_of_two_queues": [
        node("p", "work", node("c", "kids", jobId="c"), node("d", "other", data=[1], jobId="d"), jobId="p")
    ],
    **{
        option: [node("p", "work", node("c", "kids", jobId="c", **{option: True}), jobId="p")]
        for option in (
            "failParentOnFailure",
            "ignoreDependencyOnFailure",
            "removeDependencyOnFailure",
            "continueParentOnFailure",
        )
    },
    "four_generations": [
        node(
            "a",
            "work",
            node(
                "b",
                "kids",
                node("c", "work", node("d", "kids", jobId="d", failParentOnFailure=True), jobId="c"),
                jobId="b",
                failParentOnFailure=True,
            ),
            jobId="a",
        )
    ],
    "all_sorts_of_jobs": [
        node(
            "p",
            "work",
            node("later", "kids", jobId="later", delay=60_000),
            node("ranked", "kids", jobId="ranked", priority=3),
            node("first", "kids", jobId="first", lifo=True),
            node(
                "tried",
                "kids",
                jobId="tried",
                attempts=5,
                backoff={"type": "exponential", "delay": 10},
                keepLogs=3,
            ),
            node("kept", "kids", jobId="kept", removeOnComplete={"count": 3}, removeOnFail=True),
            jobId="p",
            priority=2,
            delay=1000,
        )
    ],
    "a_deduplicated_job_alone": [node("p", "work", jobId=f"p{n}", deduplication={"id": "x"}) for n in "ab"],
    "added_twice": [node("p", "work", node("c", "kids", jobId="c"), jobId="p")] * 2,
    "a_child_that_is_there": [
        node("c", "kids", jobId="c"),
        node("p", "work", node("c", "kids", jobId="c"), jobId="p"),
    ],
    "a_child_of_a_job_that_is_there": [
        node("top", "work", jobId="top"),
        node("p", "work", node("c", "kids", jobId="c"), jobId="p", parent={"id": "top", "queue": "bull:work"}),
    ],
}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def flows(redis_url: str) -> AsyncIterator[FlowProducer]:
    async with FlowProducer(redis_url, settings=Settings(http_port=None)) as producer:
        yield producer


@pytest.mark.parametrize("name", TREES)
async def test_both_producers_leave_the_same(name: str, node: NodeSide, flows: FlowProducer, redis: Any) -> None:
    for tree in TREES[name]:
        await node.flow(tree)
    theirs = await take(redis)
    await redis.flushdb()
    for tree in TREES[name]:
        await flows.add(ours(tree))
    found = [each for each in differences(theirs, await take(redis)) if not _is_meant(each)]
    assert found == []


def _is_meant(difference: tuple[str, Any, Any]) -> bool:
    """The version that Node notes with a queue's first job."""
    return difference[0].endswith(":meta value version")


async def test_a_flow_is_added_whole_and_read_back(flows: FlowProducer) -> None:
    added = await flows.add(
        flow("work", Flow("a", {"n": 1}, queue="kids"), flow("kids", Flow("deep", queue="other"), job_id="mid"))
    )
    assert added.job.created
    assert [child.queue_name for child in added.children] == ["kids", "kids"]
    tree = await flows.get("work", added.job)
    assert tree is not None
    assert (tree.job.name, tree.job.state, tree.children_count) == ("parent", "waiting-children", 2)
    assert shape(tree) == {"parent": [{"a": []}, {"parent": [{"deep": []}]}]}
    shallow = await flows.get("work", added.job, depth=1)
    assert shallow is not None
    assert (shallow.children, shallow.children_count) == ((), 2)
    assert await flows.get("work", "nobody") is None
    [child] = [each for each in tree.children if each.job.name == "a"]
    assert (child.job.data, child.job.parent, child.job.queue_name) == ({"n": 1}, f"bull:work:{added.job}", "kids")


def shape(tree: FlowTree) -> dict[str, Any]:
    return {tree.job.name: sorted((shape(child) for child in tree.children), key=repr)}


async def test_a_bulk_is_added_whole_or_not_at_all(flows: FlowProducer, redis: Any) -> None:
    added = await flows.add_bulk(
        flow("work", Flow("c", queue="kids"), job_id=job_id) for job_id in ("a", "b", "a")
    )
    assert [each.job for each in added] == ["a", "b", "a"]
    assert [each.job.created for each in added] == [True, True, False]
    assert await redis.llen("bull:kids:wait") == 3
    assert await flows.add_bulk([]) == []
    await redis.flushdb()
    with pytest.raises(ConfigurationError, match=r"^flows\[1\]\.children\[1\]: data of job 'c' is not JSON"):
        await flows.add_bulk(
            [flow("work"), flow("work", Flow("c", queue="kids"), Flow("c", {1, 2}, queue="kids"))]
        )
    assert await redis.keys("*") == []


@pytest.mark.parametrize(
    ("children", "message"),
    [
        ([Flow("c", queue="kids", attempts=-1)], r"^flows\[0\]\.children\[0\]: job options: attempts"),
        ([Flow("", queue="kids")], "name must be a text"),
        ([Flow("c", queue="")], "queue"),
        ([Flow("\ud800", queue="kids")], "cannot be written as UTF-8"),
        ([Flow("c", queue="kids", parent={"id": "a", "queue": "bull:b"})], "leave parent out"),
        (
            [flow("kids", Flow("d", queue="kids"), deduplication={"id": "x"})],
            "with children cannot have deduplication",
        ),
        (
            [Flow("c", queue="kids", fail_parent_on_failure=True, ignore_dependency_on_failure=True)],
            "cannot be used together",
        ),
    ],
)
async def test_a_wrong_job_is_named(children: list[Flow], message: str, flows: FlowProducer, redis: Any) -> None:
    with pytest.raises(ConfigurationError, match=message):
        await flows.add(flow("work", *children))
    assert await redis.keys("*") == []


async def test_without_its_parent_nothing_is_added(flows: FlowProducer, redis: Any) -> None:
    with pytest.raises(BrokerError, match="its parent job does not exist"):
        await flows.add(
            flow("work", Flow("c", queue="kids"), job_id="p", parent={"id": "nobody", "queue": "bull:work"})
        )
    assert await redis.llen("bull:kids:wait") == 0
    assert not await redis.exists("bull:work:p")


async def test_a_job_that_would_wait_for_itself_is_not_added(flows: FlowProducer, redis: Any) -> None:
    again = Flow("c", queue="work", job_id="again")
    for below, place in (
        (again, "flows[0].children[0]"),
        (flow("kids", again), "flows[0].children[0].children[0]"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(f"{place}: its job_id is that of a job above it")):
            await flows.add(flow("work", below, job_id="again"))
    turned = flow("kids", Flow("c", queue="work", job_id="a"), job_id="b")
    with pytest.raises(ConfigurationError, match="above it"):
        await flows.add_bulk([flow("work", Flow("c", queue="kids", job_id="b"), job_id="a"), turned])
    assert not await redis.keys()
    await flows.add(flow("work", Flow("c", queue="kids", job_id="again"), job_id="again"))


async def test_with_a_child_of_another_parent_nothing_is_added(flows: FlowProducer, redis: Any) -> None:
    child = Flow("c", queue="kids", job_id="c")
    await flows.add(flow("work", child, job_id="first"))
    before = sorted(await redis.keys())
    with pytest.raises(BrokerError, match=r"children\[1\]: nothing was added: .* another parent"):
        await flows.add(flow("work", Flow("d", queue="kids"), child, job_id="second"))
    with pytest.raises(ConfigurationError, match="another parent"):
        await flows.add_bulk([flow("work", Flow("e", queue="kids", job_id="e")) for _ in range(2)])
    assert sorted(await redis.keys()) == before
    await flows.add(flow("work", child, job_id="first"))
    await redis.delete("bull:work:first")
    await flows.add(flow("work", child, job_id="second"))
    assert await redis.smembers("bull:work:second:dependencies") == {b"bull:kids:c"}


async def test_scripts_that_redis_has_forgotten_do_not_split_a_flow(flows: FlowProducer, redis: Any) -> None:
    await flows.add(flow("work", Flow("c", queue="kids")))
    await redis.script_flush()
    added: AddedFlow = await flows.add(flow("work", *(Flow("c", queue="kids") for _ in range(3))))
    assert await redis.scard(f"bull:work:{added.job}:dependencies") == 3


async def test_a_flow_waits_for_the_connection(flows: FlowProducer, redis: Any) -> None:
    await flows.add(flow("work"))
    [client] = [each for each in await redis.client_list() if "producer" in each["name"]]
    await asyncio.gather(
        redis.client_kill_filter(_id=client["id"]), flows.add(flow("work", Flow("c", queue="kids")))
    )
    assert await redis.zcard("bull:work:waiting-children") == 1


async def test_it_gives_up_after_its_time_out() -> None:
    producer = FlowProducer(f"redis://127.0.0.1:{free_port()}", settings=Settings(http_port=None), timeout=0.2)
    with pytest.raises(BrokerUnavailableError):
        await producer.add(flow("work"))


async def test_a_node_worker_runs_our_flow(
    node: NodeSide, queue: str, flows: FlowProducer, redis_url: str
) -> None:
    added = await flows.add(flow(queue, Flow("c", queue=f"{queue}-kids"), Flow("c", queue=f"{queue}-kids")))
    await node.start_worker(f"{queue}-kids")
    await node.start_worker(queue)
    await node.until_counts(queue, completed=1)
    tree = await flows.get(queue, added.job)
    assert tree is not None
    assert [tree.job.state, *(child.job.state for child in tree.children)] == ["completed"] * 3
    async with JobQueue(queue, redis_url) as jobs:
        assert not (await jobs.add("again", {}, job_id=added.job)).created
