"""Where requests come in: they hold up no probe, begin nothing before it is needed, and all of it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.admin.jobs import JobOperations
from auth_worker.admin.queues import QueueOperations
from auth_worker.errors import BrokerError, ShutdownError
from auth_worker.events import Problem
from auth_worker.messages import WORKER_ERRORS
from support.admin_api import ADMIN, service_at
from support.http_requests import Api, asked
from support.processors import QUEUE, Harness, collect, eventually
from support.servers import Server, free_port

THREAD = "auth-worker-api"


def api_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == THREAD]


async def test_an_answer_that_takes_long_holds_up_no_probe(
    api: Api, service: WorkerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def block(self: Any, *_: Any, **__: Any) -> None:
        begun.set()
        assert threading.current_thread().name == THREAD
        go_on.wait(10)
        raise BrokerError("ERR no")

    monkeypatch.setattr(JobOperations, "show", block)
    await api.post(f"/queues/{QUEUE}/pause")
    slow = asyncio.create_task(api.get(f"/queues/{QUEUE}/jobs/1"))
    assert await asyncio.to_thread(begun.wait, 10)
    assert (await asked(service.http_port, "/livez")).status == 200
    assert (await asked(service.http_port, "/readyz")).status == 200
    go_on.set()
    assert (await slow).status == 502


async def test_an_api_that_nobody_calls_costs_no_thread_and_no_framework(harness: Harness) -> None:
    async with service_at(harness.url) as service:
        assert (await asked(service.http_port, "/readyz")).status == 200
        assert api_threads() == []
        assert (await Api(service.http_port, ADMIN).get("/queues")).status == 200
        assert api_threads() == [THREAD]
    assert api_threads() == []
    program = "import sys, auth_worker.http.server; sys.exit('fastapi' in sys.modules)"
    assert (await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=False)).returncode == 0


async def test_a_request_that_is_too_large_is_refused(harness: Harness) -> None:
    async with service_at(harness.url, max_payload_bytes=1024) as service:
        api = Api(service.http_port, ADMIN)
        path = f"/queues/{QUEUE}/jobs"
        assert (await api.post(path, b" " * 1024 * 1024 + b'{"name": "good"}')).status == 201
        assert (await api.post(path, b" " * 1024 * 1024 * 2 + b'{"name": "good"}')).status == 413
        refused = await api.post(path, {"name": "good", "data": "x" * 2000})
        assert (refused.status, "max_payload_bytes" in refused.reasons) == (422, True)


async def test_an_error_goes_to_the_log_and_not_to_the_client(
    api: Api, service: WorkerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = collect(service.runtime.bus, Problem)

    async def fail(self: Any, *_: Any, **__: Any) -> None:
        raise ValueError("invalid value 'a secret'")

    monkeypatch.setattr(QueueOperations, "check_exists", fail)
    answer = await api.get("/queues/secret-name")
    assert (answer.status, "secret" in answer.text) == (500, False)
    await eventually(lambda: problems)
    assert [problem.message for problem in problems] == [WORKER_ERRORS.HTTP_REQUEST_FAILED]
    assert "/v1/queues/{queue}: ValueError: invalid value " in problems[0].detail
    assert "secret" not in problems[0].detail
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_without_redis_it_says_so_and_recovers() -> None:
    with Server() as server:
        async with service_at(server.url, startup_timeout=10) as service:
            api = Api(service.http_port, ADMIN)
            assert (await api.get("/queues")).status == 200
            await asyncio.to_thread(server.kill)
            gone = await api.get("/queues")
            assert (gone.status, bool(gone.reasons)) == (503, True)
            assert (await api.get("/service")).status == 200
            await asyncio.to_thread(server.start)

            async def back() -> bool:
                return (await api.get("/queues")).status == 200

            await eventually(back, "the API answers again", 20)


async def test_before_it_is_connected_it_asks_to_try_again() -> None:
    service = service_at(f"redis://127.0.0.1:{free_port()}", startup_timeout=30)
    starting = asyncio.create_task(service.start())
    await eventually(lambda: service.http_port, "the port is open")
    early = await Api(service.http_port, ADMIN).get("/queues")
    assert (early.status, "not connected to Redis yet" in early.reasons) == (503, True)
    await service.stop(0)
    with pytest.raises(ShutdownError):
        await starting


async def test_a_blocked_work_loop_is_reported_and_nothing_is_done(
    api: Api, service: WorkerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.api.context.WORK_LOOP_TIMEOUT_S", 0.3)
    assert (await api.get("/service")).status == 200
    answers: list[Any] = []

    def ask_meanwhile() -> None:
        answers.append(asyncio.run(api.post("/service/pause")))

    asking = threading.Thread(target=ask_meanwhile)
    asking.start()
    asking.join()  # blocks the work loop
    assert (answers[0].status, "blocks the event loop" in answers[0].reasons) == (503, True)
    await asyncio.sleep(0)
    assert not any(processor.is_paused for processor in service.get_processors())
