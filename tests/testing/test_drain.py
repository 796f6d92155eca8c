"""``drain`` runs enqueued jobs as a worker would, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth_worker import Delay, Job, RateLimited, UnrecoverableError, WorkerService
from auth_worker.config import Settings
from auth_worker.errors import JobCancelledError, JobFailedError, UnknownJobTypeError
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker
from support.tested_tasks import ADA, Receipt, count_words, find_factors, images, mail, welcome

NOWHERE = "redis://127.0.0.1:1"


def queue_of(function: Any, *, worker_config: Any = (), dead: str | None = None, **options: Any) -> Any:
    """A task of a queue of its own."""
    queue = TaskQueue(
        "drained", NOWHERE, worker_config=dict(worker_config), dead_letter_queue_name=dead, timeout=2.0
    )
    return queue.task(**options)(function)


class Flaky:
    """Fails so many times, and then gives the attempt."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.attempts: list[int] = []

    async def run(self, job: Job) -> int:
        self.attempts.append(job.attempt)
        if job.attempt <= self.failures:
            raise OSError(f"failure {job.attempt}")
        return job.attempt


async def test_jobs_of_a_task_queue_run_and_their_handles_have_the_results(jobs: MemoryBroker) -> None:
    handle = await welcome.enqueue(to="ada@example.org", user=ADA)
    factors = await find_factors.enqueue(12)
    await images.add("resize")
    ran = await jobs.drain(mail)
    assert [(job.name, job.state) for job in ran] == [("welcome", "completed"), ("find_factors", "completed")]
    assert await handle.result(timeout=5) == Receipt(message_id="<1@example.org>", attempt=1)
    assert await factors.result(timeout=5) == [2, 3, 4, 6]
    assert jobs.logs(jobs.assert_enqueued(welcome)) == ["attempt 1"]
    assert jobs.assert_enqueued("resize").state == "wait"


def test_a_test_without_an_event_loop_drains_too(jobs: MemoryBroker) -> None:
    handle = count_words.enqueue_sync("one two")
    jobs.drain_sync(mail)
    assert handle.result_sync(timeout=5) == 2


async def test_a_service_runs_all_its_queues_plain_consumers_too(jobs: MemoryBroker) -> None:
    service = WorkerService(NOWHERE, settings=Settings(http_port=None))
    service.include(mail)

    @service.processor("imageQueue", worker_config={"timeout": 5_000})
    def resize(job: Job) -> Any:
        job.sync.update_progress({"done": job.data["width"]})
        return job.data

    words = await count_words.enqueue("one")
    added = await images.add("resize", {"width": 640})
    await jobs.drain(service)
    assert await words.result(5) == 1
    assert await images.result(added, 5) == {"width": 640}
    stored = await images.get(added)
    assert stored is not None
    assert (stored.state, stored.progress, stored.attempts_made) == ("completed", {"done": 640}, 1)


async def test_a_job_that_a_job_enqueues_runs_after_it(jobs: MemoryBroker) -> None:
    order: list[Any] = []

    async def outer(depth: int) -> None:
        if depth:
            await task.enqueue(depth - 1)
        order.append(depth)

    task = queue_of(outer)
    await task.enqueue(2)
    assert len(await jobs.drain(task.queue)) == 3
    assert order == [2, 1, 0]


async def test_what_a_job_raises_is_raised_with_the_name_of_the_job(jobs: MemoryBroker) -> None:
    flaky = Flaky(9)
    task = queue_of(flaky.run, name="flaky", attempts=2, backoff=1_000)
    await task.enqueue()
    with pytest.raises(OSError, match="failure 1") as error:
        await jobs.drain(task.queue)
    assert error.value.__notes__ == ["raised by job 1, flaky of queue drained, attempt 1"]
    job = jobs.assert_enqueued(task)
    assert (job.state, job.attempts_made, job.failed_reason) == ("delayed", 1, "failure 1")


async def test_several_errors_are_raised_as_a_group(jobs: MemoryBroker) -> None:
    async def fail(number: int) -> None:
        raise UnrecoverableError(f"no {number}")

    task = queue_of(fail)
    await task.enqueue(1)
    await task.enqueue(2)
    with pytest.raises(ExceptionGroup, match="2 jobs failed") as error:
        await jobs.drain(task.queue)
    assert [str(each) for each in error.value.exceptions] == ["no 1", "no 2"]


async def test_a_retry_waits_until_the_clock_has_moved_by_its_backoff(jobs: MemoryBroker) -> None:
    flaky = Flaky(1)
    task = queue_of(flaky.run, attempts=2, backoff=60_000)
    handle = await task.enqueue()
    await jobs.drain(task.queue, raise_errors=False)
    jobs.clock.advance(seconds=59)
    assert await jobs.drain(task.queue) == []
    jobs.clock.advance(timedelta(seconds=1))
    await jobs.drain(task.queue)
    assert flaky.attempts == [1, 2]
    assert await handle.result(5) == 2


