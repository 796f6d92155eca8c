"""Dead letters as an operator handles them: many at a time, told step by step, and nothing shown unasked."""

from __future__ import annotations

import time

import pytest

from auth_worker import ConfigurationError, Job, UnrecoverableError
from auth_worker.admin.audit_log import os_user
from auth_worker.admin.bulk import finish
from auth_worker.admin.dead_letter_queries import MOST_NOTES
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import DeadLetterFilter
from auth_worker.brokers.redis.dead_letters import DeadLetters
from support.processors import DEAD, QUEUE, Harness

SECRET = "token=9f86d081884c7d659a2feaa0c55ad015"


async def failing(job: Job) -> None:
    raise UnrecoverableError(f"refused {job.name} with {SECRET}")


async def die(harness: Harness, count: int, name: str = "n") -> list[str]:
    """Let ``count`` jobs die."""
    before = sum((await harness.counts()).values())
    processor = await harness.processor(failing)
    ids = await harness.jobs.add_bulk({"name": name, "data": {"to": "ada@example.org"}} for _ in range(count))
    await harness.settled(before + count)
    await processor.close()
    return list(ids)


async def test_dead_letter_queues_are_found_by_their_letters(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {})
    assert await operations.dead.queues() == {}
    await die(harness, 3)
    assert await operations.dead.queues() == {DEAD: 4}
    assert await operations.dead.origins(DEAD) == {QUEUE: 4}


async def test_a_page_shows_the_newest_first_and_no_secret(harness: Harness, operations: Operations) -> None:
    first = (await die(harness, 1))[0]
    await die(harness, 4)
    page = await operations.dead.page(DEAD, limit=3)
    assert (page.total, page.scanned, page.next_offset, len(page.letters)) == (5, 3, 3, 3)
    rest = await operations.dead.page(DEAD, offset=3, limit=3)
    assert rest.next_offset is None
    assert [letter.job_id for letter in rest.letters][-1] == first
    assert rest.letters[0].queue == QUEUE
    assert rest.letters[0].reason_class == "unrecoverable"
    assert "token=***" in rest.letters[0].failed_reason
    assert SECRET not in page.model_dump_json() + rest.model_dump_json()


async def test_a_letter_shows_all_when_asked(harness: Harness, operations: Operations) -> None:
    await die(harness, 1)
    (row,) = (await operations.dead.page(DEAD)).letters
    hidden = await operations.dead.show(DEAD, row.id)
    assert hidden.data == {"to": "<text of 15>"}
    assert SECRET not in hidden.model_dump_json()
    shown = await operations.dead.show(DEAD, row.id, reveal=True)
    assert shown.data == {"to": "ada@example.org"}
    assert SECRET in shown.failed_reason
    assert shown.stacktrace
    assert await operations.dead.find(row.id) == DEAD
    with pytest.raises(NotFoundError, match="no dead letter"):
        await operations.dead.show(DEAD, "nobody")
    with pytest.raises(NotFoundError, match="no dead letter"):
        await operations.dead.find("nobody")


async def test_a_filter_leaves_the_others_out(harness: Harness, operations: Operations) -> None:
    await die(harness, 2, "mail")
    (chosen,) = await die(harness, 1, "text")
    by_text = await operations.dead.page(DEAD, DeadLetterFilter(text="REFUSED TEXT"))
    assert [letter.job_id for letter in by_text.letters] == [chosen]
    assert by_text.scanned == 3
    for wanted, count in (
        (DeadLetterFilter(queue=QUEUE), 3),
        (DeadLetterFilter(queue="other"), 0),
        (DeadLetterFilter(job_id=chosen), 1),
        (DeadLetterFilter(reason_class="unrecoverable"), 3),
        (DeadLetterFilter(reason_class="stalled"), 0),
        (DeadLetterFilter(older_than=3600), 0),
        (DeadLetterFilter(newer_than=3600), 3),
        (DeadLetterFilter(newer_than=3600, older_than=1800), 0),
        (DeadLetterFilter(), 3),
    ):
        assert len(await operations.dead.select(DEAD, wanted)) == count, wanted
    assert len(await operations.dead.select(DEAD, limit=2)) == 2


async def test_one_is_redriven(harness: Harness, operations: Operations, changes: list[Change]) -> None:
    (job_id,) = await die(harness, 1)
    (letter_id,) = await operations.dead.select(DEAD)
    assert await operations.dead.redrive(DEAD, letter_id) == job_id
    assert (await harness.counts())["wait"] == 1
    with pytest.raises(NotFoundError):
        await operations.dead.redrive(DEAD, letter_id)
    assert changes == [Change(action="redrive", queue=DEAD, target=letter_id)]


