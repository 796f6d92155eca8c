"""Tasks of every kind on a real server: enqueued, run, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from auth_worker import JobQueue, Settings, WorkerService
from auth_worker.errors import InvalidJobDataError
from auth_worker.tasks.producers import LazyProducers
from support import typed_tasks
from support.processors import Harness
from support.task_services import completed, dead_letter
from support.typed_tasks import DEAD, QUEUE, Colour, Options, Size, User


@pytest.fixture
async def service(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerService]:
    """A service that works the queue on the session's server."""
    monkeypatch.setattr(typed_tasks.queue, "producers", LazyProducers(typed_tasks.QUEUE, harness.url, None, 10))
    service = WorkerService(harness.url, settings=harness.settings())
    service.include(typed_tasks.queue)
    async with service:
        yield service
    await typed_tasks.queue.close()


async def test_an_async_task_runs_with_the_arguments_that_were_enqueued(
    service: WorkerService, harness: Harness
) -> None:
    handle = await typed_tasks.greet.enqueue("ada", times=2)
    assert handle.queue_name == QUEUE
    assert await completed(harness, handle.id, QUEUE) == "hello ada, hello ada"
    job = await harness.job(handle.id, QUEUE)
    assert (job["name"], json.loads(job["data"])) == ("greet", {"name": "ada", "times": 2})


async def test_values_of_every_type_arrive_as_they_were_sent(service: WorkerService, harness: Harness) -> None:
    at = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    handle = await typed_tasks.convert.enqueue(
        User(name="ada", born=at),
        Size(2, 3, b"\xff\x00"),
        Options(fast=True, seed=b"\xfe"),
        at,
        timedelta(hours=1),
        id=UUID(int=5),
        price=Decimal("1.10"),
        colour=Colour.RED,
        raw=b"\x00\xff",
    )
    assert await completed(harness, handle.id, QUEUE) == {
        "types": ["User", "Size", "bytes", "datetime", "timedelta", "UUID", "Decimal", "Colour", "bytes"],
        "price": "1.10",
        "at": "2026-05-06T07:08:09Z",
        "size": {"width": 2, "height": 3, "icon": "_wA="},
        "many": None,
    }
    job = await harness.job(handle.id, QUEUE)
    data, options = json.loads(job["data"]), json.loads(job["opts"])
    assert (data["raw"], data["size"]["icon"], data["colour"], data["price"]) == ("AP8=", "_wA=", "red", "1.10")
    assert (options["attempts"], options["priority"], options["removeOnComplete"]) == (2, 3, 7)


async def test_a_def_runs_in_a_thread_with_its_job_and_its_resource(
    service: WorkerService, harness: Harness
) -> None:
    handle = await typed_tasks.in_thread.enqueue(4)
    returned = await completed(harness, handle.id, QUEUE)
    assert returned == {"number": 4, "at": "2026-01-02T03:04:05Z"}
    assert await harness.redis.lrange(f"bull:{QUEUE}:{handle.id}:logs", 0, -1) == [b"count 4"]


async def test_process_tasks_of_a_queue_run_in_worker_processes(service: WorkerService, harness: Harness) -> None:
    first = await typed_tasks.in_process.enqueue(Size(3, 4, b"\xff"))
    other = await typed_tasks.also_in_process.enqueue("abc")
    returned = await completed(harness, first.id, QUEUE)
    assert (returned["area"], returned["id"], returned["size"]["icon"]) == (12, first.id, "_w==")
    assert returned["pid"] != os.getpid()
    assert await completed(harness, other.id, QUEUE) == "ABC"


async def test_a_job_of_another_producer_is_read_in_the_same_way(service: WorkerService, harness: Harness) -> None:
    async with JobQueue(QUEUE, harness.url, settings=Settings(http_port=None)) as jobs:
        job_id = await jobs.add("in_process", {"size": {"width": 1, "height": 2, "icon": "//8="}})
    returned = await completed(harness, job_id, QUEUE)
    assert returned["size"] == {"width": 1, "height": 2, "icon": "__8="}


@pytest.mark.parametrize("name", ["greet", "in_thread", "in_process"])
async def test_bad_data_of_another_producer_is_dead_at_once_and_shows_no_value(
    service: WorkerService, harness: Harness, name: str
) -> None:
    async with JobQueue(QUEUE, harness.url, settings=Settings(http_port=None)) as jobs:
        job_id = await jobs.add(name, {"hunter2": 1, "times": "hunter2", "number": "hunter2"}, attempts=5)
    letter = await dead_letter(harness, job_id, DEAD)
    assert letter["reasonClass"] == "invalid_payload"
    job = await harness.job(job_id, QUEUE)
    assert job["atm"] == "1"
    assert "Field required" in job["failedReason"] or "valid integer" in job["failedReason"]
    assert "hunter2" not in job["failedReason"] + job["stacktrace"]


async def test_an_unknown_task_is_dead_at_once(service: WorkerService, harness: Harness) -> None:
    async with JobQueue(QUEUE, harness.url, settings=Settings(http_port=None)) as jobs:
        job_id = await jobs.add("nobody", {}, attempts=5)
    letter = await dead_letter(harness, job_id, DEAD)
    assert letter["reasonClass"] == "unknown_job_type"
    assert (await harness.job(job_id, QUEUE))["failedReason"] == "Unknown task: nobody"


async def test_a_handle_gives_the_result_as_the_task_declares_it(service: WorkerService) -> None:
    handle = await typed_tasks.greet.enqueue("ada", times=2)
    assert await handle.result(10) == "hello ada, hello ada"
    other = await asyncio.to_thread(typed_tasks.greet.enqueue_sync, "bob")
    assert await asyncio.to_thread(other.result_sync, 10) == "hello bob"
    await asyncio.to_thread(typed_tasks.queue.jobs.sync.close)


def test_a_result_is_converted_or_refused_without_its_value() -> None:
    definition = typed_tasks.greet.definition
    assert definition.decode_result("hello") == "hello"
    with pytest.raises(InvalidJobDataError, match="result") as refused:
        definition.decode_result({"secret": 12345})
    assert "12345" not in str(refused.value)
