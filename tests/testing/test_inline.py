"""Inline, a job has run before ``enqueue`` returns, as a worker would have run it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.errors import JobFailedError
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker
from support.tested_tasks import ADA, count_words, images, mail, welcome


def task_of(function: Callable[..., Any], **options: Any) -> Any:
    """A task of a queue of its own."""
    return TaskQueue("inlined", "redis://127.0.0.1:1", timeout=2.0).task(**options)(function)


async def test_a_job_has_run_when_enqueue_returns(jobs: MemoryBroker) -> None:
    with jobs.inline(mail):
        handle = await welcome.enqueue(to="ada@example.org", user=ADA)
        assert jobs.assert_enqueued(welcome).state == "completed"
        assert (await handle.result()).attempt == 1
        await images.add("resize")
    assert jobs.assert_enqueued("resize").state == "wait"
    await count_words.enqueue("not any more")
    assert jobs.assert_enqueued(count_words).state == "wait"


def test_sync_code_of_any_thread_has_it_too(jobs: MemoryBroker) -> None:
    results: list[int] = []

    def count(words: int) -> None:
        results.append(count_words.enqueue_sync("word " * words).result_sync(5))

    with jobs.inline(mail):
        threads = [threading.Thread(target=count, args=(words,)) for words in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == [0, 1, 2, 3, 4]


async def test_jobs_enqueued_at_once_have_all_run(jobs: MemoryBroker) -> None:
    with jobs.inline(mail):
        handles = await asyncio.gather(*(count_words.enqueue("word " * words) for words in range(5)))
        assert [job.state for job in jobs.enqueued()] == ["completed"] * 5
        assert [await handle.result() for handle in handles] == [0, 1, 2, 3, 4]


async def test_what_a_job_enqueues_runs_after_it_and_before_enqueue_returns(jobs: MemoryBroker) -> None:
    order: list[str] = []

    async def nest(depth: int) -> None:
        order.append(f"begin {depth}")
        if depth:
            await task.enqueue(depth - 1)
        order.append(f"end {depth}")

    task = task_of(nest)
    with jobs.inline(task.queue):
        await task.enqueue(1)
        assert order == ["begin 1", "end 1", "begin 0", "end 0"]


async def test_who_enqueues_gets_no_error_of_a_job_but_the_test_does(jobs: MemoryBroker) -> None:
    async def fail() -> None:
        raise OSError("no mail server")

    task = task_of(fail, attempts=1)
    enqueued = []
    with pytest.raises(OSError, match="no mail server"), jobs.inline(task.queue):
        enqueued.append(await task.enqueue())
    with jobs.inline(task.queue, raise_errors=False):
        enqueued.append(await task.enqueue())
    for handle in enqueued:
        with pytest.raises(JobFailedError, match="no mail server"):
            await handle.result()


async def test_an_error_of_the_test_itself_comes_first(jobs: MemoryBroker) -> None:
    async def fail() -> None:
        raise OSError("no mail server")

    task = task_of(fail)

    async def fail_too() -> None:
        with jobs.inline(task.queue):
            await task.enqueue()
            raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test"):
        await fail_too()


async def test_what_is_delayed_waits_for_the_clock(jobs: MemoryBroker) -> None:
    with jobs.inline(mail):
        handle = await count_words.options(delay=1_000).enqueue("one")
        assert jobs.assert_enqueued(count_words).state == "delayed"
        with pytest.raises(TimeoutError, match="is delayed: inline, only jobs that are due have run"):
            await handle.result(timeout=30)
    jobs.clock.advance(seconds=1)
    await jobs.drain(mail)
    assert jobs.assert_enqueued(count_words).state == "completed"


def test_a_job_may_take_longer_than_sync_code_would_wait_for_redis(jobs: MemoryBroker) -> None:
    queue = TaskQueue("inlined", "redis://127.0.0.1:1", timeout=0.01)

    @queue.task
    async def slow() -> str:
        await asyncio.sleep(1.1)
        return "done"

    with jobs.inline(queue):
        assert slow.enqueue_sync().result_sync(5) == "done"


def test_a_job_of_sync_code_runs_in_its_thread_and_may_enqueue_without_awaiting(jobs: MemoryBroker) -> None:
    threads: list[threading.Thread] = []

    async def nest(depth: int) -> None:
        threads.append(threading.current_thread())
        if depth:
            task.enqueue_sync(depth - 1)

    task = task_of(nest)
    with jobs.inline(task.queue):
        task.enqueue_sync(2)
    assert threads == [threading.main_thread()] * 3
