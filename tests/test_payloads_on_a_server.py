"""Poison payloads are dead at once, whatever they are, and nobody else is slowed down."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from auth_worker import Job
from auth_worker.events import JobRetried
from workers import DEAD, QUEUE, Desk, collect, eventually

DEEP = b"[" * 100_000 + b"]" * 100_000
POISON: dict[str, dict[str, bytes]] = {
    "malformed JSON": {"data": b'{"broken": '},
    "a NaN": {"data": b'{"n": NaN}'},
    "invalid UTF-8": {"data": b'"\xff\xfe"'},
    "nested deep": {"data": DEEP},
    "a number of 5000 digits": {"data": b"1" * 5000},
    "more than the limit": {"data": b'"' + b"x" * 2_000_000 + b'"'},
    "options that are null": {"opts": b"null"},
    "options that are no JSON": {"opts": b"{,}"},
    "a junk counter of attempts": {"atm": b"x"},
    "a junk counter of starts": {"ats": b"x"},
    "a parent that is no JSON": {"parent": b"{", "parentKey": b"bull:x:1"},
}
HARMLESS: dict[str, dict[str, bytes]] = {
    "attempts written as text": {"opts": b'{"attempts": "2"}'},
    "attempts that are no number": {"opts": b'{"attempts": "many"}'},
    "retention that makes no sense": {"opts": b'{"removeOnComplete": "yes"}'},
    "absurd attempts": {"opts": b'{"attempts": 1e18}'},
    "negative attempts": {"opts": b'{"attempts": -1}'},
    "a junk time stamp": {"timestamp": b"yesterday"},
    "a junk priority": {"priority": b"x", "delay": b"y"},
    "a junk progress": {"progress": b"{"},
    "lone surrogates and NULs": {"data": rb'{"text": "\ud800 \u0000 \u2028"}'},
    "names of prototypes": {"data": b'{"__proto__": {"x": 1}, "constructor": 2}'},
}


async def add_raw(desk: Desk, fields: dict[str, bytes]) -> str:
    """A job whose stored fields are overwritten before any worker sees it."""
    await desk.redis.hset(f"bull:{QUEUE}:meta", "paused", "1")
    job_id = await desk.jobs.add("poison", {"fine": True})
    await desk.redis.hset(f"bull:{QUEUE}:{job_id}", mapping=fields)
    await desk.redis.hdel(f"bull:{QUEUE}:meta", "paused")
    return job_id


@pytest.mark.parametrize("kind", POISON)
async def test_poison_payload_is_dead_at_once(desk: Desk, kind: str) -> None:
    seen: list[str] = []

    async def consumer(job: Job) -> None:
        seen.append(job.name)

    fields = POISON[kind]
    job_id = await add_raw(desk, fields)
    await desk.jobs.add("innocent", {})
    await desk.processor(consumer, settings={"max_payload_bytes": 1_000_000})
    counts = await desk.settled(2)
    (letter,) = await desk.letters()
    assert seen == ["innocent"]
    assert (counts["completed"], counts["failed"]) == (1, 1)
    assert (letter["reasonClass"], letter["originalJobId"]) == ("invalid_payload", job_id)
    for field, value in fields.items():
        if field not in ("data", "opts"):
            continue
        kept = base64.b64decode(letter["raw"][field])
        assert kept == value[: 1024 * 1024]
        assert letter["rawTruncated"] == (kept != value)


@pytest.mark.parametrize("kind", HARMLESS)
async def test_what_is_odd_but_harmless_runs(desk: Desk, kind: str) -> None:
    seen: list[Any] = []

    async def consumer(job: Job) -> Any:
        seen.append(job.data)
        return job.data

    job_id = await add_raw(desk, HARMLESS[kind])
    await desk.processor(consumer)
    assert (await desk.settled(1))["completed"] == 1
    assert seen == [json.loads((await desk.job(job_id))["returnvalue"])]


@pytest.mark.parametrize("attempts", [b"1100", b'"1100"'])
async def test_as_many_attempts_are_made_as_the_producer_asked_for(desk: Desk, attempts: bytes) -> None:
    runs: list[int] = []

    async def consumer(job: Job) -> None:
        runs.append(job.attempt)
        raise ValueError

    await add_raw(desk, {"opts": b'{"attempts": %b}' % attempts})
    await desk.processor(consumer)
    await desk.settled(1)
    assert runs == list(range(1, 1101))


@pytest.mark.parametrize(
    "backoff",
    [
        {"type": "fixed", "delay": "soon"},
        {"type": "someday", "delay": 1},
        "often",
        [1],
        True,
    ],
)
async def test_a_backoff_that_makes_no_sense_is_replaced_by_the_workers_and_named(
    desk: Desk, backoff: Any
) -> None:
    async def consumer(job: Job) -> None:
        raise ValueError("the first failure")

    await add_raw(desk, {"opts": json.dumps({"attempts": 3, "backoff": backoff}).encode()})
    processor = await desk.processor(consumer, start=False)
    retried = collect(processor.runtime.bus, JobRetried)
    await processor.initialize()
    await desk.settled(1)
    (letter,) = await desk.letters()
    assert (letter["failedReason"], letter["attemptsMade"]) == ("the first failure", 3)
    assert [event.delay_ms for event in retried] == [10, 10]
    assert all("(retried after the worker's backoff: backoff" in event.reason for event in retried)


async def test_an_id_without_a_job_is_dropped(desk: Desk) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.name)

    await desk.redis.lpush(f"bull:{QUEUE}:wait", "ghost")
    await desk.jobs.add("real", {})
    processor = await desk.processor(consumer)
    await eventually(lambda: processor.get_metrics().completed == 1)
    await eventually(lambda: processor.active == 0)
    assert ran == ["real"]
    assert await desk.redis.keys("*ghost*") == []
    assert await desk.redis.keys(f"bull:{DEAD}:*") == []
    assert (await desk.counts())["active"] == 0


async def test_a_job_id_that_is_not_utf8_is_worked_all_the_same(desk: Desk) -> None:
    strange = b"id-\xff\xfe"
    await desk.redis.hset(
        b"bull:" + QUEUE.encode() + b":" + strange,
        mapping={"name": "n", "data": "{}", "opts": "{}", "timestamp": "1"},
    )
    await desk.redis.lpush(f"bull:{QUEUE}:wait", strange)
    await desk.processor(lambda job: None)
    assert (await desk.settled(1))["completed"] == 1
    assert await desk.redis.zrange(f"bull:{QUEUE}:completed", 0, -1) == [strange]
