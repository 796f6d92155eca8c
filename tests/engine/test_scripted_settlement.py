"""Settlement and ledger against a broker whose every answer the test gives."""

from __future__ import annotations

import pytest

from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.outcome import Complete, Fail, HandBack, Outcome, Refusal, Retry
from auth_worker.core.run import Run
from auth_worker.errors import BrokerUnavailableError, BrokerUnpreparedError, UnrecoverableError, WaitForChildren
from auth_worker.events import JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost, Problem
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS
from support.scripted_broker import a_fetched
from support.scripted_engine import Engine, ended, started, turns

LOST = BrokerUnavailableError("the connection broke")


async def fails(job: Job) -> None:
    raise UnrecoverableError("no")


async def test_a_dead_letter_is_written_with_the_failure_and_counted() -> None:
    engine = started(Engine(fails), a_fetched("1"))
    settle = await engine.settle()
    assert isinstance(settle.outcome, Fail)
    assert settle.dead_letter is not None
    settle.done()
    assert await ended(engine) is JobFailed
    assert engine.events[0].dead_letter_id == settle.dead_letter.id
    assert (engine.worker.metrics.failed, engine.worker.metrics.dead_lettered) == (1, 1)


async def test_a_settle_that_is_refused_counts_as_a_lost_lease_and_its_token_is_spent() -> None:
    engine = started(Engine(concurrency=1), a_fetched("1"))
    settle = await engine.settle()
    settle.refused()
    assert await ended(engine) is LeaseLost
    assert engine.worker.metrics.leases_lost == 1


@pytest.mark.parametrize(
    ("refusal", "instead", "event"),
    [(Refusal.CHILDREN_FAILED, Fail, JobFailed), (Refusal.CHILDREN_PENDING, Retry, JobRetried)],
)
@pytest.mark.parametrize("lost", [False, True])
async def test_what_its_children_refuse_is_written_instead_also_when_the_first_reply_was_lost(
    refusal: Refusal, instead: type[Outcome], event: type, lost: bool
) -> None:
    engine = started(Engine(concurrency=1), a_fetched("1", {"attempts": 2}))
    settle = await engine.settle()
    if lost:
        settle.answer(LOST)
        settle = await engine.settle()
    settle.refused(refusal)
    second = await engine.settle()
    assert (type(second.outcome), second.run) == (instead, settle.run)
    assert (second.dead_letter is not None) == (instead is Fail)
    second.done()
    assert await ended(engine) is event
    assert len(engine.broker.fetches) <= 1, "one slot, one fetch"
    await engine.finish()


async def test_a_dead_letter_that_cannot_be_built_after_a_lost_reply_holds_the_raw_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = started(Engine(concurrency=1), a_fetched("1"))
    settle = await engine.settle()
    build = engine.broker.dead_letter_of

    def cannot_read(run: Run, fail: Fail, now: int, *, readable: bool) -> DeadLetter | None:
        if readable:
            raise ValueError("data is not JSON")
        return build(run, fail, now, readable=readable)

    monkeypatch.setattr(engine.broker, "dead_letter_of", cannot_read)
    settle.answer(LOST)
    settle = await engine.settle()
    settle.refused(Refusal.CHILDREN_FAILED)
    second = await engine.settle()
    assert isinstance(second.outcome, Fail)
    assert "cannot be written: ValueError" in second.outcome.reason
    assert second.dead_letter is not None
    assert second.dead_letter.data == {"readable": False}
    second.done()
    assert await ended(engine) is JobFailed
    assert engine.worker.active == 0
    await engine.finish()


@pytest.mark.parametrize("lost", [False, True])
async def test_who_waits_for_no_child_goes_back_to_run(lost: bool) -> None:
    async def consumer(job: Job) -> None:
        raise WaitForChildren

    engine = started(Engine(consumer), a_fetched("1"))
    settle = await engine.settle()
    if lost:
        settle.answer(LOST)
        settle = await engine.settle()
    settle.refused(Refusal.NO_CHILDREN_LEFT)
    back = await engine.settle()
    assert back.outcome == HandBack()
    back.done()
    assert await ended(engine) is JobMoved
    await engine.finish()


@pytest.mark.parametrize("counted", [True, False])
async def test_a_lost_reply_is_read_back_and_counted_once(counted: bool) -> None:
    engine = started(Engine(concurrency=1), a_fetched("1"))
    first = await engine.settle()
    engine.broker.counted = counted
    first.answer(LOST)
    again = await engine.settle()
    assert (again.now, again.outcome, again.fetch_next) == (first.now, first.outcome, False)
    again.refused()
    assert await ended(engine) is (JobCompleted if counted else LeaseLost)
    assert engine.worker.metrics.completed == counted
    await engine.finish()


async def test_a_write_is_insisted_on_while_the_lease_holds_and_the_broker_is_prepared_for_it() -> None:
    engine = started(Engine(), a_fetched("1"))
    settle = await engine.settle()
    engine.broker.break_off()
    settle.answer(LOST)
    await turns()
    assert engine.broker.settles == []
    engine.broker.come_back()
    settle = await engine.settle()
    assert engine.broker.prepared == 1
    settle.answer(BrokerUnpreparedError("no script"))
    settle = await engine.settle()
    assert engine.broker.prepared == 2
    settle.done()
    assert await ended(engine) is JobCompleted
    await engine.finish()


async def test_a_result_is_given_up_once_the_lease_has_ended() -> None:
    engine = started(Engine(lock_duration=100), a_fetched("1"))
    settle = await engine.settle()
    engine.broker.break_off()
    settle.answer(LOST)
    assert await ended(engine) is LeaseLost
    assert [each.message for each in engine.events if isinstance(each, Problem)] == [
        WORKER_ERRORS.RESULT_DISCARDED
    ]
    assert engine.broker.settles == []
    await engine.finish()


async def test_an_outcome_that_cannot_be_written_fails_the_job_as_raw_bytes() -> None:
    engine = Engine()
    engine.broker.unwritable = [Complete]
    started(engine, a_fetched("1"))
    settle = await engine.settle()
    assert isinstance(settle.outcome, Fail)
    assert settle.dead_letter is not None
    assert settle.dead_letter.data == {"readable": False}
