"""Resources of tasks: opened once per process, injected by type, closed in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.errors import ConfigurationError
from auth_worker.events import Problem
from auth_worker.job import Job
from auth_worker.tasks import INJECTED
from auth_worker.tasks.producers import LazyProducers
from auth_worker.tasks.resources import OpenResources, resource_of
from support import typed_tasks
from support.processors import Harness, collect
from support.task_services import completed, task_queue, working


class Pool:
    def __init__(self, name: str) -> None:
        self.name = name


class Smtp(Pool): ...


class Unused(Pool): ...


async def test_they_are_opened_once_in_order_and_closed_in_reverse(harness: Harness) -> None:
    queue, steps = task_queue(harness), list[str]()

    @queue.resource
    async def pool() -> AsyncIterator[Pool]:
        steps.append("open pool")
        yield Pool("db")
        steps.append("close pool")

    @queue.resource
    @contextlib.asynccontextmanager
    async def smtp() -> AsyncIterator[Smtp]:
        steps.append("open smtp")
        yield Smtp("mail")
        steps.append("close smtp")

    @queue.resource(provides=Unused)
    @contextlib.asynccontextmanager
    async def unused() -> Any:
        steps.append("open unused")
        yield

    @queue.task
    async def first(smtp: Smtp, pool: Pool, text: str) -> str:
        return f"{pool.name} {smtp.name} {text}"

    @queue.task
    def second(number: int, pool: Pool = INJECTED) -> str:
        return f"{pool.name} {number}"

    async with working(harness, queue):
        ids = [(await first.enqueue(text="a")).id, (await second.enqueue(2)).id]  # type: ignore[call-arg]
        assert [await completed(harness, each) for each in ids] == ["db mail a", "db 2"]
        assert steps == ["open pool", "open smtp"]
    assert steps == ["open pool", "open smtp", "close smtp", "close pool"]


async def test_a_resource_is_left_in_the_task_that_entered_it(harness: Harness) -> None:
    queue, tasks = task_queue(harness), list[Any]()

    @queue.resource
    async def pool() -> AsyncIterator[Pool]:
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(600):  # may be left only in the task that entered it
            yield Pool("db")
        tasks.append(asyncio.current_task())

    @queue.task
    async def use(pool: Pool = INJECTED) -> str:
        return pool.name

    async with working(harness, queue):
        assert await completed(harness, (await use.enqueue()).id) == "db"
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_a_resource_that_does_not_open_stops_the_start_and_is_named(harness: Harness) -> None:
    queue, steps = task_queue(harness), list[str]()

    @queue.resource
    async def pool() -> AsyncIterator[Pool]:
        yield Pool("db")
        steps.append("close pool")

    @queue.resource
    async def smtp() -> AsyncIterator[Smtp]:
        raise ConnectionRefusedError("no server")
        yield

    @queue.task
    async def use(pool: Pool, smtp: Smtp) -> None: ...

    service = WorkerService(harness.url, settings=harness.settings())
    service.include(queue)
    with pytest.raises(ConfigurationError, match=r"resource Smtp .*smtp.* did not open: ConnectionRefusedError"):
        await service.start()
    assert steps == ["close pool"]


async def test_a_resource_that_does_not_close_is_reported(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.resource
    async def pool() -> AsyncIterator[Pool]:
        yield Pool("db")
        raise RuntimeError("stuck")

    @queue.task
    async def use(pool: Pool) -> None: ...

    async with working(harness, queue) as service:
        problems = collect(service.runtime.bus, Problem)
    assert [problem.detail for problem in problems] == [
        "a resource of the tasks did not close: RuntimeError: stuck"
    ]


async def test_a_resource_that_hangs_does_not_stop_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.tasks.resources.CLOSE_S", 0.01)

    async def pool() -> AsyncIterator[Pool]:
        yield Pool("db")
        await asyncio.Event().wait()

    resources = OpenResources([resource_of(pool)])
    await resources.open()
    assert await resources.close() == "the resources of the tasks did not close within 0.01 s"
    assert await resources.close() is None


async def test_a_start_that_is_cancelled_closes_what_was_open() -> None:
    steps: list[str] = []
    opening = asyncio.Event()

    async def pool() -> AsyncIterator[Pool]:
        yield Pool("db")
        steps.append("close pool")

    async def smtp() -> AsyncIterator[Smtp]:
        opening.set()
        await asyncio.Event().wait()
        yield Smtp("mail")

    resources = OpenResources([resource_of(pool), resource_of(smtp)])
    starting = asyncio.create_task(resources.open())
    await opening.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert steps == ["close pool"]


async def test_worker_processes_have_resources_of_their_own_and_close_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    monkeypatch.setenv("TYPED_TASKS_JOURNAL", str(journal))
    monkeypatch.setattr(typed_tasks.queue, "producers", LazyProducers(typed_tasks.QUEUE, harness.url, None, 10))
    async with working(harness, typed_tasks.queue):
        for _ in range(2):
            handle = await typed_tasks.in_process.enqueue(typed_tasks.Size(1, 2))
            returned = await completed(harness, handle.id, typed_tasks.QUEUE)
    lines = [line.rsplit(" ", 1) for line in journal.read_text().splitlines()]
    own = [text for text, pid in lines if int(pid) == returned["pid"]]
    assert own == ["open journal", "run", "run", "close journal"]


async def test_a_resource_of_a_worker_process_that_does_not_open_stops_the_start(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TYPED_TASKS_JOURNAL", "/nowhere/at/all")
    processes = [task for task in typed_tasks.queue.tasks.values() if task.policy.execution == "process"]
    monkeypatch.setattr(typed_tasks.queue, "tasks", {task.name: task for task in processes})
    service = WorkerService(harness.url, settings=harness.settings())
    service.include(typed_tasks.queue)
    with pytest.raises(ConfigurationError, match=r"resource Journal .*journal.* did not open: FileNotFoundError"):
        await service.start()


async def gives_no_type() -> AsyncIterator:  # type: ignore[type-arg]
    yield 1


async def is_no_context() -> Pool:
    return Pool("db")


async def needs_more(pool: Pool) -> AsyncIterator[Smtp]:
    yield Smtp(pool.name)


@pytest.mark.parametrize(
    ("factory", "named"),
    [(gives_no_type, "gives_no_type"), (is_no_context, "is_no_context"), (needs_more, "needs_more"), (5, "int")],
)
def test_what_is_no_resource_is_refused(harness: Harness, factory: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        task_queue(harness).resource(factory)


def test_a_plain_coroutine_is_no_resource_even_with_its_type_named(harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match="one yield"):
        task_queue(harness).resource(provides=Pool)(is_no_context)


def test_two_resources_of_a_type_are_refused(harness: Harness) -> None:
    queue = task_queue(harness)
    queue.resource(provides=Pool)(lambda: contextlib.nullcontext(Pool("a")))
    with pytest.raises(ConfigurationError, match="already"):
        queue.resource(provides=Pool)(lambda: contextlib.nullcontext(Pool("b")))
    with pytest.raises(ConfigurationError, match="already"):
        queue.resource(provides=Job)(lambda: contextlib.nullcontext(None))


async def test_a_class_that_is_a_context_manager_is_its_own_resource(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.resource
    class Client:
        async def __aenter__(self) -> Client:
            self.name = "client"
            return self

        async def __aexit__(self, *exc_info: object) -> None: ...

    @queue.task
    async def use(client: Client = INJECTED) -> str:
        return client.name

    async with working(harness, queue):
        assert await completed(harness, (await use.enqueue()).id) == "client"
