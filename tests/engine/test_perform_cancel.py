"""A run that is to end before its consumer does: timeout, lost lease, shutdown."""

from __future__ import annotations

import asyncio
import time

import pytest

from auth_worker.core.outcome import Cause, Complete, HandBack, Lost, Outcome, Retry
from auth_worker.errors import UnrecoverableError
from auth_worker.job import Job
from support.factories import a_run, begin, outcome_of, some_options


async def forever(job: Job) -> None:
    await asyncio.Event().wait()


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
    assert await outcome_of(consumer, run, timeout=0.02) == Complete(b'"done"')
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
    assert "timeout" in outcome.reason


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
    expected: Outcome = HandBack() if result == "raises" else Complete(b'"done"')
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
    assert await outcome_of(consumer, run) == Complete(b"null")
    run.cancel(Cause.LEASE_LOST)
    assert run.cause is None
    assert not run.job.cancelled.is_set()


async def test_a_run_cancelled_before_it_has_a_task_ends_as_cancelled() -> None:
    async def consumer(job: Job) -> None:
        assert job.cancelled.is_set()
        raise ValueError("told to stop")

    run = a_run()
    run.cancel(Cause.SHUTDOWN)
    assert await outcome_of(consumer, run) == HandBack()


@pytest.mark.parametrize(
    ("cause", "expected"), [(Cause.SHUTDOWN, HandBack()), (Cause.LEASE_LOST, Lost())], ids=["shutdown", "lost"]
)
async def test_a_run_cancelled_before_its_first_step_is_decided_and_never_begins(
    cause: Cause, expected: Outcome
) -> None:
    called: list[Job] = []

    async def consumer(job: Job) -> None:
        called.append(job)

    run = a_run()
    run.cancel(cause)
    assert await outcome_of(consumer, run) == expected
    assert called == []


async def test_a_consumer_that_goes_on_after_its_time_out_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auth_worker.engine.perform.GRACE", 0.02)
    cancelled = 0

    async def consumer(job: Job) -> None:
        nonlocal cancelled
        while cancelled < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    outcome = await outcome_of(consumer, a_run(options=some_options({"attempts": 2})), timeout=0.02)
    assert isinstance(outcome, Retry)
    assert cancelled == 3
