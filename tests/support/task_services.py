"""Services that work a TaskQueue on the server of a harness, and what their jobs became."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from auth_worker import Settings, WorkerService
from auth_worker.queue import JobQueue
from auth_worker.tasks import TaskQueue
from support.processors import FAST, Harness, eventually

QUEUE, DEAD = "tasks", "tasksDead"


def task_queue(harness: Harness, **options: Any) -> TaskQueue:
    """A TaskQueue on the harness's server, whose retries come soon."""
    config = {**FAST, **options.pop("worker_config", {})}
    return TaskQueue(QUEUE, harness.url, worker_config=config, dead_letter_queue_name=DEAD, **options)


@contextlib.asynccontextmanager
async def working(harness: Harness, queue: TaskQueue) -> AsyncIterator[WorkerService]:
    """A service that works ``queue``, in this block."""
    service = WorkerService(harness.url, settings=harness.settings())
    service.include(queue)
    async with service:
        yield service
    await queue.close()


async def add_raw(harness: Harness, name: str, data: Any, **options: Any) -> str:
    """Add a job as a producer that knows no tasks does, such as one in Node."""
    async with JobQueue(QUEUE, harness.url, settings=Settings(http_port=None)) as jobs:
        return await jobs.add(name, data, **options)


async def completed(harness: Harness, job_id: str, queue: str = QUEUE) -> Any:
    """The return value of a job, once it is completed."""

    async def done() -> bool:
        return await harness.redis.zscore(f"bull:{queue}:completed", job_id) is not None

    await eventually(done, f"job {job_id} completed")
    return json.loads((await harness.job(job_id, queue))["returnvalue"])


async def failed(harness: Harness, job_id: str, queue: str = QUEUE) -> dict[str, str]:
    """The hash of a job, once it has failed for good."""

    async def done() -> bool:
        return await harness.redis.zscore(f"bull:{queue}:failed", job_id) is not None

    await eventually(done, f"job {job_id} failed")
    return await harness.job(job_id, queue)


async def dead_letter(harness: Harness, job_id: str, dead: str = DEAD) -> dict[str, Any]:
    """The dead letter of a job, once it is there."""

    async def found() -> dict[str, Any] | None:
        for letter in await harness.redis.lrange(f"bull:{dead}:wait", 0, -1):
            data: dict[str, Any] = json.loads(await harness.redis.hget(f"bull:{dead}:{letter.decode()}", "data"))
            if job_id in json.dumps(data):
                return data
        return None

    letter: dict[str, Any] = await eventually(found, f"dead letter of {job_id}")
    return letter
