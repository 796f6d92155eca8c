"""Launcher and leases against a broker whose every answer the test gives."""

from __future__ import annotations

import asyncio
import time

import pytest

from auth_worker.core.outcome import Complete, Drop, Fail, HandBack, Outcome, ReasonClass
from auth_worker.core.ports.worker import Settled, Taken
from auth_worker.core.run import Phase
from auth_worker.errors import BrokerUnavailableError
from auth_worker.events import JobCompleted, LeaseLost
from auth_worker.job import Job
from support.scripted_broker import NOTHING, a_fetched, an_unreadable
from support.scripted_engine import Engine, ended, started, turns, until


async def waits(job: Job) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("taken", "outcome"),
    [
        (an_unreadable("1", "bad"), Fail("bad", ReasonClass.INVALID_PAYLOAD, "bad")),
        (an_unreadable("1", is_orphan=True), Drop("the job's data is gone from Redis")),
        (a_fetched("1", deferred_failure="job stalled"), Fail("job stalled", ReasonClass.STALLED, "job stalled")),
        (a_fetched("1", deferred_failure="child"), Fail("child", ReasonClass.UNRECOVERABLE, "child")),
    ],
)
async def test_what_is_not_to_run_is_settled_at_once(taken: Taken, outcome: Outcome) -> None:
    ran: list[Job] = []

    async def consumer(job: Job) -> None:
        ran.append(job)

    engine = started(Engine(consumer), taken)
    settle = await engine.settle()
    assert (settle.outcome, ran) == (outcome, [])


async def test_a_scheduler_goes_on_after_an_iteration_that_is_not_to_run() -> None:
    engine = started(Engine(), a_fetched("1", scheduler_id="nightly", deferred_failure="job stalled"))
    assert isinstance((await engine.settle()).outcome, Fail)
    assert engine.broker.advanced == ["nightly"]


async def test_an_iteration_runs_once_the_next_one_is_there() -> None:
    engine = Engine()
    engine.broker.advancing = asyncio.Event()
    started(engine, a_fetched("1", scheduler_id="nightly"))
    await turns()
    assert engine.broker.settles == []
    engine.broker.advancing.set()
    assert (await engine.settle()).outcome == Complete(b'"1"')
    assert engine.broker.advanced == ["nightly"]


async def test_an_iteration_whose_queue_is_paused_meanwhile_goes_back() -> None:
    engine = Engine()
    engine.broker.advancing = asyncio.Event()
    started(engine, a_fetched("1", scheduler_id="nightly"))
    await turns()
    engine.worker.pause()
    engine.broker.advancing.set()
    assert (await engine.settle()).outcome == HandBack()


async def test_a_time_out_while_the_scheduler_is_advanced_costs_no_attempt() -> None:
    engine = Engine(timeout=5)
    engine.broker.advancing = asyncio.Event()
    started(engine, a_fetched("1", scheduler_id="nightly"))
    assert (await engine.settle()).outcome == HandBack()


async def test_an_iteration_whose_lease_has_ended_meanwhile_does_not_begin() -> None:
    engine = Engine()
    engine.broker.advancing = asyncio.Event()
    started(engine, a_fetched("1", scheduler_id="nightly"))
    await turns()
    engine.worker.held()[0].renewed -= 1000
    engine.broker.advancing.set()
    assert await ended(engine) is LeaseLost
    assert engine.broker.settles == []


async def test_a_job_whose_lease_ends_before_it_begins_does_not_begin() -> None:
    ran: list[Job] = []

    async def consumer(job: Job) -> None:
        ran.append(job)

    engine = started(Engine(consumer), a_fetched("1"))
    engine.worker.held()[0].renewed -= 1000
    assert await ended(engine) is LeaseLost
    assert (engine.broker.settles, ran) == ([], [])


