"""A service with an HTTP port, a client of its API, and jobs that are added and fail there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker import Job, Settings, UnrecoverableError, WorkerService
from support.http_requests import Api
from support.processors import DEAD, FAST, QUEUE, Harness, eventually

ADMIN, READER = "the token of the admin", "the token of the reader"
SECRET = "hunter2hunter2"
JOBS = f"/queues/{QUEUE}/jobs"


async def consume(job: Job) -> dict[str, Any]:
    """Fail for good on a bad job, and keep a held one running."""
    await job.log(f"trying {job.name}, password: {SECRET}")
    if job.name == "bad":
        raise UnrecoverableError(f"broken, password: {SECRET}")
    if job.name == "held":
        await asyncio.Event().wait()
    return {"ok": True}


def service_at(url: str, **settings: Any) -> WorkerService:
    """A service on the harness's queue, with a token that may change things and one that may only read."""
    given = {"http_token": ADMIN, "http_read_token": READER, "http_port": 0, "log_level": "ERROR", **settings}
    service = WorkerService(url, settings=Settings(**given))
    service.register_processor(
        queue_name=QUEUE, processor=consume, worker_config=FAST, dead_letter_queue_name=DEAD
    )
    return service


@pytest.fixture
async def service(harness: Harness) -> AsyncIterator[WorkerService]:
    """The running service. The jobs that it still runs at the end are handed back."""
    service = service_at(harness.url)
    await service.start()
    yield service
    await service.stop(0)


@pytest.fixture
def api(service: WorkerService) -> Api:
    """The API, with all rights."""
    return Api(service.http_port, ADMIN)


@pytest.fixture
async def paused_api(service: WorkerService, api: Api) -> Api:
    """The API of the service while it takes no jobs."""
    assert (await api.post("/service/pause")).status == 200
    return api


@pytest.fixture
async def port(paused_api: Api, service: WorkerService) -> int:
    """The port of the paused service, with a waiting job ``kept`` in each of the two queues."""
    for queue in (QUEUE, DEAD):
        data = {"n": 1, "list": [1, {"a": 2.5}], "s": "x"}
        body = {"name": "kept", "data": data, "opts": {"jobId": "kept"}}
        assert (await paused_api.post(f"/queues/{queue}/jobs", body)).status == 201
    assert service.http_port is not None
    return service.http_port


async def add(api: Api, name: str = "good", data: Any = None, **opts: Any) -> str:
    """Add a job and return its id."""
    answer = await api.post(JOBS, {"name": name, "data": data if data is not None else {"n": 1}, "opts": opts})
    assert answer.status == 201, answer.text
    job_id: str = answer.json["id"]
    return job_id


async def dead(api: Api, count: int = 1) -> list[dict[str, Any]]:
    """Let ``count`` jobs fail for good, and return their dead letters."""
    for number in range(count):
        await add(api, "bad", {"n": number, "secret": SECRET})

    async def letters() -> list[dict[str, Any]] | None:
        answer = await api.get(f"/dead-letters/{DEAD}")
        found: list[dict[str, Any]] = answer.json.get("letters", [])
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await eventually(letters, f"{count} letters")
    return found


async def dead_jobs(api: Api) -> set[str]:
    """Return the ids of the jobs that have a dead letter."""
    return {each["jobId"] for each in (await api.get(f"/dead-letters/{DEAD}")).json["letters"]}


async def state_of(api: Api, job_id: str) -> str:
    """Return the state of the job."""
    return str((await api.get(f"{JOBS}/{job_id}")).json["state"])
