"""Dead letters: exactly one for each death, whoever the worker was, and a redrive gives exactly one job."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from auth_worker import ConfigurationError, Job, UnrecoverableError
from auth_worker.broker.address import Address
from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.link import Link
from auth_worker.events import DeadLettersReconciled
from workers import DEAD, QUEUE, Desk, collect, eventually


@pytest.fixture
async def dead(desk: Desk) -> AsyncIterator[DeadLetters]:
    """The dead-letter queue, as an operator sees it."""
    link = Link(Address.of(desk.url), name="operator")
    await link.start(5)
    yield DeadLetters(link, "bull", DEAD)
    await link.stop()


async def failing(job: Job) -> None:
    raise UnrecoverableError("broken")


async def die(desk: Desk, count: int = 1) -> list[str]:
    """Let ``count`` jobs die."""
    processor = await desk.processor(failing)
    ids = await desk.jobs.add_bulk({"name": "n", "data": {"n": n}} for n in range(count))
    await desk.settled(count)
    await processor.close()
    return ids


async def fail_elsewhere(desk: Desk, job_id: str, **damage: str) -> None:
    """Leave a failed job as an older worker, or Node's, would: nobody wrote a letter."""
    finished = int(time.time() * 1000)
    fields = {"name": "n", "data": "{}", "opts": "{}", "timestamp": "1", "atm": "3", "failedReason": "x"}
    await desk.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={**fields, "finishedOn": finished, **damage})
    await desk.redis.zadd(f"bull:{QUEUE}:failed", {job_id: finished})


async def test_a_letter_lists_and_shows_its_death(desk: Desk, dead: DeadLetters) -> None:
    (job_id,) = await die(desk)
    (letter,) = await dead.page()
    assert await dead.count() == 1
    assert letter == await dead.show(letter.id)
    assert letter.id.startswith(f"{QUEUE}@{job_id}@")
    assert letter.data["failedReason"] == "broken"
    assert (await desk.job(job_id))["dlq"] == letter.id
    assert await dead.show("nobody") is None


async def test_redriving_gives_one_job_with_fresh_attempts(desk: Desk, dead: DeadLetters) -> None:
    (job_id,) = await die(desk)
    await desk.redis.hset(f"bull:{QUEUE}:{job_id}", "stc", 3)
    (letter,) = await dead.page()
    results = await asyncio.gather(*(dead.redrive(letter.id) for _ in range(5)))
    assert sorted(results, key=str) == sorted([job_id, None, None, None, None], key=str)
    assert (await desk.counts())["wait"] == 1
    assert await dead.count() == 0
    assert not {"atm", "stc", "defa", "dlq", "failedReason"} & set(await desk.job(job_id))


async def test_a_second_death_after_a_redrive_is_a_second_letter(desk: Desk, dead: DeadLetters) -> None:
    (job_id,) = await die(desk)
    (first,) = await dead.page()
    await dead.redrive(first.id)
    await desk.processor(failing)
    await eventually(dead.count)
    (second,) = await dead.page()
    assert second.data["originalJobId"] == job_id
    assert second.id != first.id


async def test_a_job_that_retention_removed_is_added_anew_with_its_id(desk: Desk, dead: DeadLetters) -> None:
    await desk.processor(failing)
    await desk.jobs.add("gone", {"n": 7}, job_id="mail-7", attempts=4, remove_on_fail=True)
    await eventually(dead.count)
    assert await desk.job("mail-7") == {}
    (letter,) = await dead.page()
    await desk.processors[0].close()
    assert await dead.redrive(letter.id) == "mail-7"
    stored = await desk.job("mail-7")
    assert json.loads(stored["data"]) == {"n": 7}
    assert json.loads(stored["opts"])["attempts"] == 4
    assert await dead.count() == 0


@pytest.mark.parametrize("removed", [True, False])
async def test_a_redriven_job_stays_in_its_trace(desk: Desk, dead: DeadLetters, removed: bool) -> None:
    processor = await desk.processor(failing)
    await desk.jobs.add("job", {}, job_id="mail-7", remove_on_fail=removed, telemetry_metadata="trace")
    await eventually(dead.count)
    await processor.close()
    (letter,) = await dead.page()
    assert letter.data["traceContext"] == "trace"
    await dead.redrive(letter.id)
    assert json.loads((await desk.job("mail-7"))["opts"])["tm"] == "trace"


