"""Resources that several queues share, and those that only the worker imports."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth_worker import WorkerService
from auth_worker.errors import ConfigurationError
from auth_worker.tasks import INJECTED, TaskQueue
from auth_worker.tasks.resources import OpenResources, resource_of
from support import light_tasks
from support.processors import Harness
from support.task_services import completed, task_queue, working


class Pool:
    def __init__(self, name: str) -> None:
        self.name = name


class Smtp(Pool): ...


async def test_several_queues_share_one(harness: Harness) -> None:
    first, second, steps = task_queue(harness), TaskQueue("others", harness.url), list[str]()
    pools = list[Pool]()

    @first.resource
    @second.resource
    async def pool() -> AsyncIterator[Pool]:
        steps.append("open pool")
        yield Pool("db")
        steps.append("close pool")

    @second.resource
    async def smtp() -> AsyncIterator[Smtp]:
        yield Smtp("mail")
        steps.append("close smtp")

    @first.task
    async def keep(pool: Pool = INJECTED) -> None:
        pools.append(pool)

    @second.task
    async def keep_too(pool: Pool = INJECTED, smtp: Smtp = INJECTED) -> None:
        pools.append(pool)

    async with working(harness, first):
        async with working(harness, second):
            await completed(harness, (await keep.enqueue()).id)
            await completed(harness, (await keep_too.enqueue()).id, "others")
        assert steps == ["open pool", "close smtp"]
    assert steps == ["open pool", "close smtp", "close pool"]
    assert pools[0] is pools[1]
    async with working(harness, first):
        assert steps[3:] == ["open pool"]


async def test_one_that_several_queues_share_and_that_does_not_open_is_tried_again() -> None:
    failures = [OSError("no server")]

    async def pool() -> AsyncIterator[Pool]:
        if failures:
            raise failures.pop()
        yield Pool("db")

    users = [OpenResources([resource_of(pool)]) for _ in range(2)]
    results = await asyncio.gather(*(user.open() for user in users), return_exceptions=True)
    assert [type(result) for result in results] == [ConfigurationError] * 2
    await users[0].open()
    assert users[0].values[Pool].name == "db"
    assert await users[0].close() is None


async def test_who_enqueues_does_not_import_what_only_the_worker_needs(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys; from support.light_tasks import predict, predict_in_process as other;"
        "print(predict.enqueue_sync(1).id, other.enqueue_sync(2).id, 'support.heavy_resources' in sys.modules)"
    )
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", harness.url)
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(light_tasks.__file__).parents[1]
    )
    first, second, imported = (await asked.communicate())[0].decode().split()
    assert imported == "False"
    importlib.import_module("support.heavy_resources")
    async with working(harness, light_tasks.queue):
        assert await completed(harness, first, light_tasks.queue.name) == 10
        assert await completed(harness, second, light_tasks.queue.name) == 20  # its process imports it as well


async def test_a_type_that_is_only_named_must_be_named_by_one_resource(harness: Harness) -> None:
    queue = task_queue(harness)

    async def take(smtp: Smtp = INJECTED) -> None: ...

    take.__annotations__["smtp"] = "clients.Mailer"
    queue.task(take)
    service = WorkerService(harness.url, settings=harness.settings())
    with pytest.raises(ConfigurationError, match=r"parameter smtp: .*no resource for clients\.Mailer"):
        service.include(queue)
    for module in ("clients", "others"):
        queue.resource(provides=type("Mailer", (), {"__module__": module}))(contextlib.nullcontext)
    with pytest.raises(ConfigurationError, match=r"2 resources for a type clients\.Mailer"):
        service.include(queue)
