"""One run of one job, from its consumer to its outcome."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from auth_worker.core.outcome import Complete, Fail, Postpone, Retry
from auth_worker.core.run import CurrentRun, Phase, current_run
from auth_worker.engine.executors import ThreadExecutor
from auth_worker.errors import Delay
from auth_worker.job import Job
from support.factories import PATIENT, a_job, a_run, begin, outcome_of, some_options

left_behind: contextvars.ContextVar[str] = contextvars.ContextVar("left_behind", default="")


async def test_what_a_consumer_returns_completes_the_job() -> None:
    async def consumer(job: Job) -> Any:
        return {"status": "OK", "to": job.data["to"]}

    assert await outcome_of(consumer, a_run(a_job({"to": "ann"}))) == Complete(b'{"status":"OK","to":"ann"}')


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
    seen: list[CurrentRun | None] = []

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
    seen: dict[str, CurrentRun | None] = {}

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
    assert run.phase is Phase.ENDED
    took = run.duration_ms
    await asyncio.sleep(0.005)
    assert run.duration_ms == took