async def test_purge_keeps_the_newest_and_the_young(desk: Desk, dead: DeadLetters) -> None:
    await die(desk, 10)
    assert await dead.purge(keep=6) == 4
    assert await dead.purge(older_than=3600) == 0
    for letter in await dead.page(3, 3):
        await desk.redis.hset(f"bull:{DEAD}:{letter.id}", "timestamp", int((time.time() - 7200) * 1000))
    assert await dead.purge(older_than=3600) == 3
    assert await dead.count() == 3
    with pytest.raises(ConfigurationError, match="keep or older_than"):
        await dead.purge()


async def test_what_is_no_letter_is_not_redriven(desk: Desk, dead: DeadLetters) -> None:
    await desk.redis.hset(f"bull:{DEAD}:x", mapping={"name": "n", "data": "{}", "timestamp": "1"})
    with pytest.raises(ConfigurationError, match="no dead letter"):
        await dead.redrive("x")


async def test_jobs_that_failed_elsewhere_get_their_letter(desk: Desk, dead: DeadLetters) -> None:
    for number, (field, value) in enumerate(
        [("failedReason", "boom"), ("failedReason", "job stalled more than allowable limit"), ("data", "{broken")]
    ):
        await fail_elsewhere(desk, f"old{number}", **{field: value})
    processor = await desk.processor(lambda job: None)
    told = collect(processor.runtime.bus, DeadLettersReconciled)
    await eventually(lambda: _count_is(dead, 3))
    classes = {letter["originalJobId"]: letter["reasonClass"] for letter in await desk.letters()}
    assert classes == {"old0": "exhausted", "old1": "stalled", "old2": "invalid_payload"}
    assert await eventually(lambda: sum(event.added for event in told)) == 3


async def test_a_letter_that_was_dealt_with_does_not_come_back(desk: Desk, dead: DeadLetters) -> None:
    await die(desk, 3)
    assert await dead.purge(keep=0) == 3
    await fail_elsewhere(desk, "newer")
    await desk.redis.delete(f"bull:{QUEUE}:dead-letter-lease")
    await desk.processor(lambda job: None)
    await eventually(dead.count)
    assert [letter["originalJobId"] for letter in await desk.letters()] == ["newer"]


async def test_the_number_of_letters_is_bounded(desk: Desk, dead: DeadLetters) -> None:
    await desk.processor(failing, settings={"dead_letter_max_count": 5})
    await desk.jobs.add_bulk({"name": "n", "data": {}} for _ in range(20))
    await desk.settled(20)
    await eventually(lambda: _count_is(dead, 5))


async def _count_is(dead: DeadLetters, count: int) -> bool:
    return await dead.count() == count


async def test_what_a_consumer_makes_of_its_data_does_not_reach_the_letter(desk: Desk) -> None:
    async def spoiling(job: Job) -> None:
        job.data["when"] = object()
        raise UnrecoverableError("broken")

    processor = await desk.processor(spoiling)
    job_id = await desk.jobs.add("n", {"a": 1})
    await desk.settled(1)
    await eventually(lambda: processor.active == 0)
    (letter,) = await desk.letters()
    assert (letter["originalJobId"], letter["data"]) == (job_id, {"a": 1})


async def test_one_broken_entry_does_not_keep_the_others_from_their_letters(desk: Desk, dead: DeadLetters) -> None:
    now = int(time.time() * 1000)
    fields = {"name": "n", "data": "{}", "opts": "{}", "timestamp": "1", "failedReason": "x"}
    await desk.redis.hset(f"bull:{QUEUE}:junk", mapping={**fields, "finishedOn": "garbage"})
    await desk.redis.set(f"bull:{QUEUE}:text", "no hash")
    await desk.redis.hset(f"bull:{QUEUE}:fine", mapping={**fields, "finishedOn": now})
    await desk.redis.zadd(f"bull:{QUEUE}:failed", {"junk": now - 2, "text": now - 1, "fine": now})
    await desk.processor(lambda job: None)
    await eventually(lambda: _count_is(dead, 1))
    assert [letter["originalJobId"] for letter in await desk.letters()] == ["fine"]