async def test_a_job_that_cannot_run_is_skipped_and_named(harness: Harness, operations: Operations) -> None:
    await die(harness, 2)
    await harness.redis.hset(
        f"bull:{DEAD}:odd@one@1700000000000", mapping={"name": "n", "data": "{}", "timestamp": 1}
    )
    await harness.redis.rpush(f"bull:{DEAD}:wait", "odd@one@1700000000000")
    await harness.redis.hset(f"bull:{DEAD}:broken@one@1700000000000", mapping={"data": "{", "timestamp": "x"})
    await harness.redis.rpush(f"bull:{DEAD}:wait", "broken@one@1700000000000")
    last = await finish(operations.dead.redrive_many(DEAD, await operations.dead.select(DEAD)))
    assert (last.done, last.skipped, last.total) == (2, 2, 4)
    assert "broken@one@1700000000000: it cannot be read" in last.problems[0]
    assert "not a dead letter" in last.problems[1]
    assert [letter.name for letter in (await operations.dead.page(DEAD)).letters] == ["n", "unreadable"]
    assert (await operations.dead.show(DEAD, "broken@one@1700000000000")).failed_at == 0
    with pytest.raises(RefusedError, match="not a dead letter"):
        await operations.dead.redrive(DEAD, "odd@one@1700000000000")


async def test_a_rate_is_kept(harness: Harness, operations: Operations) -> None:
    await die(harness, 10)
    began = time.monotonic()
    last = await finish(operations.dead.redrive_many(DEAD, await operations.dead.select(DEAD), rate=20))
    assert last.done == 10
    assert time.monotonic() - began > 0.35


async def test_a_bulk_operation_can_be_stopped(
    harness: Harness, operations: Operations, changes: list[Change]
) -> None:
    await die(harness, 60)
    steps = operations.dead.redrive_many(DEAD, await operations.dead.select(DEAD))
    async for step in steps:
        if step.done:
            break
    await steps.aclose()
    left = await harness.redis.llen(f"bull:{DEAD}:wait")
    assert 0 < left < 60
    assert changes[-1].count == 60 - left


async def test_purging_leaves_the_jobs(harness: Harness, operations: Operations, changes: list[Change]) -> None:
    await die(harness, 5)
    chosen = (await operations.dead.select(DEAD))[:3]
    last = await finish(operations.dead.purge(DEAD, chosen))
    assert (last.done, last.total) == (3, 3)
    assert (await operations.dead.page(DEAD)).total == 2
    assert (await harness.counts())["failed"] == 5
    assert changes == [Change(action="purge", queue=DEAD, target="3 dead letters", count=3)]


async def test_a_job_of_a_work_queue_is_no_letter_and_stays(harness: Harness, operations: Operations) -> None:
    """Whoever names the queue a letter came from, and not that which holds it, must not lose that queue's jobs."""
    ids = await harness.jobs.add_bulk({"name": "n", "data": {}, "opts": {"job_id": f"kept-{n}"}} for n in range(3))
    for wanted in (DeadLetterFilter(), DeadLetterFilter(older_than=0), DeadLetterFilter(text="")):
        assert await operations.dead.select(QUEUE, wanted) == []
        assert (await operations.dead.page(QUEUE, wanted)).letters == []
    for act in (operations.dead.show, operations.dead.discard, operations.dead.redrive):
        with pytest.raises(NotFoundError):
            await act(QUEUE, ids[0])
    with pytest.raises(NotFoundError):
        await operations.dead.find(ids[0])
    last = await finish(operations.dead.purge(QUEUE, ids))
    assert (last.done, last.skipped) == (0, 3)
    assert last.problems[0] == "kept-0: there is no such dead letter"
    assert (await harness.counts())["wait"] == 3


async def test_a_page_of_letters_ends_though_some_are_purged_meanwhile(
    harness: Harness, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(harness, 5)
    count = DeadLetters.count

    async def count_and_lose_one(letters: DeadLetters) -> int:
        found = await count(letters)
        await harness.redis.rpop(f"bull:{DEAD}:wait")
        return found

    monkeypatch.setattr(DeadLetters, "count", count_and_lose_one)
    page = await operations.dead.page(DEAD)
    assert (len(page.letters), page.next_offset) == (4, None)


async def test_notes_stay_with_their_dead_letter_and_go_with_it(
    harness: Harness, operations: Operations, changes: list[Change]
) -> None:
    await die(harness, 1)
    (letter_id,) = await operations.broker.dead_letters(DEAD).ids(0, 10)
    for number in range(MOST_NOTES + 2):
        await operations.dead.add_note(DEAD, letter_id, f"waits\nfor ticket {number}")
    notes = (await operations.dead.show(DEAD, letter_id)).notes
    assert len(notes) == MOST_NOTES
    assert notes[-1].endswith(f"UTC, {os_user()}: waits for ticket {MOST_NOTES + 1}")
    assert (changes[-1].action, changes[-1].target) == ("add note", letter_id)
    for wrong in ("", "  ", "x" * 1001):
        with pytest.raises(ConfigurationError, match="a note has 1 to 1000 characters"):
            await operations.dead.add_note(DEAD, letter_id, wrong)
    await operations.dead.discard(DEAD, letter_id)
    assert [key async for key in harness.redis.scan_iter(f"bull:{DEAD}:{letter_id}*")] == []
    with pytest.raises(NotFoundError):
        await operations.dead.add_note(DEAD, letter_id, "too late")
    assert [key async for key in harness.redis.scan_iter(f"bull:{DEAD}:{letter_id}*")] == []
