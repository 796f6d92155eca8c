"""Jobs that are fetched before a process is free, against a broker whose every answer the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.core.outcome import Complete, Fail, HandBack, Throttle
from auth_worker.engine import prefetch
from auth_worker.engine.executors import LoopExecutor
from auth_worker.engine.quarantine import Quarantine
from auth_worker.errors import RateLimited
from auth_worker.events import JobStarted, LeaseLost
from auth_worker.job import Job
from support.scripted_broker import NOTHING, SettleCall, a_fetched
from support.scripted_engine import ENDS, Engine, turns, until


class Isolating(LoopExecutor):
    """Stands for processes: its jobs run when they are told to."""

    isolates = True


class Hand:
    """An engine whose jobs end when they are told to. ``ran`` are their ids, in order."""

    def __init__(self, concurrency: int = 1, **config: Any) -> None:
        self.ran: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.engine = Engine(executor=Isolating(self._consume), concurrency=concurrency, **config)
        self.engine.listen(*ENDS, JobStarted)
        self.engine.worker.resume()

    async def _consume(self, job: Job) -> None:
        self.ran.append(job.id)
        await self._end_of(job.id).wait()
        if job.id == "limited":
            raise RateLimited(5)

    def _end_of(self, job_id: str) -> asyncio.Event:
        return self._ends.setdefault(job_id, asyncio.Event())

    def give(self, *job_ids: str) -> None:
        for job_id in job_ids:
            if not self.engine.broker.fetches:
                self.engine.broker.ring()
            self.engine.give(a_fetched(job_id))

    async def runs(self, *job_ids: str) -> None:
        """Wait until exactly these have begun."""
        await until(lambda: len(self.ran) >= len(job_ids), f"the start of {job_ids}")
        await turns()
        assert self.ran == list(job_ids)

    async def end(self, job_id: str) -> SettleCall:
        self._end_of(job_id).set()
        settle = await self.engine.settle()
        assert settle.run.job.id == job_id
        return settle

    async def warm(self) -> None:
        """Have a short job come and go, after which the next ones are fetched ahead."""
        self.give("warm")
        await self.runs("warm")
        (await self.end("warm")).done(NOTHING)
        self.ran.clear()


@pytest.fixture
async def hand() -> Any:
    one = Hand()
    yield one
    await one.engine.finish()


async def test_a_job_that_is_fetched_ahead_begins_when_the_one_before_it_ends_before_that_is_settled(
    hand: Hand,
) -> None:
    await hand.warm()
    hand.give("1", "2")
    await hand.runs("1")
    first = await hand.end("1")
    assert first.fetch_next
    await hand.runs("1", "2")
    first.done(a_fetched("3"))
    await hand.runs("1", "2")
    (await hand.end("2")).done(NOTHING)
    await hand.runs("1", "2", "3")
    assert (await hand.end("3")).outcome == Complete(b"null")


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_jobs_run_than_the_concurrency_says_and_no_more_wait_than_run(concurrency: int) -> None:
    hand = Hand(concurrency)
    await hand.warm()
    names = [str(number) for number in range(2 * concurrency)]
    hand.give(*names)
    await hand.runs(*names[:concurrency])
    assert hand.engine.broker.fetches == []
    for number in range(concurrency):
        (await hand.end(names[number])).done(NOTHING)
        await hand.runs(*names[: concurrency + number + 1])
    await hand.engine.finish()


async def test_nothing_is_fetched_ahead_while_jobs_take_long(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "SHORT_MS", 0.0)
    await hand.warm()
    hand.give("1")
    await hand.runs("1")
    await turns()
    assert (hand.engine.broker.fetches, hand.engine.broker.rings) == ([], None)


async def test_a_job_that_waits_for_too_long_goes_back_and_none_is_fetched_in_its_place(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "LONGEST_WAIT_S", 0.01)
    await hand.warm()
    hand.give("1", "2")
    back = await hand.engine.settle()
    assert (back.run.job.id, back.outcome, back.fetch_next) == ("2", HandBack(begun=False), False)
    back.done()
    await turns()
    assert (hand.engine.broker.fetches, hand.engine.broker.rings, hand.ran) == ([], None, ["1"])
    (await hand.end("1")).done(a_fetched("2"))
    await hand.runs("1", "2")


async def test_what_waits_goes_back_when_a_job_says_that_the_queue_is_limited(hand: Hand) -> None:
    await hand.warm()
    hand.give("limited", "2")
    await hand.runs("limited")
    hand._end_of("limited").set()
    back, limited = await hand.engine.settle(), await hand.engine.settle()
    assert (back.run.job.id, back.outcome) == ("2", HandBack(begun=False))
    assert (limited.run.job.id, limited.outcome) == ("limited", Throttle(5000))
    await hand.runs("limited")
    assert hand.engine.broker.fetches == []


@pytest.mark.parametrize("how", ["pause", "drain"])
async def test_what_waits_goes_back_when_the_worker_stops(hand: Hand, how: str) -> None:
    await hand.warm()
    hand.give("1", "2")
    await hand.runs("1")
    if how == "pause":
        hand.engine.worker.pause()
        await hand.engine.worker.close()
    else:
        draining = asyncio.create_task(hand.engine.worker.drain(5))
    back = await hand.engine.settle()
    assert (back.run.job.id, back.outcome) == ("2", HandBack(begun=False))
    back.done()
    (await hand.end("1")).done()
    if how == "drain":
        assert await asyncio.wait_for(draining, 5)
    await hand.runs("1")


async def test_a_job_is_cancelled_while_it_waits_and_never_begins(hand: Hand) -> None:
    await hand.warm()
    hand.give("1", "2")
    waiting = next(run for run in hand.engine.worker.held() if run.job.id == "2")
    hand.engine.worker.request_cancellation("2", waiting.token, "no longer needed")
    cancelled = await hand.engine.settle()
    assert (cancelled.run.job.id, type(cancelled.outcome)) == ("2", Fail)
    cancelled.done(NOTHING)
    (await hand.end("1")).done(NOTHING)
    await hand.runs("1")


async def test_a_job_whose_lease_ends_while_it_waits_does_not_begin(hand: Hand) -> None:
    await hand.warm()
    hand.give("1", "2")
    next(run for run in hand.engine.worker.held() if run.job.id == "2").renewed -= 1000
    (await hand.end("1")).done(NOTHING)
    await until(lambda: hand.engine.worker.active == 0, "both ends")
    assert hand.ran == ["1"]
    assert [type(event) for event in hand.engine.events if event.job_id == "2"][-1] is LeaseLost


async def test_a_job_counts_as_started_and_its_time_out_begins_once_it_has_a_process() -> None:
    hand = Hand(timeout=60_000)
    await hand.warm()
    hand.give("1", "2")
    await hand.runs("1")
    waiting = next(run for run in hand.engine.worker.held() if run.job.id == "2")
    assert (waiting.timer, waiting.job.deadline) == (None, None)
    assert "2" not in [event.job_id for event in hand.engine.events if isinstance(event, JobStarted)]
    (await hand.end("1")).done(NOTHING)
    await hand.runs("1", "2")
    assert waiting.timer is not None
    await hand.engine.finish()


async def test_a_job_that_waits_does_not_begin_while_a_suspect_needs_the_process_to_itself() -> None:
    calls: list[Callable[[], None]] = []

    class Timer:
        def cancel(self) -> None:
            """The test calls what it likes."""

    def call_later(seconds: float, callback: Callable[[], None]) -> Timer:
        calls.append(callback)
        return Timer()

    hand = Hand(quarantine=Quarantine(call_later=call_later))
    await hand.warm()
    hand.give("1", "2")
    await hand.runs("1")
    suspect = object()
    hand.engine.quarantine.hold(suspect, lambda: True, fails_next=False)
    (await hand.end("1")).done()
    await hand.runs("1")
    hand.engine.quarantine.left(suspect)
    await hand.runs("1", "2")
    (await hand.end("2")).done(NOTHING)
