"""One run of one job, from its consumer to its outcome."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from auth_worker.errors import Delay, UnrecoverableError
from auth_worker.executors import ThreadExecutor
from auth_worker.job import Job
from auth_worker.outcome import Cause, Complete, Fail, HandBack, Lost, Outcome, Postpone, Retry
from auth_worker.run import Run, current_run, perform
from factories import PATIENT, a_job, a_run, some_options

left_behind: contextvars.ContextVar[str] = contextvars.ContextVar("left_behind", default="")
Execute = Callable[[Job], Awaitable[Any]]


def begin(run: Run, execute: Execute, timeout: float | None = None) -> asyncio.Task[Outcome]:
    """Start the run in a task of its own, as a processor does."""
    task = asyncio.create_task(perform(run, execute, timeout=timeout, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment] # a processor's task gives nothing back
    return task


async def outcome_of(execute: Execute, run: Run | None = None, timeout: float | None = None) -> Outcome:
    return await asyncio.wait_for(begin(run or a_run(), execute, timeout), 5)


async def forever(job: Job) -> None:
    await asyncio.Event().wait()


async def test_what_a_consumer_returns_completes_the_job() -> None:
    async def consumer(job: Job) -> Any:
        return {"status": "OK", "to": job.data["to"]}

    assert await outcome_of(consumer, a_run(a_job({"to": "ann"}))) == Complete('{"status":"OK","to":"ann"}')


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        asyncio.CancelledError("boom"),
        SystemExit("boom"),
        KeyboardInterrupt("boom"),
        GeneratorExit("boom"),
        TimeoutError("boom"),
        RecursionError("boom"),
        MemoryError("boom"),
        BaseException("boom"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_consumer_raises_is_a_failed_attempt_and_nothing_more(error: BaseException) -> None:
    async def consumer(job: Job) -> None:
        raise error

    outcome = await outcome_of(consumer, a_run(options=some_options({"attempts": 2})))
    assert isinstance(outcome, Retry)
    assert (outcome.reason, type(error).__name__ in outcome.trace) == ("boom", True)


async def test_a_consumer_that_cancels_its_own_task_fails_its_attempt() -> None:
    async def consumer(job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    outcome = await outcome_of(consumer, a_run(options=some_options({"attempts": 1})))
    assert isinstance(outcome, Fail)
    assert outcome.reason == "CancelledError"


async def test_a_consumer_can_steer() -> None:
    async def consumer(job: Job) -> None:
        raise Delay(5)

    assert await outcome_of(consumer) == Postpone(5000)


async def test_a_run_that_takes_too_long_is_cancelled_and_counts_as_failed() -> None:
    run = a_run(options=some_options({"attempts": 2}))
    started = time.monotonic()
    outcome = await outcome_of(forever, run, timeout=0.05)
    assert isinstance(outcome, Retry)
    assert "JobTimeoutError" in outcome.trace
    assert 0.05 <= time.monotonic() - started < 2
    assert run.cause is Cause.TIMEOUT
    assert run.job.cancelled.is_set()
    assert run.job.deadline == pytest.approx(started + 0.05, abs=0.5)


async def test_a_run_in_time_is_not_disturbed_afterwards() -> None:
    async def consumer(job: Job) -> str:
        return "done"

    run = a_run()
    assert await outcome_of(consumer, run, timeout=0.02) == Complete('"done"')
    await asyncio.sleep(0.05)
    assert run.cause is None
    assert not run.job.cancelled.is_set()


@pytest.mark.parametrize("ending", ["returns", "raises"])
async def test_a_consumer_that_swallows_its_time_out_has_failed_all_the_same(ending: str) -> None:
    async def consumer(job: Job) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "raises":
                raise UnrecoverableError("hidden") from None
        return "done"

    outcome = await outcome_of(consumer, a_run(options=some_options({"attempts": 2})), timeout=0.02)
    assert isinstance(outcome, Retry)
    assert "time-out" in outcome.reason


async def test_a_lost_lease_stops_the_run_and_writes_nothing() -> None:
    cleaned = asyncio.Event()

    async def consumer(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    run = a_run()
    task = begin(run, consumer)
    await asyncio.sleep(0)
    run.cancel(Cause.LEASE_LOST)
    assert await asyncio.wait_for(task, 5) == Lost()
    assert cleaned.is_set()
    assert run.job.cancelled.is_set()


async def test_a_consumer_that_finishes_in_spite_of_a_lost_lease_writes_nothing() -> None:
    async def consumer(job: Job) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done"
        return "never"

    run = a_run()
    task = begin(run, consumer)
    await asyncio.sleep(0)
    run.cancel(Cause.LEASE_LOST)
    assert await asyncio.wait_for(task, 5) == Lost()


@pytest.mark.parametrize("result", ["raises", "returns"])
async def test_at_shutdown_a_job_goes_back_unless_it_finishes(result: str) -> None:
    async def consumer(job: Job) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if result == "raises":
                raise
        return "done"

    run = a_run()
    task = begin(run, consumer)
    await asyncio.sleep(0)
    run.cancel(Cause.SHUTDOWN)
    expected: Outcome = HandBack() if result == "raises" else Complete('"done"')
    assert await asyncio.wait_for(task, 5) == expected


async def test_the_first_cause_decides_but_a_lost_lease_outweighs_it() -> None:
    async def stubborn(job: Job) -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    for causes, expected in (
        ((Cause.SHUTDOWN, Cause.TIMEOUT), Cause.SHUTDOWN),
        ((Cause.TIMEOUT, Cause.SHUTDOWN), Cause.TIMEOUT),
        ((Cause.SHUTDOWN, Cause.LEASE_LOST), Cause.LEASE_LOST),
        ((Cause.LEASE_LOST, Cause.SHUTDOWN), Cause.LEASE_LOST),
    ):
        run = a_run()
        task = begin(run, stubborn)
        await asyncio.sleep(0)
        for cause in causes:
            run.cancel(cause)
        assert run.cause is expected
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait_for(task, 5)


async def test_a_consumer_is_disturbed_once_for_each_cause_while_it_cleans_up() -> None:
    cancelled = 0
    cleaning, clean = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            try:
                await clean.wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise

    run = a_run()
    task = begin(run, consumer)
    await asyncio.sleep(0)
    run.cancel(Cause.SHUTDOWN)
    await cleaning.wait()
    for _ in range(3):
        run.cancel(Cause.SHUTDOWN)
    await asyncio.sleep(0)
    clean.set()
    assert await asyncio.wait_for(task, 5) == HandBack()
    assert cancelled == 0


async def test_after_the_end_nothing_can_be_cancelled() -> None:
    async def consumer(job: Job) -> None:
        return None

    run = a_run()
    assert await outcome_of(consumer, run) == Complete("null")
    run.cancel(Cause.LEASE_LOST)
    assert run.cause is None
    assert not run.job.cancelled.is_set()


async def test_a_result_that_is_not_json_does_not_run_again() -> None:
    async def consumer(job: Job) -> object:
        return object()

    assert isinstance(await outcome_of(consumer, a_run(options=some_options({"attempts": 9}))), Fail)


async def test_a_result_beyond_the_limit_does_not_run_again() -> None:
    async def consumer(job: Job) -> str:
        return "x" * PATIENT

    assert isinstance(await outcome_of(consumer, a_run(options=some_options({"attempts": 9}))), Fail)


async def test_context_variables_do_not_leak_into_the_next_run() -> None:
    seen = []

    async def consumer(job: Job) -> None:
        seen.append((left_behind.get(), current_run.get()))
        left_behind.set(job.id)

    runs = [a_run(a_job(id=str(number))) for number in range(3)]
    for run in runs:
        await outcome_of(consumer, run)
    assert seen == [("", run) for run in runs]
    assert (left_behind.get(), current_run.get()) == ("", None)


async def test_code_of_a_consumer_knows_its_run_also_in_threads_and_tasks() -> None:
    seen: list[Run | None] = []

    async def consumer(job: Job) -> None:
        seen.append(current_run.get())
        await asyncio.to_thread(lambda: seen.append(current_run.get()))
        await asyncio.create_task(nested())

    async def nested() -> None:
        seen.append(current_run.get())

    def plain(job: Job) -> None:
        seen.append(current_run.get())

    first, second = a_run(), a_run()
    await outcome_of(consumer, first)
    executor = ThreadExecutor(plain, 1)
    await outcome_of(executor, second)
    executor.close()
    assert seen == [first, first, first, second]


async def test_runs_side_by_side_know_themselves() -> None:
    met = asyncio.Barrier(2)
    seen: dict[str, Run | None] = {}

    async def consumer(job: Job) -> None:
        await met.wait()
        seen[job.id] = current_run.get()

    runs = [a_run(a_job(id=name)) for name in "ab"]
    await asyncio.gather(*(outcome_of(consumer, run) for run in runs))
    assert seen == {"a": runs[0], "b": runs[1]}


async def test_a_run_knows_how_long_it_took() -> None:
    gate = threading.Event()

    async def consumer(job: Job) -> None:
        await asyncio.to_thread(gate.wait, 5)

    run = a_run()
    task = begin(run, consumer)
    await asyncio.sleep(0.02)
    assert run.duration_ms > 10
    gate.set()
    await task
    assert run.ended
    took = run.duration_ms
    await asyncio.sleep(0.005)
    assert run.duration_ms == took


def test_a_run_knows_the_traces_of_earlier_attempts() -> None:
    assert a_run(raw={b"stacktrace": b'["one","two"]'}).traces == ["one", "two"]
