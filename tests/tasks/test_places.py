"""Tasks are enqueued at the broker of their queue, else of the service that works it, else of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from auth_worker import Job, WorkerService, flow
from auth_worker.errors import ConfigurationError
from auth_worker.tasks import TaskQueue
from support import enqueueing_tasks
from support.processors import Harness
from support.servers import free_port


@pytest.fixture(autouse=True)
def another_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is where the settings say."""
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", f"redis://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("explicitly", ["connection", "settings"])
async def test_tasks_enqueue_where_their_service_works(harness: Harness, explicitly: str) -> None:
    queue = enqueueing_tasks.new_queue()
    if explicitly == "connection":
        service = WorkerService(harness.url, settings=harness.settings())
    else:
        service = WorkerService(settings=harness.settings(redis_url=harness.url, prefix="other"))
    service.include(queue)
    async with service:
        for name in ("on_the_loop", "in_a_thread", "in_a_flow"):
            assert await (await queue.tasks[name].enqueue(1)).result(20) == 2
    await queue.close()


async def test_worker_processes_enqueue_there_too(harness: Harness) -> None:
    service = WorkerService(harness.url, settings=harness.settings())
    service.include(enqueueing_tasks.queue)
    async with service:
        handle = await enqueueing_tasks.in_a_process.enqueue(1)
        assert await handle.result(20) == 2
    await enqueueing_tasks.queue.close()


def test_a_task_is_not_included_in_place_of_its_queue(harness: Harness) -> None:
    task: Any = enqueueing_tasks.in_a_process
    with pytest.raises(ConfigurationError, match=f"takes a TaskQueue; for a task, name its queue. Got {task!r}"):
        WorkerService(harness.url, settings=harness.settings()).include(task)


async def test_a_queue_that_was_made_for_a_broker_stays_there(harness: Harness) -> None:
    queue = TaskQueue("placed", harness.url)

    @queue.task
    async def add_one(job: Job, number: int) -> int:
        return number + 1

    WorkerService(f"redis://127.0.0.1:{free_port()}", settings=harness.settings()).include(queue)
    assert (await add_one.enqueue(1)).created
    added = await flow.add(add_one.flow(1).after(add_one.flow(2)))
    assert await harness.redis.exists(f"bull:placed:{added.job}")
    await queue.close()
