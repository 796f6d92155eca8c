"""``perform`` runs a task as a worker would, without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auth_worker import Delay, InvalidJobDataError, Job, JobTimeoutError, UnrecoverableError
from auth_worker.errors import ConfigurationError
from auth_worker.tasks import INJECTED, TaskQueue
from auth_worker.testing import make_job, perform, perform_sync
from support.tested_tasks import ADA, MailServer, Receipt, count_words, find_factors, welcome


async def test_arguments_and_result_are_typed_values_that_went_through_json() -> None:
    receipt = await perform(welcome, to="ada@example.org", user=ADA)
    assert receipt == Receipt(message_id="<1@example.org>", attempt=1)


async def test_a_fake_takes_the_place_of_a_resource_which_is_not_opened() -> None:
    server, opened = MailServer(), MailServer.opened
    await perform(welcome, to="ada@example.org", user=ADA, server=server)
    assert server.sent == ["ada@example.org: Welcome, Ada, born in 1815!"]
    assert MailServer.opened == opened


async def test_a_resource_is_opened_and_closed_where_no_fake_is_given() -> None:
    opened, closed = MailServer.opened, MailServer.closed
    await perform(welcome, to="ada@example.org", user=ADA)
    assert (MailServer.opened, MailServer.closed) == (opened + 1, closed + 1)


async def test_the_job_may_be_given_with_its_attempt() -> None:
    receipt = await perform(welcome, to="ada@example.org", user=ADA, job=make_job(attempt=3))
    assert receipt.attempt == 3


async def test_a_plain_function_runs_in_a_thread_and_one_for_processes_too() -> None:
    assert await perform(count_words, "one two three") == 3
    assert await perform(find_factors, 12) == [2, 3, 4, 6]


def test_a_test_without_an_event_loop_performs_too() -> None:
    assert perform_sync(count_words, "one two") == 2


async def test_bad_data_is_refused_as_at_enqueue() -> None:
    with pytest.raises(InvalidJobDataError, match=r"user\.born: Field required"):
        await perform(welcome, to="ada@example.org", user={"name": "Ada"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="there is no parameter subject"):
        await perform(welcome, to="ada@example.org", user=ADA, subject="x")  # type: ignore[call-arg]


def queue_of(function: Any, **options: Any) -> Any:
    return TaskQueue("performed").task(**options)(function)


async def test_what_the_task_raises_is_raised() -> None:
    async def steer(job: Job, seconds: float) -> None:
        raise Delay(seconds) if seconds else KeyError("no such user")

    task = queue_of(steer)
    with pytest.raises(Delay) as delay:
        await perform(task, seconds=5)
    assert delay.value.seconds == 5
    with pytest.raises(KeyError, match="no such user"):
        await perform(task, seconds=0)


async def test_a_result_that_is_not_what_the_task_declares_is_refused() -> None:
    async def lie() -> int:
        return "many"  # type: ignore[return-value]

    with pytest.raises(UnrecoverableError, match="the result of task lie is not what its annotation says"):
        await perform(queue_of(lie))


async def test_the_time_out_of_the_task_holds() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(JobTimeoutError):
        await perform(queue_of(hang, timeout=0.05))


async def test_a_cancelled_test_cancels_the_task() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    performing = asyncio.ensure_future(perform(queue_of(hang)))
    await began.wait()
    performing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await performing
    assert ended.is_set()


async def test_a_fake_serves_a_task_whose_queue_has_no_such_resource() -> None:
    async def send(to: str, server: MailServer = INJECTED) -> str:
        return await server.send(to, "Hello")

    task = queue_of(send)
    assert await perform(task, to="ada@example.org", server=MailServer()) == "<1@example.org>"
    with pytest.raises(ConfigurationError, match="no resource for MailServer"):
        await perform(task, to="ada@example.org")


async def test_options_of_the_job_count() -> None:
    async def attempts(job: Job) -> tuple[int, Any]:
        return job.max_attempts, job.opts.get("priority")

    task = queue_of(attempts, attempts=4)
    assert await perform(task.options(priority=7)) == (4, 7)
