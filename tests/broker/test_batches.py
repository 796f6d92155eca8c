"""Batches: calls that go out together are one command, and do what each of them would have done alone."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bullmq import FlowProducer
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from auth_worker.broker.additions import Additions, add_scripts
from auth_worker.broker.batches import BatchFrame, definitions_of
from auth_worker.broker.connection import Call
from auth_worker.broker.frames import FINISH, WorkerFrames, frame_scripts
from auth_worker.broker.scripts import Script, script
from auth_worker.config import WorkerConfig
from auth_worker.options import JobOptions
from conformance.picture import take
from wire import command_in

KEY, VALUE = "\0key\0", "\0value\0"
SOME = Script("some", "return 1", "f" * 40)
BATCHED = [FINISH, script("addStandardJob"), script("addPrioritizedJob")]
CONFIG = WorkerConfig()
KEEPS: tuple[dict[str, Any], ...] = (
    *({}, {"removeOnComplete": 2}, {"removeOnComplete": 3}, {"removeOnComplete": True}),
    *(
        {"removeOnComplete": False},
        {"removeOnComplete": {"age": 3600}},
        {"removeOnComplete": {"age": 1, "count": 2}},
    ),
)


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


@given(calls=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), min_size=2, max_size=9))
def test_a_batch_names_what_its_calls_share_once_and_then_the_values_of_each(
    calls: list[tuple[bytes, bytes]],
) -> None:
    frame = BatchFrame(SOME, ["meta", KEY], ["100%s %d", VALUE], [KEY, VALUE])
    name, sha, *words = command_in(frame.join(calls))
    assert (name, sha) == (b"EVALSHA", frame.batch_script.sha.encode())
    assert words[:3] == [b"2", b"meta", b"meta"], "a key of another slot, or of another's, would be refused"
    assert words[3:] == [b"100%s %d", b"", *(value for call in calls for value in call)]


def test_a_call_that_goes_out_alone_is_the_scripts_own_call() -> None:
    frame = BatchFrame(SOME, ["meta", KEY], [VALUE], [KEY, VALUE])
    assert frame.join([(b"a", b"b")]) == frame.fill(b"a", b"b")


@pytest.mark.parametrize("one", BATCHED, ids=lambda one: one.name)
def test_what_a_batch_defines_once_uses_nothing_that_changes_from_call_to_call(one: Script) -> None:
    """Functions use their own variables and each other, but none that the script sets before it runs."""
    functions = [definition for definition in definitions_of(one.text) if "function" in definition]
    rest = one.text
    for function in functions:
        rest = rest.replace(function, "", 1)
    of_the_call = names(r"^local ([\w, ]+)", rest, re.MULTILINE) - {"rcall"} | {"KEYS", "ARGV"}
    assert len(functions) > 10
    assert of_the_call > {"KEYS", "ARGV"}
    for function in functions:
        code = re.sub(r"--\[\[.*?\]\]|--[^\n]*|\"[^\"]*\"|'[^']*'", "", function, flags=re.DOTALL)
        own = names(r"function [\w.]*\(([^)]*)\)|local (?!function)([\w, ]+)|for ([\w, ]+)", code)
        used = names(r"(?<![.:\w])([A-Za-z_]\w*)", code)
        assert not used & of_the_call - own, function.partition("\n")[0]


def names(pattern: str, text: str, flags: int = 0) -> set[str]:
    """The names in what ``pattern`` captures."""
    found = (" ".join(match.groups(default="")) for match in re.finditer(pattern, text, flags))
    return set(re.findall(r"\w+", " ".join(found)))


async def test_jobs_added_in_a_batch_are_those_added_one_by_one(redis: Redis) -> None:
    additions, pictures = Additions("bull", "mail"), []
    now = round(time.time() * 1000)
    for batched in (False, True):
        await redis.flushdb()
        for options in ({}, {"priority": 3}, {"lifo": True}):
            frame = additions.frame(options)
            jobs = [(f"job {n}", f'{{"n":{n}}}', f"{options}-{n % 4}", now + n) for n in range(6)]  # two ids twice
            answers = await make_all(redis, [frame.call(job) for job in jobs], batched=batched)
            assert answers == [job_id.encode() for _, _, job_id, _ in jobs]
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) > 12


class Bench:
    """Jobs of one queue that are active, each with a token of its own."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.frames = WorkerFrames("bull", "mail", CONFIG, "worker")
        self.now = round(time.time() * 1000)

    async def take_up(self, active: int, waiting: int) -> list[str]:
        """Add so many and fetch the first; returns their ids."""
        frame = Additions("bull", "mail").frame({})
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

    def completion(self, job_id: str, keep: dict[str, Any], token: str = "") -> Any:
        """The values that complete a job; its token is its id if nothing else is said."""
        options = self.frames.finish_options(JobOptions(keep, CONFIG), token or job_id, "completed")
        return b"bull:mail:" + job_id.encode(), job_id.encode(), b"%d" % self.now, b"null", options


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
        calls = [bench.completion(job_id, keep) for job_id, keep in zip(ids, keeps, strict=False)]
        frame = bench.frames.complete[fetch]
        if batched:
            answers.append(await make(redis, frame.join(calls)))
        else:
            answers.append([await make(redis, frame.join([call])) for call in calls])
        pictures.append(await take(redis))
    assert pictures[0] == pictures[1]
    assert [_next(answer) for answer in answers[0]] == [_next(answer) for answer in answers[1]]
    assert [_next(answer) for answer in answers[1][:-1]] == ids[len(keeps) :] if fetch else [0] * (len(keeps) - 1)


