"""Nested options of our producer: what Node knows is carried out, what nobody knows is refused by name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker import ConfigurationError, JobQueue
from auth_worker.core.job_options_dict import ParentDict
from auth_worker.errors import BrokerError
from interop.node_side import NodeError, NodeSide


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
async def jobs(redis_url: str, queue: str) -> AsyncIterator[JobQueue]:
    async with JobQueue(queue, redis_url) as jobs:
        yield jobs


async def picture(redis: Any, queue: str) -> dict[str, Any]:
    """What the queue has of parents and children."""
    found: dict[str, Any] = {}
    async for key in redis.scan_iter(f"bull:{queue}:*"):
        name = key.removeprefix(f"bull:{queue}:")
        kind = await redis.type(key)
        if kind == "set":
            found[name] = sorted(await redis.smembers(key))
        elif kind == "hash" and name.startswith(("child", "new", "old")):
            fields = await redis.hgetall(key)
            found[name] = {key: fields.get(key) for key in ("name", "data", "parent", "parentKey", "returnvalue")}
    text = repr(sorted(found.items()))
    return {"": re.sub(re.escape(queue), "QUEUE", text)}


@pytest.mark.parametrize("options", [{}, {"delay": 60_000}, {"priority": 3}])
@pytest.mark.parametrize("old", ["none", "there", "gone", "the same"])
@pytest.mark.parametrize("state", ["waiting", "completed"])
async def test_a_child_that_is_added_again_belongs_to_the_parent_that_node_gives_it(
    node: NodeSide, redis: Any, redis_url: str, queue: str, options: dict[str, Any], old: str, state: str
) -> None:
    pictures, refused = [], []
    for side in ("node", "ours"):
        name = f"{queue}-{side}"
        parent = {key: {"id": key, "queue": f"bull:{name}"} for key in ("old", "new")}
        first = {} if old == "none" else {"parent": parent["new" if old == "the same" else "old"]}
        for key in parent:
            await node.add(name, key, {}, jobId=key, delay=600_000)
        async with JobQueue(name, redis_url) as jobs:
            add: Any = partial(node.add, name) if side == "node" else jobs.add
            await add("child", {}, jobId="child", **first, **options)
            if state == "completed":
                for place in ("wait", "delayed", "prioritized"):
                    remove = "lrem" if place == "wait" else "zrem"
                    await getattr(redis, remove)(
                        f"bull:{name}:{place}", *([0] if place == "wait" else []), "child"
                    )
                await redis.hset(f"bull:{name}:child", "returnvalue", "7")
                await redis.zadd(f"bull:{name}:completed", {"child": 1})
            if old == "gone":
                await redis.delete(f"bull:{name}:old")
            try:
                await add("child", {}, jobId="child", parent=parent["new"], **options)
                refused.append(False)
            except (NodeError, BrokerError):
                refused.append(True)
        pictures.append(await picture(redis, name))
    assert pictures[0] == pictures[1]
    assert refused == [old == "there"] * 2


async def test_a_child_keeps_a_parent_that_is_gone_while_the_new_one_is_not_there(
    jobs: JobQueue, redis: Any, queue: str
) -> None:
    parent: ParentDict = {"id": "old", "queue": f"bull:{queue}"}
    await jobs.add("old", {}, job_id="old")
    await jobs.add("child", {}, job_id="child", parent=parent)
    await redis.delete(f"bull:{queue}:old")
    with pytest.raises(BrokerError, match="parent job does not exist"):
        await jobs.add("child", {}, job_id="child", parent={**parent, "id": "new"})
    assert await redis.hget(f"bull:{queue}:child", "parentKey") == f"bull:{queue}:old"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"deduplication": {"id": "a", "reschedule": True}}, "deduplication.reschedule: the scripts"),
        ({"deduplication": {"ttl": 5000}}, "deduplication.id: Field required"),
        ({"deduplication": {"id": ""}}, "deduplication.id"),
        ({"deduplication": {"id": "a", "ttl": -1}}, "deduplication.ttl"),
        ({"deduplication": {"id": "a", "ttll": 5}}, "deduplication.ttll is not known; did you mean ttl?"),
        ({"deduplication": {"id": "a", "keep_last": True}}, "did you mean keep_last_if_active?"),
        ({"deduplication": "a"}, "deduplication"),
        ({"deduplication": {"id": "a"}, "parent": {"id": "p", "queue": "bull:q"}}, "deduplication and parent"),
        ({"parent": {"id": "p"}}, "parent.queue: Field required"),
        ({"parent": {"id": "p", "queue": "bull:q", "queueKey": "x"}}, "parent.queueKey is not known"),
        ({"parent": {"id": 5, "queue": "bull:q"}}, "parent.id"),
        ({"backoff": {"type": "fixed", "dealy": 5}}, "backoff.dealy is not known; did you mean delay?"),
        ({"remove_on_fail": {"counts": 5}}, "remove_on_fail.counts is not known; did you mean count?"),
        ({"removeOnComplete": {"count": -2}}, "removeOnComplete.count"),
        ({"debounce": {"id": "a"}}, "debounce is not known"),
        ({"repeat": {"every": 5}}, "repeat is not known"),
    ],
)
async def test_a_nested_option_that_nobody_carries_out_is_refused_by_name(
    jobs: JobQueue, redis: Any, queue: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(complaint)) as refusal:
        await jobs.add("n", {}, **options)
    assert "constrained" not in str(refusal.value)
    assert not [key async for key in redis.scan_iter(f"bull:{queue}:[0-9a-f]*")]


@pytest.mark.parametrize(
    "deduplication",
    [
        {"id": "a"},
        {"id": "a", "ttl": 60_000, "reschedule": False},
        {"id": "a", "ttl": "60000", "extend": True, "replace": True},
        {"id": "a", "keepLastIfActive": True},
        {"id": "a", "keep_last_if_active": True, "ttl": None},
    ],
)
async def test_a_deduplication_that_node_knows_is_carried_out(jobs: JobQueue, deduplication: Any) -> None:
    first = await jobs.add("n", {}, deduplication=deduplication, delay=60_000)
    second = await jobs.add("n", {}, deduplication=deduplication, delay=60_000)
    assert (second == first) is not deduplication.get("replace", False)


@pytest.mark.parametrize("option", [{"job_id": "x"}, {"delay": 5}, {"jobId": "x"}])
async def test_an_option_that_a_scheduler_overrides_is_refused_by_name(
    jobs: JobQueue, option: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"(job_id|delay) is decided by the scheduler"):
        await jobs.upsert_job_scheduler("nightly", name="n", every=5000, **option)
