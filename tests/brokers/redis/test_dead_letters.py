"""Dead letters: exactly one for each death, whoever the worker was, and a redrive gives exactly one job."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from auth_worker import ConfigurationError, Job, UnrecoverableError
from auth_worker.brokers.redis.dead_letters import DeadLetters
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.events import DeadLettersReconciled
from support.processors import DEAD, QUEUE, Harness, collect, eventually


@pytest.fixture
async def dead(harness: Harness) -> AsyncIterator[DeadLetters]:
    """The dead-letter queue, as an operator sees it."""
    link = Link(Address.of(harness.url), name="operator")
    await link.start(5)
    yield DeadLetters(link, "bull", DEAD)
    await link.stop()


async def failing(job: Job) -> None:
    raise UnrecoverableError("broken")


async def die(harness: Harness, count: int = 1) -> list[str]:
    """Let ``count`` jobs die."""
    processor = await harness.processor(failing)
    ids = await harness.jobs.add_bulk({"name": "n", "data": {"n": n}} for n in range(count))
    await harness.settled(count)
    await processor.close()
    return list(ids)


async def fail_elsewhere(harness: Harness, job_id: str, **damage: str) -> None:
    """Leave a failed job as an older worker, or Node's, would: nobody wrote a letter."""
    finished = int(time.time() * 1000)
    fields = {"name": "n", "data": "{}", "opts": "{}", "timestamp": "1", "atm": "3", "failedReason": "x"}
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={**fields, "finishedOn": finished, **damage})
    await harness.redis.zadd(f"bull:{QUEUE}:failed", {job_id: finished})


async def letters_of(dead: DeadLetters, offset: int = 0, limit: int = 50) -> list[DeadLetter]:
    """Return dead letters, the newest first."""
    letters = [await dead.read(letter_id) for letter_id in await dead.ids(offset, limit)]
    return [letter for letter in letters if letter is not None]


async def test_a_letter_lists_and_shows_its_death(harness: Harness, dead: DeadLetters) -> None:
    (job_id,) = await die(harness)
    (letter,) = await letters_of(dead)
    assert await dead.count() == 1
    assert letter == await dead.read(letter.id)
    assert letter.id.startswith(f"{QUEUE}@{job_id}@")
    assert letter.data["failedReason"] == "broken"
    assert (await harness.job(job_id))["dlq"] == letter.id
    assert await dead.read("nobody") is None


async def test_redriving_gives_one_job_with_fresh_attempts(harness: Harness, dead: DeadLetters) -> None:
    (job_id,) = await die(harness)
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "stc", 3)
    (letter,) = await letters_of(dead)
    results = await asyncio.gather(*(dead.redrive(letter.id) for _ in range(5)))
    assert sorted(results, key=str) == sorted([job_id, None, None, None, None], key=str)
    assert (await harness.counts())["wait"] == 1
    assert await dead.count() == 0
    assert not {"atm", "stc", "defa", "dlq", "failedReason"} & set(await harness.job(job_id))


async def test_a_second_death_after_a_redrive_is_a_second_letter(harness: Harness, dead: DeadLetters) -> None:
    (job_id,) = await die(harness)
    (first,) = await letters_of(dead)
    await dead.redrive(first.id)
    await harness.processor(failing)
    await eventually(dead.count)
    (second,) = await letters_of(dead)
    assert second.data["originalJobId"] == job_id
    assert second.id != first.id


async def test_a_job_that_retention_removed_is_added_anew_with_its_id(harness: Harness, dead: DeadLetters) -> None:
    await harness.processor(failing)
    await harness.jobs.add("gone", {"n": 7}, job_id="mail-7", attempts=4, remove_on_fail=True)
    await eventually(dead.count)
    assert await harness.job("mail-7") == {}
    (letter,) = await letters_of(dead)
    await harness.processors[0].close()
    assert await dead.redrive(letter.id) == "mail-7"
    stored = await harness.job("mail-7")
    assert json.loads(stored["data"]) == {"n": 7}
    assert json.loads(stored["opts"])["attempts"] == 4
    assert await dead.count() == 0


@pytest.mark.parametrize("removed", [True, False])
async def test_a_redriven_job_stays_in_its_trace(harness: Harness, dead: DeadLetters, removed: bool) -> None:
    processor = await harness.processor(failing)
    await harness.jobs.add("job", {}, job_id="mail-7", remove_on_fail=removed, telemetry_metadata="trace")
    await eventually(dead.count)
    await processor.close()
    (letter,) = await letters_of(dead)
    assert letter.data["traceContext"] == "trace"
    await dead.redrive(letter.id)
    assert json.loads((await harness.job("mail-7"))["opts"])["tm"] == "trace"


async def test_purge_keeps_the_newest_and_the_young(harness: Harness, dead: DeadLetters) -> None:
    await die(harness, 10)
    assert await dead.purge(keep=6) == 4
    assert await dead.purge(older_than=3600) == 0
    for letter in await letters_of(dead, 3, 3):
        await harness.redis.hset(f"bull:{DEAD}:{letter.id}", "timestamp", int((time.time() - 7200) * 1000))
    assert await dead.purge(older_than=3600) == 3
    assert await dead.count() == 3
    with pytest.raises(ConfigurationError, match="keep or older_than"):
        await dead.purge()


