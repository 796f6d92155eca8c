"""A service with an HTTP port, and somebody who asks its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker import Job, Settings, UnrecoverableError, WorkerService
from http_asks import Api
from workers import DEAD, FAST, QUEUE, Desk

ADMIN, READER = "the token of the admin", "the token of the reader"
SECRET = "hunter2hunter2"


async def consume(job: Job) -> dict[str, Any]:
    """Die of a bad job, hold a held one."""
    await job.log(f"trying {job.name}, password: {SECRET}")
    if job.name == "bad":
        raise UnrecoverableError(f"broken, password: {SECRET}")
    if job.name == "held":
        await asyncio.Event().wait()
    return {"ok": True}


def service_at(url: str, **settings: Any) -> WorkerService:
    """A service on the desk's queue, with a token for changes and one for looking."""
    given = {"http_token": ADMIN, "http_read_token": READER, "http_port": 0, "log_level": "ERROR", **settings}
    service = WorkerService(url, settings=Settings(**given))
    service.register_processor(
        queue_name=QUEUE, processor=consume, worker_config=FAST, dead_letter_queue_name=DEAD
    )
    return service


@pytest.fixture
async def service(desk: Desk) -> AsyncIterator[WorkerService]:
    """The service, started; what it holds at the end is handed back."""
    service = service_at(desk.url)
    await service.start()
    yield service
    await service.stop(0)


@pytest.fixture
def api(service: WorkerService) -> Api:
    """The API, asked with all rights."""
    return Api(service.http_port, ADMIN)


@pytest.fixture
async def resting(service: WorkerService, api: Api) -> Api:
    """The API of the service while it takes no jobs."""
    assert (await api.post("/service/pause")).status == 200
    return api
