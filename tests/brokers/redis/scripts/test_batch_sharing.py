"""What the calls of a batch share: a queue's settings, events and delayed jobs; and what queues in one do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker.brokers.redis.additions import Additions
from auth_worker.brokers.redis.wire.call_types import Call
from conformance.picture import Picture, take
from support.batching import ActiveJobs, make, make_all, next_of, scripted

SETTINGS: tuple[dict[Any, Any], ...] = (
    {},
    {"paused": 1},
    {"concurrency": 3},
    {"concurrency": 2},
    {"max": 2, "duration": 60_000},
)
"""What a queue's meta may say."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with scripted(redis_url) as client:
        yield client


@pytest.mark.parametrize("settings", SETTINGS)
async def test_a_batch_heeds_the_settings_of_its_queue_as_its_calls_do_one_by_one(
    settings: dict[Any, Any], redis: Redis
) -> None:
    """Also where how many jobs are active, or were started of late, changes from call to call."""
    left: list[tuple[Picture, list[Any]]] = []
    for batched in (False, True):
        await redis.flushdb()
        active = ActiveJobs(redis)
        ids = await active.take_up(4, 5)
        if settings:
            await redis.hset("bull:mail:meta", mapping=settings)
        calls = [active.completion(job_id, {}) for job_id in ids[:4]]
        answers = [next_of(answer) for answer in await make_all(redis, calls, batched=batched)]
        frame = Additions("bull", "mail").frame({"priority": 2})
        added = [frame.call(("mail", b"{}", f"new-{number}", active.now)) for number in range(3)]
        answers += await make_all(redis, added, batched=batched)
        left.append((await take(redis), answers))
    assert left[0] == left[1]


async def test_delayed_jobs_that_are_due_are_promoted_once_by_a_batch(redis: Redis) -> None:
    left = []
    for batched in (False, True):
        await redis.flushdb()
        active = ActiveJobs(redis)
        ids = await active.take_up(4, 1)
        additions = Additions("bull", "mail")
        for number in range(3):
            _, command = additions.call(("mail", b"{}", f"due-{number}", active.now - 9), {"delay": 1 + number})
            await make(redis, command)
        calls = [active.completion(job_id, {}) for job_id in ids[:4]]
        answers = await make_all(redis, calls, batched=batched)
        assert [next_of(answer) for answer in answers] == ["job-4", "due-0", "due-1", "due-2"]
        left.append(await take(redis))
    assert left[0] == left[1]


async def test_delayed_jobs_that_become_due_between_the_calls_of_a_batch_are_promoted_by_the_later(
    redis: Redis,
) -> None:
    active = ActiveJobs(redis)
    ids = await active.take_up(3, 0)
    _, command = Additions("bull", "mail").call(("mail", b"{}", "due", active.now), {"delay": 2})
    await make(redis, command)
    calls = [
        active.completion(job_id, {}, at=active.now + later) for job_id, later in zip(ids, (0, 1, 2), strict=True)
    ]
    answers = await make_all(redis, calls, batched=True)
    assert [next_of(answer) for answer in answers] == ["none", "none", "due"]


async def test_what_a_batch_adds_to_the_events_is_trimmed_by_the_next_call(redis: Redis) -> None:
    left = []
    for batched in (False, True):
        await redis.flushdb()
        active = ActiveJobs(redis)
        ids = await active.take_up(4, 4)
        await redis.hset("bull:mail:meta", "opts.maxLenEvents", 0)
        calls = [active.completion(job_id, {}) for job_id in ids[:4]]
        await make_all(redis, calls[:3], batched=batched)
        await make_all(redis, calls[3:], batched=False)
        left.append(await take(redis))
    assert left[0] == left[1]
    assert len(left[0]["bull:mail:events"]["value"]) == 2


async def test_queues_that_share_a_batch_are_left_as_by_calls_one_by_one(redis: Redis) -> None:
    """Each with its settings, its old, delayed and next jobs; one is rate limited, and one wants no next job."""
    left = []
    for batched in (False, True):
        await redis.flushdb()
        calls: list[Call] = []
        for number, queue in enumerate(("mail", "sms", "push", "scan")):
            active = ActiveJobs(redis, queue)
            ids = await active.take_up(4, 2 + number)
            _, command = Additions("bull", queue).call(("mail", b"{}", "due", active.now - 9), {"delay": 1})
            await make(redis, command)
            await redis.delete(f"bull:{queue}:marker")
            keep = {"removeOnComplete": number + 1}
            calls += [active.completion(job_id, keep, fetch=queue != "push") for job_id in ids[:4]]
        await redis.hset("bull:mail:meta", mapping={"concurrency": 3, "opts.maxLenEvents": 1})
        await redis.hset("bull:scan:meta", "concurrency", 4)
        await redis.set("bull:sms:limiter", 2**53 - 1, px=60_000)
        mixed = [calls[place] for place in (0, 4, 12, 8, 5, 1, 13, 9, 10, 14, 2, 6, 3, 7, 11, 15)]
        answers = [next_of(answer) for answer in await make_all(redis, mixed, batched=batched)]
        left.append((await take(redis), answers))
    assert left[0] == left[1]
    assert [left[1][1][place] for place in (2, 6, 9, 15)] == ["job-4", "job-5", "job-6", "job-7"]
    assert left[1][0].keys() >= {"bull:mail:marker", "bull:scan:marker"}


async def test_a_broken_limiter_of_one_queue_is_no_matter_to_the_others_of_its_batch(redis: Redis) -> None:
    calls: list[Call] = []
    for queue in ("mail", "sms"):
        active = ActiveJobs(redis, queue)
        calls += [active.completion(job_id, {}) for job_id in (await active.take_up(2, 1))[:2]]
    await redis.lpush("bull:sms:limiter", "no number")
    answers = await make_all(redis, calls, batched=True)
    assert [next_of(answer) for answer in answers[:2]] == ["job-2", 0]
    assert [str(answer).partition(" ")[0] for answer in answers[2:]] == ["WRONGTYPE", "WRONGTYPE"]
    assert await redis.lrange("bull:sms:active", 0, -1) == [b"job-1", b"job-0"]


async def test_jobs_added_with_different_options_share_a_batch(redis: Redis) -> None:
    additions, pictures = Additions("bull", "mail"), []
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"lifo": True},
        {"attempts": 3, "backoff": {"type": "fixed", "delay": 1}},
        {"lifo": True},
    )
    for batched in (False, True):
        await redis.flushdb()
        calls = [
            additions.frame(options).call(("mail", b"{}", f"job-{number}", 1))
            for number, options in enumerate(kinds)
        ]
        answers = await make_all(redis, calls, batched=batched)
        assert answers == [b"job-0", b"job-1", b"job-2", b"job-3"]
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert pictures[1]["bull:mail:wait"]["value"] == ["job-2", "job-0", "job-1", "job-3"]
