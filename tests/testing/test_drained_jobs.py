"""Jobs that depend on others, on the clock, or on ids, while a test drains them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from auth_worker.queue import JobQueue
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker
from support.tested_tasks import count_words, images, mail

NOWHERE = "redis://127.0.0.1:1"


def queue_of(function: Any, **options: Any) -> Any:
    """A task of a queue of its own."""
    return TaskQueue("drained", NOWHERE, timeout=2.0).task(**options)(function)


async def test_a_job_may_await_another_ones_result(jobs: MemoryBroker) -> None:
    async def outer() -> int:
        words = await count_words.enqueue("one two three")
        return await words.result(5)

    def in_a_thread() -> int:
        return count_words.enqueue_sync("one two").result_sync(5)

    task, other = queue_of(outer), mail.task(name="in_a_thread")(in_a_thread)
    try:
        first, second = await task.enqueue(), await other.enqueue()
        await jobs.drain(task.queue, mail)
        assert (await first.result(5), await second.result(5)) == (3, 2)
    finally:
        del mail.tasks["in_a_thread"]


async def test_a_job_that_enqueues_itself_for_ever_is_stopped(jobs: MemoryBroker) -> None:
    async def again() -> None:
        await task.enqueue()

    task = queue_of(again)
    await task.enqueue()
    with pytest.raises(RuntimeError, match="more than 7 jobs ran, the last of them again of queue drained"):
        await jobs.drain(task.queue, most=7)


async def test_a_result_that_never_comes_is_a_time_out(jobs: MemoryBroker) -> None:
    handle = await count_words.enqueue("one")
    with pytest.raises(TimeoutError):
        await handle.result(0.01)
    assert await images.get("nobody") is None


async def test_the_clock_only_moves_forward() -> None:
    clock = MemoryBroker().clock
    clock.move_to(datetime(2100, 1, 1, tzinfo=UTC))
    assert clock.moment == datetime(2100, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(seconds=-1)
    with pytest.raises(ValueError, match="needs a time zone"):
        clock.move_to(datetime(2100, 1, 1))  # noqa: DTZ001


async def test_a_queue_of_jobs_that_are_removed_takes_their_ids_again(jobs: MemoryBroker) -> None:
    queue = JobQueue("drained", NOWHERE)

    async def nothing() -> None: ...

    task = queue_of(nothing, remove_on_complete=True)
    first = await task.options(job_id="daily").enqueue()
    assert not (await task.options(job_id="daily").enqueue()).created
    await jobs.drain(task.queue)
    assert await queue.get(first.id) is None
    assert await first.result(5) is None
    assert (await task.options(job_id="daily").enqueue()).created


async def test_a_task_without_dead_letters_leaves_none(jobs: MemoryBroker) -> None:
    queue = TaskQueue("drained", NOWHERE, dead_letter_queue_name="drainedDead", timeout=2.0)

    @queue.task(dead_letter=False, attempts=1)
    async def fail() -> None:
        raise OSError("no luck")

    await fail.enqueue()
    await jobs.drain(queue, raise_errors=False)
    assert [job.state for job in jobs.enqueued()] == ["failed"]


async def test_the_dead_letters_of_a_task_go_where_it_says(jobs: MemoryBroker) -> None:
    queue = TaskQueue("drained", NOWHERE, dead_letter_queue_name="drainedDead", timeout=2.0)

    @queue.task(dead_letter="otherDead", attempts=1)
    async def fail() -> None:
        raise OSError("no luck")

    await fail.enqueue()
    await jobs.drain(queue, raise_errors=False)
    assert [job.queue_name for job in jobs.enqueued()] == ["drained", "otherDead"]
