"""The fetcher against a broker whose every answer the test gives: order, lost replies, pauses and closes."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.core.outcome import Complete
from auth_worker.core.ports.worker import Settled
from auth_worker.engine import fetcher
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, BrokerUnpreparedError
from auth_worker.events import JobCompleted, Problem, ProcessorChanged
from auth_worker.job import Job
from support.scripted_broker import NOTHING, a_fetched, an_unreadable
from support.scripted_engine import Engine, turns, until

LOST = BrokerUnavailableError("the connection broke")


async def test_a_ring_asks_for_one_job_and_two_in_a_row_for_all_slots() -> None:
    engine = Engine(concurrency=5)
    engine.worker.resume()
    assert len(engine.broker.fetches) == 1
    engine.give(a_fetched("1"))
    assert (len(engine.broker.fetches), engine.broker.rings is not None) == (0, True)
    engine.broker.ring()
    engine.give(a_fetched("2"))
    assert len(engine.broker.fetches) == 2
    engine.give(a_fetched("3"), a_fetched("4"))
    assert len(engine.broker.fetches) == 1, "five slots, four with a job"
    assert len({run.token for run in engine.worker.held()}) == 4
    await engine.finish()


async def test_an_empty_answer_parks_the_slot_until_the_next_ring() -> None:
    engine = Engine()
    engine.worker.resume()
    engine.broker.fetches.pop().answer(NOTHING)
    assert engine.broker.fetches == []
    engine.broker.ring()
    assert len(engine.broker.fetches) == 1


async def test_a_completion_fetches_the_next_job_with_its_own_token_and_is_counted_after_that_one_began() -> None:
    order: list[str] = []

    async def consumer(job: Job) -> None:
        order.append(f"runs {job.id}")

    engine = Engine(consumer, concurrency=1)
    engine.bus.subscribe(JobCompleted, lambda event: order.append(f"counted {event.job_id}"))
    engine.worker.resume()
    token = engine.broker.fetches[0].token
    engine.give(a_fetched("1"))
    first = await engine.settle()
    assert (first.outcome, first.fetch_next) == (Complete(b"null"), True)
    first.done(a_fetched("2"))
    second = await engine.settle()
    assert (second.run.token, order) == (token, ["runs 1", "runs 2"])
    second.done(NOTHING)
    await until(lambda: len(order) == 4, "the second one's count")
    assert order[2:] == ["counted 1", "counted 2"]
    assert engine.worker.metrics.completed == 2
    assert engine.worker.active == 0


async def test_what_comes_while_it_closes_goes_back_and_close_waits_for_that() -> None:
    engine = Engine()
    engine.worker.resume()
    engine.worker.pause()
    closing = asyncio.create_task(engine.worker.close())
    await turns()
    engine.give(a_fetched("1"))
    await turns()
    [back] = engine.broker.hand_backs
    assert (back.job_id, closing.done(), engine.worker.active) == ("1", False, 0)
    back.answer(Settled(None, None))
    await asyncio.wait_for(closing, 1)
    assert engine.broker.rings is None


async def test_a_job_that_comes_after_pause_and_resume_runs() -> None:
    engine = Engine()
    engine.worker.resume()
    engine.worker.pause()
    closing = asyncio.create_task(engine.worker.close())
    await turns()
    engine.worker.resume()
    await asyncio.wait_for(closing, 1)
    engine.give(a_fetched("1"))
    assert (await engine.settle()).run.job.id == "1"
    assert engine.broker.hand_backs == []


async def test_an_unreadable_job_that_comes_while_it_closes_goes_back_too() -> None:
    engine = Engine()
    engine.worker.resume()
    closing = asyncio.create_task(engine.worker.close())
    await turns()
    engine.give(an_unreadable("1"))
    engine.broker.hand_backs.pop().answer(Settled(None, None))
    await asyncio.wait_for(closing, 1)
    assert engine.broker.settles == []


@pytest.mark.parametrize("error", [BrokerBusyError("loading"), BrokerUnpreparedError("no script")])
async def test_a_job_that_redis_does_not_take_back_is_given_back_again(
    monkeypatch: pytest.MonkeyPatch, error: BrokerError
) -> None:
    monkeypatch.setattr(fetcher, "REFUSED_PAUSE", 0.01)
    engine = Engine()
    engine.worker.resume()
    closing = asyncio.create_task(engine.worker.close())
    await turns()
    engine.give(a_fetched("1"))
    engine.broker.hand_backs.pop().answer(error)
    await until(lambda: engine.broker.hand_backs, "another attempt")
    assert (engine.broker.prepared, closing.done()) == (int(isinstance(error, BrokerUnpreparedError)), False)
    engine.broker.hand_backs.pop().answer(Settled(None, None))
    await asyncio.wait_for(closing, 1)


async def test_a_job_that_redis_never_takes_back_is_left_to_the_stalled_check_once_its_lease_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetcher, "REFUSED_PAUSE", 0.01)
    engine = Engine(lock_duration=100)
    engine.worker.resume()
    closing = asyncio.create_task(engine.worker.close())
    await turns()
    engine.give(a_fetched("1"))

    def is_over() -> bool:
        while engine.broker.hand_backs:
            engine.broker.hand_backs.pop().answer(BrokerBusyError("loading"))
        return closing.done()

    await until(is_over, "the end of the lease")


async def test_a_job_whose_reply_was_lost_is_found_and_runs_once() -> None:
    engine = Engine(concurrency=1)
    engine.worker.resume()
    call = engine.broker.fetches.pop()
    engine.broker.break_off()
    call.answer(LOST)
    engine.broker.unanswered[call.token] = a_fetched("1")
    engine.broker.come_back()
    settle = await engine.settle()
    assert (settle.run.job.id, settle.run.token) == ("1", call.token)
    assert engine.broker.fetches == [], "its slot is taken"
    await engine.finish()


async def test_a_token_that_locked_nothing_is_replaced() -> None:
    engine = Engine(concurrency=1)
    engine.worker.resume()
    call = engine.broker.fetches.pop()
    engine.broker.break_off()
    call.answer(LOST)
    engine.broker.come_back()
    await until(lambda: engine.broker.fetches, "another fetch")
    assert engine.broker.fetches[0].token != call.token
    await engine.finish()


async def test_a_job_that_is_settled_here_is_not_taken_for_a_lost_one() -> None:
    """Its lock may still be there when the reply comes, though the settle was on its way."""
    engine = Engine(concurrency=2)
    engine.worker.resume()
    engine.give(a_fetched("1"))
    engine.broker.ring()
    call = engine.broker.fetches.pop()
    engine.broker.break_off()
    call.answer(LOST)
    engine.broker.unanswered[call.token] = a_fetched("1")
    engine.broker.come_back()
    await until(lambda: engine.broker.fetches, "another fetch")
    assert [settle.run.job.id for settle in engine.broker.settles] == ["1"]
    assert engine.worker.active == 1
    await engine.finish()


async def test_a_broker_that_forgot_what_was_prepared_is_prepared_and_asked_again() -> None:
    engine = Engine()
    engine.listen(Problem)
    engine.worker.resume()
    call = engine.broker.fetches.pop()
    call.answer(BrokerUnpreparedError("no script"))
    await until(lambda: engine.broker.fetches, "another fetch")
    assert (engine.broker.prepared, len(engine.events)) == (1, 1)
    assert engine.broker.fetches[0].token != call.token


async def test_fetches_that_find_a_broker_unprepared_together_prepare_it_once_and_none_outlives_the_stop() -> None:
    engine = Engine(concurrency=2)
    engine.worker.resume()
    engine.give(a_fetched("1"))
    engine.broker.ring()
    engine.broker.preparing.clear()
    (await engine.settle()).done(NOTHING)
    engine.worker._fetcher.look()
    first, second = engine.broker.fetches
    first.answer(BrokerUnpreparedError("no script"))
    await until(lambda: engine.broker.prepared, "the preparation")
    second.answer(BrokerUnpreparedError("no script"))
    await turns()
    assert engine.broker.prepared == 1
    await engine.finish()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("prepare")]


async def test_a_busy_broker_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.engine.fetcher.REFUSED_PAUSE", 0.03)
    engine = Engine()
    engine.worker.resume()
    engine.broker.fetches.pop().answer(BrokerBusyError("OOM"))
    engine.worker._fetcher.look()
    assert engine.broker.fetches == []
    await until(lambda: engine.broker.fetches, "another fetch")


async def test_a_fetch_that_broke_off_half_way_is_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.engine.fetcher.REFUSED_PAUSE", 0.01)
    engine = Engine(concurrency=1)
    engine.worker.resume()
    call = engine.broker.fetches.pop()
    engine.broker.unanswered[call.token] = a_fetched("1")
    call.answer(BrokerError("it broke off"))
    assert (await engine.settle()).run.job.id == "1"
    await engine.finish()


async def test_a_queue_that_stays_empty_is_reported_once_and_not_while_it_closes() -> None:
    engine = Engine(drain_delay=1, concurrency=1)
    engine.listen(ProcessorChanged)
    engine.worker.resume()
    engine.give(a_fetched("1"))
    (await engine.settle()).done(NOTHING)
    await until(lambda: engine.events, "the report")
    assert [event.state for event in engine.events] == ["drained"]
    engine.broker.ring()
    engine.broker.fetches.pop().answer(NOTHING)
    await engine.worker.close()
    assert len(engine.events) == 1
