"""Attempts, backoff, timeouts and retention of each task, for jobs of every producer."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.errors import ConfigurationError, Delay
from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue
from auth_worker.tasks.options import TaskPolicy
from auth_worker.tasks.producers import LazyProducers
from support.processors import Harness, eventually
from support.task_services import add_raw, completed, dead_letter, failed, task_queue, working


async def test_a_task_has_its_own_attempts_also_for_a_job_of_another_producer(harness: Harness) -> None:
    queue = task_queue(harness)
    seen: list[tuple[int, int]] = []

    @queue.task(attempts=2, backoff=1)
    async def fails(job: Job) -> None:
        seen.append((job.attempt, job.max_attempts))
        raise RuntimeError("no")

    async with working(harness, queue):
        raw = await add_raw(harness, "fails", {})
        assert (await failed(harness, raw))["atm"] == "2"
        typed = await fails.enqueue()
        assert (await failed(harness, typed.id))["atm"] == "2"
        own = await add_raw(harness, "fails", {}, attempts=1)
        assert (await failed(harness, own))["atm"] == "1"
        assert (await dead_letter(harness, own))["reasonClass"] == "exhausted"
    assert seen == [(1, 2), (2, 2), (1, 2), (2, 2), (1, 1)]


async def test_tasks_of_one_queue_keep_different_numbers_of_finished_jobs(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.task(remove_on_complete=True)
    async def leaves_nothing() -> None: ...

    @queue.task
    async def stays() -> None: ...

    async with working(harness, queue):
        gone = await add_raw(harness, "leaves_nothing", {})
        kept = await stays.enqueue()
        await completed(harness, kept.id)
        assert await harness.redis.exists(f"bull:tasks:{gone}") == 0


async def test_a_function_decides_the_backoff_by_attempt_and_error(harness: Harness) -> None:
    asked: list[tuple[int, str]] = []

    def backoff(attempt: int, error: BaseException) -> timedelta | int | None:
        asked.append((attempt, type(error).__name__))
        delays: dict[int, timedelta | int] = {1: timedelta(milliseconds=2), 2: 3}
        return delays.get(attempt)

    queue = task_queue(harness)

    @queue.task(attempts=9, backoff=backoff)
    async def fails() -> None:
        raise KeyError("secret")

    async with working(harness, queue):
        handle = await fails.enqueue()
        assert (await failed(harness, handle.id))["atm"] == "3"
    assert asked == [(1, "KeyError"), (2, "KeyError"), (3, "KeyError")]


@pytest.mark.parametrize("answer", [float("nan"), -5, "soon", True, ValueError("secret")])
async def test_a_backoff_function_that_gives_no_delay_is_replaced_by_the_queue_s(
    harness: Harness, answer: Any
) -> None:
    def backoff(attempt: int, error: BaseException) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    queue = task_queue(harness)

    @queue.task(attempts=2, backoff=backoff)
    async def fails() -> None:
        raise RuntimeError("no")

    async with working(harness, queue):
        handle = await fails.enqueue()
        job = await failed(harness, handle.id)
    assert job["atm"] == "2"
    assert "secret" not in str(job)


async def test_steering_is_not_asked_for_a_backoff(harness: Harness) -> None:
    asked: list[int] = []

    def backoff(attempt: int, error: BaseException) -> int:
        asked.append(attempt)
        return 1

    queue = task_queue(harness)
    runs: list[int] = []

    @queue.task(attempts=1, backoff=backoff)
    async def waits() -> str:
        runs.append(1)
        if len(runs) < 2:
            raise Delay(0.001)
        return "done"

    async with working(harness, queue):
        assert await completed(harness, (await waits.enqueue()).id) == "done"
    assert asked == []


async def test_each_task_has_its_own_time_out_else_the_queue_s(harness: Harness) -> None:
    queue = task_queue(harness, worker_config={"timeout": 60_000})
    deadlines: list[float | None] = []

    @queue.task(timeout=0.05, attempts=1)
    async def short() -> None:
        await asyncio.Event().wait()

    @queue.task(timeout=timedelta(milliseconds=50), attempts=1)
    def in_thread(job: Job) -> None:
        job.cancelled.wait(20)

    @queue.task
    async def by_queue(*, job: Job = INJECTED) -> None:
        assert job.deadline is not None
        deadlines.append(job.deadline - asyncio.get_running_loop().time())

    async with working(harness, queue):
        first, second = await short.enqueue(), await in_thread.enqueue()
        for handle in (first, second):
            assert "exceeded its timeout" in (await failed(harness, handle.id))["failedReason"]
        await completed(harness, (await by_queue.enqueue()).id)
    assert deadlines[0] is not None
    assert 50 < deadlines[0] <= 60


async def test_a_process_task_is_killed_at_its_time_out(harness: Harness) -> None:
    from support import slow_task

    slow_task.queue.producers = LazyProducers(slow_task.queue.name, harness.url, None, 10)
    async with working(harness, slow_task.queue):
        handle = await slow_task.hang.enqueue()
        job = await failed(harness, handle.id, slow_task.queue.name)
    assert "exceeded its timeout" in job["failedReason"]


async def test_threads_run_beside_each_other(harness: Harness) -> None:
    queue = task_queue(harness, worker_config={"concurrency": 2})
    barrier = threading.Barrier(2, timeout=20)

    @queue.task
    def meets() -> int:
        return barrier.wait()

    async with working(harness, queue):
        handles = [await meets.enqueue(), await meets.enqueue()]
        assert sorted([await completed(harness, each.id) for each in handles]) == [0, 1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attempts": -1}, "attempts"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"execution": "fibre"}, "execution"),
        ({"execution": "process"}, "async def"),
        ({"priority": 2**40}, "priority"),
        ({"backoff": {"type": "fixed", "often": 1}}, "often"),
        ({"remove_on_fail": {"counts": 1}}, "counts"),
    ],
)
def test_a_wrong_option_of_a_task_is_named(harness: Harness, options: dict[str, Any], named: str) -> None:
    queue = task_queue(harness)

    async def welcome() -> None: ...

    with pytest.raises(ConfigurationError, match=named) as caught:
        queue.task(**options)(welcome)
    assert "welcome" in str(caught.value)


def test_a_policy_says_its_options_in_bullmq_s_words() -> None:
    policy = TaskPolicy("auto", None, {"remove_on_fail": 3, "attempts": 2}, None)
    assert policy.wire == {"removeOnFail": 3, "attempts": 2}


async def test_a_task_says_where_its_dead_letters_go_wherever_its_jobs_fail(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.task(attempts=1, dead_letter="payments dead")
    async def costly() -> None:
        raise RuntimeError("no")

    @queue.task(attempts=1, dead_letter=False)
    async def trifle() -> None:
        raise RuntimeError("no")

    @queue.task(attempts=1)
    async def grave() -> None:
        raise RuntimeError("no")

    async with working(harness, queue):
        quiet = await trifle.enqueue()
        await failed(harness, quiet.id)
        loud = await grave.enqueue()
        await dead_letter(harness, loud.id)
        await dead_letter(harness, (await costly.enqueue()).id, "payments dead")
        now = round(time.time() * 1000)
        for when, name in enumerate(
            ("trifle", "grave", "costly"), now
        ):  # as if workers of another kind had failed them
            job = {"name": name, "data": "{}", "opts": "{}", "finishedOn": when, "failedReason": "no", "atm": 1}
            await harness.redis.hset(f"bull:tasks:elsewhere-{name}", mapping=job)
            await harness.redis.zadd("bull:tasks:failed", {f"elsewhere-{name}": when})
        await dead_letter(harness, "elsewhere-grave")
        await dead_letter(harness, "elsewhere-costly", "payments dead")
        assert await harness.redis.llen("bull:tasksDead:wait") == 2
        assert await harness.redis.llen("bull:payments dead:wait") == 2


async def test_the_dead_letters_of_a_task_with_the_only_such_queue_are_capped(harness: Harness) -> None:
    queue = TaskQueue("tasks", harness.url)

    @queue.task(attempts=1, dead_letter="payments dead")
    async def costly() -> None:
        raise RuntimeError("no")

    @queue.task(attempts=1)
    async def grave() -> None:
        raise RuntimeError("no")

    async def is_capped() -> bool:
        return bool(await harness.redis.llen("bull:payments dead:wait") == 1)

    service = WorkerService(harness.url, settings=harness.settings(dead_letter_max_count=1))
    service.include(queue)
    async with service:
        for handle in (await grave.enqueue(), await costly.enqueue(), await costly.enqueue()):
            await failed(harness, handle.id)
        await eventually(is_capped, "the older dead letter is removed")
    await queue.close()


@pytest.mark.parametrize("name", ["x:y", "", 5, "tasks"])
def test_what_cannot_be_the_dead_letter_queue_of_a_task_is_refused(harness: Harness, name: Any) -> None:
    async def welcome() -> None: ...

    with pytest.raises(ConfigurationError, match="task welcome: dead_letter must be"):
        task_queue(harness).task(dead_letter=name)(welcome)