async def test_what_is_no_letter_is_not_redriven(harness: Harness, dead: DeadLetters) -> None:
    await harness.redis.hset(f"bull:{DEAD}:x", mapping={"name": "n", "data": "{}", "timestamp": "1"})
    with pytest.raises(ConfigurationError, match="not a dead letter"):
        await dead.redrive("x")


async def test_jobs_that_failed_elsewhere_get_their_letter(harness: Harness, dead: DeadLetters) -> None:
    for number, (field, value) in enumerate(
        [("failedReason", "boom"), ("failedReason", "job stalled more than allowable limit"), ("data", "{broken")]
    ):
        await fail_elsewhere(harness, f"old{number}", **{field: value})
    processor = await harness.processor(lambda job: None, start=False)
    told = collect(processor.runtime.bus, DeadLettersReconciled)
    await processor.initialize()
    await eventually(lambda: _count_is(dead, 3))
    classes = {letter["originalJobId"]: letter["reasonClass"] for letter in await harness.dead_letters()}
    assert classes == {"old0": "exhausted", "old1": "stalled", "old2": "invalid_payload"}
    assert await eventually(lambda: sum(event.added for event in told)) == 3


async def test_a_letter_that_was_dealt_with_does_not_come_back(harness: Harness, dead: DeadLetters) -> None:
    await die(harness, 3)
    assert await dead.purge(keep=0) == 3
    await fail_elsewhere(harness, "newer")
    await harness.redis.delete(f"bull:{QUEUE}:dead-letter-lease")
    await harness.processor(lambda job: None)
    await eventually(dead.count)
    assert [letter["originalJobId"] for letter in await harness.dead_letters()] == ["newer"]


async def test_the_number_of_letters_is_bounded(harness: Harness, dead: DeadLetters) -> None:
    await harness.processor(failing, settings={"dead_letter_max_count": 5})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(20))
    await harness.settled(20)
    await eventually(lambda: _count_is(dead, 5))


async def _count_is(dead: DeadLetters, count: int) -> bool:
    return await dead.count() == count


async def test_what_a_consumer_makes_of_its_data_does_not_reach_the_letter(harness: Harness) -> None:
    async def spoiling(job: Job) -> None:
        job.data["when"] = object()
        raise UnrecoverableError("broken")

    processor = await harness.processor(spoiling)
    job_id = await harness.jobs.add("n", {"a": 1})
    await harness.settled(1)
    await eventually(lambda: processor.active == 0)
    (letter,) = await harness.dead_letters()
    assert (letter["originalJobId"], letter["data"]) == (job_id, {"a": 1})


async def test_one_broken_entry_does_not_keep_the_others_from_their_letters(
    harness: Harness, dead: DeadLetters
) -> None:
    now = int(time.time() * 1000)
    fields = {"name": "n", "data": "{}", "opts": "{}", "timestamp": "1", "failedReason": "x"}
    await harness.redis.hset(f"bull:{QUEUE}:junk", mapping={**fields, "finishedOn": "garbage"})
    await harness.redis.set(f"bull:{QUEUE}:text", "no hash")
    await harness.redis.hset(f"bull:{QUEUE}:fine", mapping={**fields, "finishedOn": now})
    await harness.redis.zadd(f"bull:{QUEUE}:failed", {"junk": now - 2, "text": now - 1, "fine": now})
    await harness.processor(lambda job: None)
    await eventually(lambda: _count_is(dead, 1))
    assert [letter["originalJobId"] for letter in await harness.dead_letters()] == ["fine"]


async def test_purge_removes_dead_letters_alone(harness: Harness, dead: DeadLetters) -> None:
    """Jobs that others have added to the queue stay and do not count, whatever bytes their ids are."""
    wait, long_ago = f"bull:{DEAD}:wait", int((time.time() - 7200) * 1000)
    others = [b"oldest", b"\xff\xfe", b"newest"]
    for job_id in others:
        await harness.redis.hset(f"bull:{DEAD}:".encode() + job_id, mapping={"name": "n", "timestamp": long_ago})
    await harness.redis.lpush(wait, *others[:2])
    await die(harness, 4)
    await harness.redis.lpush(wait, others[2])
    newest = (await letters_of(dead))[0].id
    assert await dead.purge(keep=3) == 1
    assert await dead.purge(keep=3) == 0
    await harness.redis.hset(f"bull:{DEAD}:{newest}", "timestamp", long_ago)
    assert await dead.purge(older_than=3600) == 1
    assert await dead.purge(keep=0) == 2
    assert await harness.redis.lrange(wait, 0, -1) == others[::-1]
    assert await harness.redis.exists(*(f"bull:{DEAD}:".encode() + job_id for job_id in others)) == len(others)
