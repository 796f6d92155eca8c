"""What batches leave in Redis: what their calls leave when they are made one by one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bullmq import FlowProducer
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from auth_worker.brokers.redis.additions import Additions
from conformance.picture import take
from support.batching import ActiveJobs, make_all, next_of, scripted

KEEPS: tuple[dict[str, Any], ...] = (
    {},
    {"removeOnComplete": 2},
    {"removeOnComplete": 3},
    {"removeOnComplete": True},
    {"removeOnComplete": False},
    {"removeOnComplete": {"age": 3600}},
    {"removeOnComplete": {"age": 1, "count": 2}},
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with scripted(redis_url) as client:
        yield client


async def test_jobs_added_in_a_batch_are_those_added_one_by_one(redis: Redis) -> None:
    additions, pictures = Additions("bull", "mail"), []
    now = round(time.time() * 1000)
    for batched in (False, True):
        await redis.flushdb()
        for options in ({}, {"priority": 3}, {"lifo": True}, {"delay": 60_000}, {"delay": 5, "priority": 1}):
            frame = additions.frame(options)
            jobs = [
                (f"job {n}", b'{"n":%d}' % n, f"{options}-{n % 4}", now + n) for n in range(6)
            ]  # two ids twice
            answers = await make_all(redis, [frame.call(job) for job in jobs], batched=batched)
            assert answers == [job_id.encode() for _, _, job_id, _ in jobs]
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) > 12


@pytest.mark.parametrize("fetch", [True, False])
@pytest.mark.parametrize("keeps", [KEEPS, KEEPS[::-1], [KEEPS[1]] * 7, [*KEEPS[1:3], *KEEPS[1:3]]])
async def test_jobs_completed_in_a_batch_leave_what_they_leave_one_by_one(
    keeps: list[dict[str, Any]], fetch: bool, redis: Redis
) -> None:
    pictures, answers = [], []
    for batched in (False, True):
        await redis.flushdb()
        active = ActiveJobs(redis)
        ids = await active.take_up(len(keeps), len(keeps) - 1)  # so that the last one finds no next job
        calls = [active.completion(job_id, keep, fetch=fetch) for job_id, keep in zip(ids, keeps, strict=False)]
        answers.append([next_of(answer) for answer in await make_all(redis, calls, batched=batched)])
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert answers[0] == answers[1]
    assert answers[1][:-1] == ids[len(keeps) :] if fetch else [0] * (len(keeps) - 1)


@pytest.mark.parametrize("keep", [*KEEPS, {"removeOnComplete": 1}])
async def test_children_completed_in_a_batch_let_their_parents_go_on_as_one_by_one(
    keep: dict[str, Any], redis: Redis, redis_url: str
) -> None:
    """Also where the job to remove for its age or number is itself a child."""
    pictures = []
    for batched in (False, True):
        await redis.flushdb()
        active = ActiveJobs(redis)
        await add_families(redis_url)
        ids = [await active.fetch(f"token-{number}") for number in range(6)]
        calls = [active.completion(job_id, keep, f"token-{number}") for number, job_id in enumerate(ids)]
        await make_all(redis, calls, batched=batched)
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert len(pictures[1]["bull:parents:wait"]["value"]) == 3


async def add_families(url: str) -> None:
    """Three parents in one queue, with two children each in ours; the official producer adds them."""
    client = Redis.from_url(url, decode_responses=True)
    flows = FlowProducer({"connection": client})
    for family in range(3):
        children = [
            {"name": "mail", "queueName": "mail", "data": {}, "opts": {"jobId": f"child-{family}-{number}"}}
            for number in range(2)
        ]
        await flows.add(
            {"name": "sum", "queueName": "parents", "opts": {"jobId": f"parent-{family}"}, "children": children}
        )
    await client.aclose()


async def test_what_is_refused_or_breaks_off_in_a_batch_is_that_call_alone(redis: Redis) -> None:
    active = ActiveJobs(redis)
    ids = await active.take_up(5, 0)
    await redis.set("bull:mail:job-1:lock", "another")
    await redis.delete("bull:mail:job-2:lock")
    await redis.delete("bull:mail:job-3")
    await redis.lpush("bull:mail:job-3", "no hash")
    calls = [active.completion(job_id, {}, fetch=False) for job_id in ids]
    answers = await make_all(redis, calls, batched=True)
    assert answers[:3] == [0, -6, -2]
    assert isinstance(answers[3], ResponseError)
    assert str(answers[3]).startswith("WRONGTYPE ")
    assert answers[4] == 0
    assert await redis.zrange("bull:mail:completed", 0, -1) == [b"job-0", b"job-4"]


async def test_the_error_of_a_call_is_reported_with_its_code_and_whole(redis: Redis) -> None:
    """Of Redis, and of Lua, whose errors have no code."""
    active = ActiveJobs(redis)
    ids = await active.take_up(3, 0)
    await redis.hset("bull:mail:job-1", "parent", '{"id":}')
    calls = [active.completion(job_id, {}, fetch=False) for job_id in ids]
    answers = await make_all(redis, calls, batched=True)
    assert [answers[0], answers[2]] == [0, 0]
    assert str(answers[1]).startswith("ERR ") or "user_script" in str(answers[1])
    assert "Expected value but found T_OBJ_END at character 7" in str(answers[1])


async def test_what_a_refused_call_would_have_removed_is_removed_by_the_next(redis: Redis) -> None:
    active = ActiveJobs(redis)
    ids = await active.take_up(6, 0)
    await redis.set("bull:mail:job-4:lock", "another")
    calls = [active.completion(job_id, {"removeOnComplete": 1}, fetch=False) for job_id in ids]
    await make_all(redis, calls[:5], batched=True)
    await make_all(redis, calls[5:], batched=False)
    assert await redis.zrange("bull:mail:completed", 0, -1) == [b"job-5"]
    assert not await redis.exists(*(f"bull:mail:{job_id}" for job_id in ids[:4]))


async def test_a_rate_limited_queue_gives_no_job_to_a_batch(redis: Redis) -> None:
    active = ActiveJobs(redis)
    ids = await active.take_up(3, 3)
    await redis.set("bull:mail:limiter", 2**53 - 1, px=60_000)
    calls = [active.completion(job_id, {}) for job_id in ids[:3]]
    assert await make_all(redis, calls, batched=True) == [0, 0, 0]
    assert await redis.llen("bull:mail:wait") == 3