async def test_with_delayed_moves_the_clock_through_all_retries_and_delays(jobs: MemoryBroker) -> None:
    flaky = Flaky(2)
    task = queue_of(flaky.run, attempts=3, backoff={"type": "exponential", "delay": 1_000})
    await task.options(delay=timedelta(hours=1)).enqueue()
    begin = jobs.clock.moment
    assert await jobs.drain(task.queue) == []
    await jobs.drain(task.queue, with_delayed=True)
    assert flaky.attempts == [1, 2, 3]
    assert jobs.clock.moment - begin == timedelta(hours=1, seconds=3)


async def test_a_job_that_fails_for_good_is_a_dead_letter_and_its_result_an_error(jobs: MemoryBroker) -> None:
    flaky = Flaky(9)
    task = queue_of(flaky.run, name="flaky", attempts=2, backoff=10, dead="drainedDead")
    handle = await task.enqueue()
    await jobs.drain(task.queue, with_delayed=True, raise_errors=False)
    with pytest.raises(JobFailedError, match="failure 2"):
        await handle.result(5)
    letter = jobs.assert_enqueued("flaky", originalQueue="drained", originalJobId=handle.id)
    assert letter.queue_name == "drainedDead"
    assert (letter.data["reasonClass"], letter.data["attemptsMade"]) == ("exhausted", 2)


async def test_a_job_of_another_producer_is_validated(jobs: MemoryBroker) -> None:
    await mail.jobs.add("welcome", {"to": "ada@example.org"})
    await mail.jobs.add("no such task")
    await jobs.drain(mail, raise_errors=False)
    classes = [job.data["reasonClass"] for job in jobs.enqueued() if job.queue_name == "mailDead"]
    assert classes == ["invalid_payload", "unknown_job_type"]
    await mail.jobs.add("no such task")
    with pytest.raises(UnknownJobTypeError):
        await jobs.drain(mail)


async def test_steering_counts_no_attempt(jobs: MemoryBroker) -> None:
    runs = []

    async def steer(job: Job, kind: str) -> int:
        runs.append(kind)
        if runs.count(kind) == 1:
            raise Delay(30) if kind == "delay" else RateLimited(30)
        return job.attempt

    task = queue_of(steer)
    delayed = await task.enqueue(kind="delay")
    await jobs.drain(task.queue)
    assert jobs.assert_enqueued(task, kind="delay").state == "delayed"
    limited = await task.enqueue(kind="limit")
    await jobs.drain(task.queue)
    assert jobs.assert_enqueued(task, kind="limit").state == "wait"
    assert await jobs.drain(task.queue) == []
    await jobs.drain(task.queue, with_delayed=True)
    assert (await delayed.result(5), await limited.result(5)) == (1, 1)


async def test_order_is_that_of_the_queue_priority_and_lifo(jobs: MemoryBroker) -> None:
    order: list[Any] = []

    async def note(text: str) -> None:
        order.append(text)

    task = queue_of(note)
    for text, options in (("late", {"priority": 9}), ("soon", {"priority": 1}), ("a", {}), ("b", {"lifo": True})):
        await task.options(**options).enqueue(text)
    await jobs.drain(task.queue)
    assert order == ["b", "a", "soon", "late"]


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_while_it_runs(jobs: MemoryBroker) -> None:
    async def hang() -> None:
        await task.queue.jobs.cancel("second", "the user left")
        await asyncio.Event().wait()

    task = queue_of(hang, dead="drainedDead")
    waiting = await task.options(job_id="first").enqueue()
    assert await task.queue.jobs.cancel(waiting.id, "wrong list")
    assert not await task.queue.jobs.cancel(waiting.id)
    assert not await task.queue.jobs.cancel("nobody")
    running = await task.options(job_id="second").enqueue()
    await jobs.drain(task.queue, raise_errors=False)
    for handle, reason in ((waiting, "wrong list"), (running, "the user left")):
        with pytest.raises(JobCancelledError) as error:
            await handle.result(5)
        assert error.value.reason == reason
    jobs.assert_not_enqueued("hang", originalQueue="drained")


async def test_what_is_drained_must_be_named_and_only_once_at_a_time(jobs: MemoryBroker) -> None:
    with pytest.raises(TypeError, match="name what runs the jobs"):
        await jobs.drain()
    with pytest.raises(TypeError, match="not by <auth_worker"):
        await jobs.drain(images)  # type: ignore[arg-type]

    async def inner() -> None:
        await jobs.drain(task.queue)

    task = queue_of(inner)
    await task.enqueue()
    with pytest.raises(RuntimeError, match="being drained already"):
        await jobs.drain(task.queue)


async def test_a_cancelled_drain_leaves_its_job_to_the_next_one(jobs: MemoryBroker) -> None:
    began, hangs = asyncio.Event(), [True]

    async def hang() -> str:
        began.set()
        if hangs:
            await asyncio.Event().wait()
        return "done"

    task = queue_of(hang)
    handle = await task.enqueue()
    draining = asyncio.ensure_future(jobs.drain(task.queue))
    await began.wait()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    hangs.clear()
    await jobs.drain(task.queue)
    assert await handle.result(5) == "done"
