"""Worker processes over the API."""

from __future__ import annotations

import os

import pytest

from auth_worker import WorkerService
from support.http_requests import Api
from support.processors import QUEUE, eventually


async def test_a_process_is_listed_and_paused_and_resumed(
    api: Api, service: WorkerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.process.heartbeats.BEAT_S", 0.05)

    async def listed() -> object:
        return (await api.get("/worker-processes")).json

    await eventually(listed, "a heartbeat")
    (process,) = (await api.get("/worker-processes")).json
    assert process["pid"] == os.getpid()
    assert [beat["queue"] for beat in process["queues"]] == [QUEUE]
    (processor,) = service.get_processors()
    assert (await api.post(f"/worker-processes/{process['id']}/pause")).status == 202
    await eventually(lambda: processor.is_paused, "it is paused")
    assert (await api.post(f"/worker-processes/{process['id']}/resume")).status == 202
    await eventually(lambda: not processor.is_paused, "it is resumed")
    assert (await api.post(f"/worker-processes/{process['id']}/explode")).status == 422
    assert (await api.post("/worker-processes/nobody/pause")).status == 404
