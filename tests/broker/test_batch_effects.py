"""What batches leave in Redis: what their calls leave when they are made one by one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bullmq import FlowProducer
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from auth_worker.broker.additions import Additions, add_scripts
from auth_worker.broker.connection import Call
from auth_worker.broker.frames import WorkerFrames, frame_scripts
from auth_worker.config import WorkerConfig
from auth_worker.options import JobOptions
from conformance.picture import Picture, take
from wire import command_in

CONFIG = WorkerConfig()
KEEPS: tuple[dict[str, Any], ...] = (
    {},
    {"removeOnComplete": 2},
    {"removeOnComplete": 3},
    {"removeOnComplete": True},
    {"removeOnComplete": False},
    {"removeOnComplete": {"age": 3600}},
    {"removeOnComplete": {"age": 1, "count": 2}},
)
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
    async with Redis.from_url(redis_url) as client:
        for each in {*frame_scripts(), *add_scripts()}:
            await client.script_load(each.text)
        yield client


async def make(redis: Redis, command: bytes) -> Any:
    """What Redis answers to a command in wire format; an error as itself."""
    try:
        return await redis.execute_command(*command_in(command))  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return error


async def make_all(redis: Redis, calls: list[Call], *, batched: bool) -> list[Any]:
    """What Redis answers to calls of one kind, made in a batch or one by one."""
    kind = calls[0][0]
    assert kind is not None
    if batched:
        answers: list[Any] = await make(redis, kind.join([content for _, content in calls]))
        return answers
    return [await make(redis, kind.join([content])) for _, content in calls]


class Bench:
    """Jobs of one queue that are active, each with a token of its own."""

    def __init__(self, redis: Redis, queue: str = "mail") -> None:
        self.redis = redis
        self.queue = queue
        self.frames = WorkerFrames("bull", queue, CONFIG, "worker")
        self.now = round(time.time() * 1000)

    async def take_up(self, active: int, waiting: int) -> list[str]:
        """Add so many and fetch the first; returns their ids."""
        frame = Additions("bull", self.queue).frame({})
        ids = [f"job-{number}" for number in range(active + waiting)]
        calls = [frame.call(("mail", "{}", job_id, self.now)) for job_id in ids]
        await make_all(self.redis, calls, batched=True)
        for job_id in ids[:active]:
            assert await self.fetch(job_id) == job_id
        return ids

    async def fetch(self, token: str) -> str:
        """Fetch the next job and lock it with ``token``; returns its id."""
        options = self.frames.fetch_options(token)
        answer = await make(self.redis, self.frames.fetch.fill(b"%d" % self.now, options))
        return str(answer[1].decode())

    def completion(
        self, job_id: str, keep: dict[str, Any], token: str = "", *, fetch: bool = True, at: int = 0
    ) -> Call:
        """The call that completes a job; its token is its id, and its time now, if nothing else is said."""
        options = self.frames.finish_options(JobOptions(keep, CONFIG), token or job_id, "completed")
        key = f"bull:{self.queue}:{job_id}".encode()
        frame = self.frames.complete[fetch]
        return frame.batch, (frame, (key, job_id.encode(), b"%d" % (at or self.now), b"null", options))


def next_of(answer: Any) -> Any:
    """The id of the job that was fetched along, the code, or why there is none: the queue rests, or nothing."""
    match answer:
        case [0, _, rest, _]:
            return "rests" if rest else "none"
        case [_, job_id, *_]:
            return job_id.decode()
    return answer


async def test_jobs_added_in_a_batch_are_those_added_one_by_one(redis: Redis) -> None:
    additions, pictures = Additions("bull", "mail"), []
    now = round(time.time() * 1000)
    for batched in (False, True):
        await redis.flushdb()
        for options in ({}, {"priority": 3}, {"lifo": True}, {"delay": 60_000}, {"delay": 5, "priority": 1}):
            frame = additions.frame(options)
            jobs = [(f"job {n}", f'{{"n":{n}}}', f"{options}-{n % 4}", now + n) for n in range(6)]  # two ids twice
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
        bench = Bench(redis)
        ids = await bench.take_up(len(keeps), len(keeps) - 1)  # so that the last one finds no next job
        calls = [bench.completion(job_id, keep, fetch=fetch) for job_id, keep in zip(ids, keeps, strict=False)]
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
        bench = Bench(redis)
        await add_families(redis_url)
        ids = [await bench.fetch(f"token-{number}") for number in range(6)]
        calls = [bench.completion(job_id, keep, f"token-{number}") for number, job_id in enumerate(ids)]
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
    bench = Bench(redis)
    ids = await bench.take_up(5, 0)
    await redis.set("bull:mail:job-1:lock", "another")
    await redis.delete("bull:mail:job-2:lock")
    await redis.delete("bull:mail:job-3")
    await redis.lpush("bull:mail:job-3", "no hash")
    calls = [bench.completion(job_id, {}, fetch=False) for job_id in ids]
    answers = await make_all(redis, calls, batched=True)
    assert answers[:3] == [0, -6, -2]
    assert isinstance(answers[3], ResponseError)
    assert str(answers[3]).startswith("WRONGTYPE ")
    assert answers[4] == 0
    assert await redis.zrange("bull:mail:completed", 0, -1) == [b"job-0", b"job-4"]


async def test_the_error_of_a_call_is_told_with_its_code_and_whole(redis: Redis) -> None:
    """Of Redis, and of Lua, whose errors have no code."""
    bench = Bench(redis)
    ids = await bench.take_up(3, 0)
    await redis.hset("bull:mail:job-1", "parent", '{"id":}')
    calls = [bench.completion(job_id, {}, fetch=False) for job_id in ids]
    answers = await make_all(redis, calls, batched=True)
    assert [answers[0], answers[2]] == [0, 0]
    assert str(answers[1]).startswith("ERR ") or "user_script" in str(answers[1])
    assert "Expected value but found T_OBJ_END at character 7" in str(answers[1])


async def test_what_a_refused_call_would_have_removed_is_removed_by_the_next(redis: Redis) -> None:
    bench = Bench(redis)
    ids = await bench.take_up(6, 0)
    await redis.set("bull:mail:job-4:lock", "another")
    calls = [bench.completion(job_id, {"removeOnComplete": 1}, fetch=False) for job_id in ids]
    await make_all(redis, calls[:5], batched=True)
    await make_all(redis, calls[5:], batched=False)
    assert await redis.zrange("bull:mail:completed", 0, -1) == [b"job-5"]
    assert not await redis.exists(*(f"bull:mail:{job_id}" for job_id in ids[:4]))


async def test_a_resting_queue_gives_no_job_to_a_batch(redis: Redis) -> None:
    bench = Bench(redis)
    ids = await bench.take_up(3, 3)
    await redis.set("bull:mail:limiter", 2**53 - 1, px=60_000)
    calls = [bench.completion(job_id, {}) for job_id in ids[:3]]
    assert await make_all(redis, calls, batched=True) == [0, 0, 0]
    assert await redis.llen("bull:mail:wait") == 3


@pytest.mark.parametrize("settings", SETTINGS)
async def test_a_batch_heeds_the_settings_of_its_queue_as_its_calls_do_one_by_one(
    settings: dict[Any, Any], redis: Redis
) -> None:
    """Also where how many jobs are active, or were started of late, changes from call to call."""
    left: list[tuple[Picture, list[Any]]] = []
    for batched in (False, True):
        await redis.flushdb()
        bench = Bench(redis)
        ids = await bench.take_up(4, 5)
        if settings:
            await redis.hset("bull:mail:meta", mapping=settings)
        calls = [bench.completion(job_id, {}) for job_id in ids[:4]]
        answers = [next_of(answer) for answer in await make_all(redis, calls, batched=batched)]
        frame = Additions("bull", "mail").frame({"priority": 2})
        added = [frame.call(("mail", "{}", f"new-{number}", bench.now)) for number in range(3)]
        answers += await make_all(redis, added, batched=batched)
        left.append((await take(redis), answers))
    assert left[0] == left[1]


async def test_delayed_jobs_that_are_due_are_promoted_once_by_a_batch(redis: Redis) -> None:
    left = []
    for batched in (False, True):
        await redis.flushdb()
        bench = Bench(redis)
        ids = await bench.take_up(4, 1)
        additions = Additions("bull", "mail")
        for number in range(3):
            _, command = additions.call(("mail", "{}", f"due-{number}", bench.now - 9), {"delay": 1 + number})
            await make(redis, command)
        calls = [bench.completion(job_id, {}) for job_id in ids[:4]]
        answers = await make_all(redis, calls, batched=batched)
        assert [next_of(answer) for answer in answers] == ["job-4", "due-0", "due-1", "due-2"]
        left.append(await take(redis))
    assert left[0] == left[1]


async def test_delayed_jobs_that_become_due_between_the_calls_of_a_batch_are_promoted_by_the_later(
    redis: Redis,
) -> None:
    bench = Bench(redis)
    ids = await bench.take_up(3, 0)
    _, command = Additions("bull", "mail").call(("mail", "{}", "due", bench.now), {"delay": 2})
    await make(redis, command)
    calls = [
        bench.completion(job_id, {}, at=bench.now + later) for job_id, later in zip(ids, (0, 1, 2), strict=True)
    ]
    answers = await make_all(redis, calls, batched=True)
    assert [next_of(answer) for answer in answers] == ["none", "none", "due"]


async def test_what_a_batch_adds_to_the_events_is_trimmed_by_the_next_call(redis: Redis) -> None:
    left = []
    for batched in (False, True):
        await redis.flushdb()
        bench = Bench(redis)
        ids = await bench.take_up(4, 4)
        await redis.hset("bull:mail:meta", "opts.maxLenEvents", 0)
        calls = [bench.completion(job_id, {}) for job_id in ids[:4]]
        await make_all(redis, calls[:3], batched=batched)
        await make_all(redis, calls[3:], batched=False)
        left.append(await take(redis))
    assert left[0] == left[1]
    assert len(left[0]["bull:mail:events"]["value"]) == 2


async def test_queues_that_share_a_batch_are_left_as_by_calls_one_by_one(redis: Redis) -> None:
    """Each with its settings, its old, delayed and next jobs; one rests, and one wants no next job."""
    left = []
    for batched in (False, True):
        await redis.flushdb()
        calls: list[Call] = []
        for number, queue in enumerate(("mail", "sms", "push", "scan")):
            bench = Bench(redis, queue)
            ids = await bench.take_up(4, 2 + number)
            _, command = Additions("bull", queue).call(("mail", "{}", "due", bench.now - 9), {"delay": 1})
            await make(redis, command)
            await redis.delete(f"bull:{queue}:marker")
            keep = {"removeOnComplete": number + 1}
            calls += [bench.completion(job_id, keep, fetch=queue != "push") for job_id in ids[:4]]
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
        bench = Bench(redis, queue)
        calls += [bench.completion(job_id, {}) for job_id in (await bench.take_up(2, 1))[:2]]
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
            additions.frame(options).call(("mail", "{}", f"job-{number}", 1))
            for number, options in enumerate(kinds)
        ]
        answers = await make_all(redis, calls, batched=batched)
        assert answers == [b"job-0", b"job-1", b"job-2", b"job-3"]
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert pictures[1]["bull:mail:wait"]["value"] == ["job-2", "job-0", "job-1", "job-3"]
