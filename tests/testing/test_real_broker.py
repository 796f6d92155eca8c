"""The fixtures ``worker`` and ``queue``: a real broker, started once per session, with keys of each test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker import Job, JobQueue, WorkerService
from auth_worker.config import Settings
from auth_worker.flow import Flow
from auth_worker.testing import RealBroker, RunningWorker
from support.processors import eventually
from support.tested_tasks import ADA, Receipt, count_words, flows, images, mail, welcome

Worker = Callable[..., RunningWorker]


async def test_tasks_of_the_application_run_on_a_real_broker(worker: Worker) -> None:
    async with worker(mail):
        handle = await welcome.enqueue(to="ada@example.org", user=ADA)
        assert await handle.result(timeout=30) == Receipt(message_id="<1@example.org>", attempt=1)


def test_a_test_without_an_event_loop_has_a_worker_too(worker: Worker) -> None:
    with worker(mail):
        assert count_words.enqueue_sync("one two").result_sync(30) == 2


async def test_a_service_is_worked_with_all_its_processors(
    worker: Worker, queue: Callable[[str], JobQueue]
) -> None:
    service = WorkerService("redis://127.0.0.1:1", settings=Settings(http_port=None))
    service.include(mail)

    @service.processor("imageQueue")
    async def resize(job: Job) -> Any:
        return await job.children_values()

    async with worker(service) as running:
        added = await flows.add(
            Flow("resize", queue="imageQueue", children=[Flow("count_words", {"text": "a b"}, queue="mailQueue")])
        )
        values = await queue("imageQueue").result(added.job, 30)
        assert list(values.values()) == [2]
        assert [each.queue_name for each in running.get_processors()] == ["mailQueue", "imageQueue"]


async def test_each_test_has_keys_of_its_own(auth_worker_url: str) -> None:
    with RealBroker(auth_worker_url, "test-one") as one:
        await images.add("resize", {"width": 1}, job_id="a")
        with RealBroker(auth_worker_url, "test-two") as two:
            assert (await images.add("resize", {"width": 2}, job_id="a")).created
            await images.add("resize", {"width": 2}, job_id="b")
            assert await two.queue("imageQueue").get("b") is not None
        assert await one.queue("imageQueue").get("b") is None


async def test_a_worker_whose_start_fails_says_why(worker: Worker) -> None:
    with pytest.raises(TypeError, match="jobs are run by a TaskQueue or a service"):
        await worker("mailQueue").__aenter__()


def test_a_worker_whose_start_fails_leaves_no_thread(worker: Worker) -> None:
    running = worker("mailQueue")
    with pytest.raises(TypeError, match="jobs are run by"):
        running.__enter__()
    assert not running._thread.is_running


async def test_a_retry_comes_and_the_job_is_seen(worker: Worker, queue: Callable[[str], JobQueue]) -> None:
    attempts: list[int] = []

    service = WorkerService("redis://127.0.0.1:1", settings=Settings(http_port=None))

    @service.processor("flaky", worker_config={"backoff": {"type": "fixed", "delay": 10}})
    async def flaky(job: Job) -> None:
        attempts.append(job.attempt)
        if job.attempt == 1:
            raise OSError("once")

    async with worker(service):
        job = await queue("flaky").add("flaky")
        await asyncio.wait_for(queue("flaky").result(job, 30), 30)

    async def is_completed() -> bool:
        stored = await queue("flaky").get(job)
        return stored is not None and stored.state == "completed"

    await eventually(is_completed)
    assert attempts == [1, 2]
