"""Poison payloads are dead at once, whatever they are, and nobody else is slowed down."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from auth_worker import Job
from auth_worker.events import JobRetried
from support.processors import DEAD, QUEUE, Harness, collect, eventually

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


async def add_raw(harness: Harness, fields: dict[str, bytes]) -> str:
    """A job whose stored fields are overwritten before any worker sees it."""
    await harness.redis.hset(f"bull:{QUEUE}:meta", "paused", "1")
    job_id = await harness.jobs.add("poison", {"fine": True})
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping=fields)
    await harness.redis.hdel(f"bull:{QUEUE}:meta", "paused")
    return job_id


@pytest.mark.parametrize("kind", POISON)
async def test_poison_payload_is_dead_at_once(harness: Harness, kind: str) -> None:
    seen: list[str] = []

    async def consumer(job: Job) -> None:
        seen.append(job.name)

    fields = POISON[kind]
    job_id = await add_raw(harness, fields)
    await harness.jobs.add("innocent", {})
    await harness.processor(consumer, settings={"max_payload_bytes": 1_000_000})
    counts = await harness.settled(2)
    (letter,) = await harness.dead_letters()
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
async def test_what_is_odd_but_harmless_runs(harness: Harness, kind: str) -> None:
    seen: list[Any] = []

    async def consumer(job: Job) -> Any:
        seen.append(job.data)
        return job.data

    job_id = await add_raw(harness, HARMLESS[kind])
    await harness.processor(consumer)
    assert (await harness.settled(1))["completed"] == 1
    assert seen == [json.loads((await harness.job(job_id))["returnvalue"])]


@pytest.mark.parametrize("attempts", [b"1100", b'"1100"'])
async def test_as_many_attempts_are_made_as_the_producer_asked_for(harness: Harness, attempts: bytes) -> None:
    runs: list[int] = []

    async def consumer(job: Job) -> None:
        runs.append(job.attempt)
        raise ValueError

    await add_raw(harness, {"opts": b'{"attempts": %b}' % attempts})
    await harness.processor(consumer)
    await harness.settled(1)
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
    harness: Harness, backoff: Any
) -> None:
    async def consumer(job: Job) -> None:
        raise ValueError("the first failure")

    await add_raw(harness, {"opts": json.dumps({"attempts": 3, "backoff": backoff}).encode()})
    processor = await harness.processor(consumer, start=False)
    retried = collect(processor.runtime.bus, JobRetried)
    await processor.initialize()
    await harness.settled(1)
    (letter,) = await harness.dead_letters()
    assert (letter["failedReason"], letter["attemptsMade"]) == ("the first failure", 3)
    assert [event.delay_ms for event in retried] == [10, 10]
    assert all("(retried after the worker's backoff: backoff" in event.reason for event in retried)


async def test_an_id_without_a_job_is_dropped(harness: Harness) -> None:
    ran: list[str] = []

    async def consumer(job: Job) -> None:
        ran.append(job.name)

    await harness.redis.lpush(f"bull:{QUEUE}:wait", "ghost")
    await harness.jobs.add("real", {})
    processor = await harness.processor(consumer)
    await eventually(lambda: processor.get_metrics().completed == 1)
    await eventually(lambda: processor.active == 0)
    assert ran == ["real"]
    assert await harness.redis.keys("*ghost*") == []
    assert await harness.redis.keys(f"bull:{DEAD}:*") == []
    assert (await harness.counts())["active"] == 0


async def test_a_job_id_that_is_not_utf8_is_worked_all_the_same(harness: Harness) -> None:
    strange = b"id-\xff\xfe"
    await harness.redis.hset(
        b"bull:" + QUEUE.encode() + b":" + strange,
        mapping={"name": "n", "data": "{}", "opts": "{}", "timestamp": "1"},
    )
    await harness.redis.lpush(f"bull:{QUEUE}:wait", strange)
    await harness.processor(lambda job: None)
    assert (await harness.settled(1))["completed"] == 1
    assert await harness.redis.zrange(f"bull:{QUEUE}:completed", 0, -1) == [strange]