def _next(answer: Any) -> Any:
    """The id of the job that was fetched along, or the code."""
    return answer[1].decode() if isinstance(answer, list) else answer


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
        frame = bench.frames.complete[True]
        for group in [calls] if batched else [[call] for call in calls]:
            await make(redis, frame.join(group))
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
    answers = await make(
        redis, bench.frames.complete[False].join([bench.completion(job_id, {}) for job_id in ids])
    )
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
    calls = [bench.completion(job_id, {}) for job_id in ids]
    answers = await make(redis, bench.frames.complete[False].join(calls))
    assert [answers[0], answers[2]] == [0, 0]
    assert str(answers[1]).startswith("ERR ") or "user_script" in str(answers[1])
    assert "Expected value but found T_OBJ_END at character 7" in str(answers[1])


async def test_what_a_refused_call_would_have_removed_is_removed_by_the_next(redis: Redis) -> None:
    bench = Bench(redis)
    ids = await bench.take_up(6, 0)
    await redis.set("bull:mail:job-4:lock", "another")
    frame, keep = bench.frames.complete[False], {"removeOnComplete": 1}
    await make(redis, frame.join([bench.completion(job_id, keep) for job_id in ids[:5]]))
    await make(redis, frame.join([bench.completion(ids[5], keep)]))
    assert await redis.zrange("bull:mail:completed", 0, -1) == [b"job-5"]
    assert not await redis.exists(*(f"bull:mail:{job_id}" for job_id in ids[:4]))


def test_a_script_that_is_laid_out_otherwise_is_refused_when_it_is_loaded() -> None:
    text = "local function f() return 1 end\nlocal function g()\n  return 2\nend\nreturn f()\n"
    with pytest.raises(AssertionError, match="not laid out as expected"):
        definitions_of(text)


async def test_a_resting_queue_gives_no_job_to_a_batch(redis: Redis) -> None:
    bench = Bench(redis)
    ids = await bench.take_up(3, 3)
    await redis.set("bull:mail:limiter", 2**53 - 1, px=60_000)
    calls = [bench.completion(job_id, {}) for job_id in ids[:3]]
    assert await make(redis, bench.frames.complete[True].join(calls)) == [0, 0, 0]
    assert await redis.llen("bull:mail:wait") == 3