async def test_a_suspect_that_waits_is_marked_until_it_begins() -> None:
    go_on = asyncio.Event()
    marked: dict[str, set[str]] = {}

    async def consumer(job: Job) -> None:
        marked[job.id] = set(engine.broker.waiting)
        await go_on.wait()

    engine = Engine(consumer)
    started(engine, a_fetched("1"), a_fetched("2", stalled_count=1))
    await turns()
    assert engine.broker.waiting == {"2"}
    go_on.set()
    (await engine.settle()).done()
    await engine.settle()
    assert marked["2"] == set(), "it begins once the mark is taken back"
    await engine.finish()


async def test_a_suspect_goes_back_where_it_cannot_be_said_that_it_begins() -> None:
    engine = Engine()
    engine.broker.mark_error = BrokerUnavailableError("it is away")
    started(engine, a_fetched("1", stalled_count=1))
    assert (await engine.settle()).outcome == HandBack()


async def test_a_lease_that_is_lost_in_mid_job_stops_it_and_nothing_is_written() -> None:
    engine = started(Engine(waits), a_fetched("1"), a_fetched("2"))
    await until(lambda: all(run.phase is Phase.RUNNING for run in engine.worker.held()), "both runs")
    for run in engine.worker.held():
        run.renewed -= 40
    engine.broker.upkeep.lost = {"1"}
    renewing = asyncio.create_task(engine.worker.watch_parts[0]())
    await until(lambda: engine.worker.active == 1, "the end of the lost one")
    assert engine.broker.upkeep.extended == [["1", "2"]]
    assert [run.job.id for run in engine.worker.held()] == ["2"]
    assert time.monotonic() - engine.worker.held()[0].renewed < 30
    assert engine.broker.settles == []
    assert [type(event) for event in engine.events] == [LeaseLost]
    renewing.cancel()
    await engine.finish()


async def test_leases_end_by_themselves_while_the_broker_is_away() -> None:
    engine = started(Engine(waits), a_fetched("1"))
    await until(lambda: engine.worker.held()[0].phase is Phase.RUNNING, "the run")
    engine.broker.upkeep.is_up = False
    engine.worker.held()[0].renewed -= 61
    renewing = asyncio.create_task(engine.worker.watch_parts[0]())
    assert await ended(engine) is LeaseLost
    assert engine.broker.upkeep.extended == []
    renewing.cancel()


async def test_a_consumer_that_does_not_stop_is_handed_back_without_it_and_settled_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auth_worker.engine.queue_worker.CANCEL_GRACE", 0.01)
    release = asyncio.Event()

    async def stubborn(job: Job) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    engine = started(Engine(stubborn, concurrency=1), a_fetched("1"))
    draining = asyncio.create_task(engine.worker.drain(0.01))
    settle = await engine.settle()
    assert (settle.outcome, settle.fetch_next) == (HandBack(), False)
    settle.done()
    assert await draining is False
    assert engine.worker.stuck
    release.set()
    await until(lambda: not engine.worker.stuck, "the consumer's end")
    await turns()
    assert engine.broker.settles == []
    assert engine.worker.metrics.handed_back == 1


async def test_a_drain_takes_back_what_was_being_fetched() -> None:
    engine = started(Engine(concurrency=1))
    draining = asyncio.create_task(engine.worker.drain(5))
    await turns()
    engine.give(a_fetched("1"))
    engine.broker.hand_backs.pop().answer(Settled(None, None))
    assert await asyncio.wait_for(draining, 1) is True
    engine.worker.resume()
    assert engine.broker.fetches == [], "it takes no jobs any more"


async def test_what_runs_is_surrendered_but_not_what_is_being_settled() -> None:
    go_on = asyncio.Event()

    async def consumer(job: Job) -> None:
        if job.id == "2":
            await go_on.wait()

    engine = started(Engine(consumer), a_fetched("1"), a_fetched("2"))
    settle = await engine.settle()
    await engine.worker.hand_back_now()
    assert engine.broker.upkeep.handed_back == ["2"]
    settle.done(NOTHING)
    go_on.set()
    (await engine.settle()).refused()
    await until(lambda: engine.worker.active == 0, "both ends")
    assert [type(event) for event in engine.events] == [JobCompleted, LeaseLost]
