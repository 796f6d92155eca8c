"""Bulk operations are known to every process on the broker: seen, stopped and begun again from any."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.admin import bulk_records
from auth_worker.http.api import bulk_runs
from support.admin_api import ADMIN, READER, add, service_at
from support.command_line import Worker
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, eventually
from support.servers import free_port

REMOVE = {"action": "remove", "queue": QUEUE, "state": "wait", "all": True}
SLOWLY = {**REMOVE, "rate": 0.5}


@pytest.fixture
async def other(harness: Harness) -> AsyncIterator[WorkerService]:
    """Another replica of the service, which takes no jobs."""
    service = service_at(harness.url)
    async with service:
        assert (await Api(service.http_port, ADMIN).post("/service/pause")).status == 200
        yield service


@pytest.fixture
def elsewhere(other: WorkerService) -> Api:
    """The API of the other replica."""
    return Api(other.http_port, ADMIN)


async def begun_slowly(api: Api, count: int = 5) -> dict[str, Any]:
    for _ in range(count):
        await add(api)
    begun = await api.post("/operations", SLOWLY)
    assert begun.json["state"] == "running"
    found: dict[str, Any] = begun.json
    return found


async def test_what_one_replica_runs_is_seen_and_stopped_on_another(
    paused_api: Api, elsewhere: Api, other: WorkerService, harness: Harness
) -> None:
    begun = await begun_slowly(paused_api)
    seen = (await elsewhere.get(f"/operations/{begun['id']}")).json
    assert (seen["state"], seen["who"], seen["selection"]) == ("running", "admin", {"state": "wait"})
    assert [each["id"] for each in (await elsewhere.get("/operations")).json] == [begun["id"]]

    async def progressed() -> bool:
        return bool((await elsewhere.get(f"/operations/{begun['id']}")).json["step"]["done"])

    await eventually(progressed, "its progress is seen")
    visitor = Visitor(other.http_port)
    await visitor.log_in(ADMIN)
    assert "badge running" in (await visitor.get("operations")).text
    page = await visitor.get("operation", id=begun["id"])
    stopped = await visitor.follow(await visitor.send(page.form("stop")))
    assert "Stopped by admin." in stopped.text
    for api in (paused_api, elsewhere):
        found = (await api.get(f"/operations/{begun['id']}")).json
        assert (found["state"], found["stopAskedBy"]) == ("stopped", "admin")
        assert found["step"]["done"] + (await harness.counts())["wait"] == 5
    assert (await elsewhere.delete(f"/operations/{begun['id']}")).json["state"] == "stopped"


async def test_what_a_stopped_service_ran_is_interrupted_and_begun_again_once(
    api: Api, service: WorkerService, elsewhere: Api, other: WorkerService, harness: Harness
) -> None:
    await api.post("/service/pause")
    begun = await begun_slowly(api)
    await service.stop(0)
    left = (await elsewhere.get(f"/operations/{begun['id']}")).json
    assert (left["state"], left["reasons"]) == ("interrupted", ["the process that ran it was stopped"])
    visitor = Visitor(other.http_port)
    await visitor.log_in(ADMIN)
    page = await visitor.get("operation", id=begun["id"])
    assert "The process that ran it was stopped." in page.text
    asked = await visitor.send(page.form("again"))
    waiting = (await harness.counts())["wait"]
    assert 0 < waiting < 5
    assert f"Remove {waiting} jobs?" in asked.text
    done = await visitor.follow(await visitor.send(asked.form("again"), ("sure", "yes"), ("rate", "")))
    assert f"<strong>{waiting}</strong> of {waiting} done" in done.text
    assert (await harness.counts())["wait"] == 0
    assert (await elsewhere.get(f"/operations/{begun['id']}")).json["begunAgainAs"] in done.path
    refused = await elsewhere.post(f"/operations/{begun['id']}/again")
    assert (refused.status, "was begun again as" in refused.reasons) == (409, True)


@pytest.mark.timeout(120)
async def test_what_a_killed_process_ran_is_interrupted_once_it_has_been_silent(
    elsewhere: Api, harness: Harness, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"http_token": ADMIN, "http_port": str(port), "redis_url": harness.url}
    worker = await asyncio.to_thread(partial(Worker, tmp_path, **settings))
    try:
        begun = await begun_slowly(Api(port, ADMIN))
    finally:
        worker.kill()
    path, key = f"/operations/{begun['id']}", f"bull:auth-worker-bulk:{begun['id']}:running"
    assert (await elsewhere.get(path)).json["state"] == "running"
    assert 0 < await harness.redis.pttl(key) <= bulk_records.SILENCE_MS
    await harness.redis.delete(key)  # as it expires
    left = (await elsewhere.get(path)).json
    assert left["state"] == "interrupted"
    assert left["endedAt"] == left["updatedAt"]
    assert (await elsewhere.delete(path)).json["state"] == "interrupted", "there is nothing to stop"
    again = await elsewhere.post(f"{path}/again")
    assert again.headers["location"] == f"/api/v1/operations/{again.json['id']}"
    await elsewhere.delete(f"/operations/{again.json['id']}")
    assert (await harness.counts())["wait"] < 5


async def test_what_runs_or_is_done_is_not_begun_again(paused_api: Api) -> None:
    begun = await begun_slowly(paused_api)
    counted = await paused_api.ended(await paused_api.post("/operations", {**REMOVE, "dryRun": True}))
    done = await paused_api.ended(await paused_api.post("/operations", REMOVE))
    for each, why in ((begun, "runs still"), (counted, "is a dry run"), (done, "is done")):
        refused = await paused_api.post(f"/operations/{each['id']}/again")
        assert (refused.status, why in refused.reasons) == (409, True), refused.text
    assert (await paused_api.post("/operations/nothing/again")).status == 404


async def test_a_selection_too_long_to_be_kept_is_to_be_selected_again(
    paused_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_records, "LONGEST_REQUEST", 100)
    ids = [await add(paused_api) for _ in range(30)]
    begun = await paused_api.post("/operations", {"action": "remove", "queue": QUEUE, "ids": ids, "rate": 0.5})
    assert begun.json["selection"] == {"ids": "the 30 selected"}
    await paused_api.delete(f"/operations/{begun.json['id']}")
    refused = await paused_api.post(f"/operations/{begun.json['id']}/again")
    assert (refused.status, "too many ids to be kept" in refused.reasons) == (409, True)


async def test_the_newest_are_kept_and_those_that_run(
    paused_api: Api, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_records, "MOST_KEPT", 3)
    running = await begun_slowly(paused_api)
    kept = [(await paused_api.post("/operations", {**REMOVE, "dryRun": True})).json["id"] for _ in range(5)]
    assert [each["id"] for each in (await paused_api.get("/operations")).json] == kept[:1:-1]
    assert (await paused_api.get(f"/operations/{running['id']}")).json["state"] == "running"
    stored = await harness.redis.zrange("bull:auth-worker-bulk", 0, -1)
    assert {each.decode() for each in stored} == {running["id"], *kept[2:]}
    assert (await paused_api.delete(f"/operations/{running['id']}")).json["state"] == "stopped"
    for each in kept[2:]:
        assert 0 < await harness.redis.pttl(f"bull:auth-worker-bulk:{each}") <= bulk_records.COUNT_LIFETIME_MS


async def test_a_record_that_another_program_left_is_not_shown(paused_api: Api, harness: Harness) -> None:
    strange = "a" * 32
    await harness.redis.zadd("bull:auth-worker-bulk", {strange: 1, "gone": 2})
    await harness.redis.hset(f"bull:auth-worker-bulk:{strange}", "record", json.dumps({"id": 1}))
    assert (await paused_api.get("/operations")).json == []
    assert (await paused_api.get(f"/operations/{strange}")).status == 404
    assert await harness.redis.zrange("bull:auth-worker-bulk", 0, -1) == [strange.encode()]


async def test_the_end_is_written_once_the_broker_is_back(
    paused_api: Api, elsewhere: Api, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runs, "BEAT_S", 0.05)
    begun = await begun_slowly(paused_api)
    await harness.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def ended() -> dict[str, Any] | None:
        found = (await elsewhere.get(f"/operations/{begun['id']}")).json
        return found if found.get("state") in ("failed", "done") else None

    found = await eventually(ended, "the failure is written", within=20)
    assert (await paused_api.get(f"/operations/{begun['id']}")).json == found


async def test_a_reader_sees_them_and_may_not_begin_one_again(paused_api: Api, service: WorkerService) -> None:
    begun = await begun_slowly(paused_api)
    await paused_api.delete(f"/operations/{begun['id']}")
    reader = Visitor(service.http_port)
    await reader.log_in(READER)
    page = await reader.get("operation", id=begun["id"])
    assert "badge stopped" in page.text
    assert all(form.action != "again" for form in page.forms)
    assert (await Api(service.http_port, READER).post(f"/operations/{begun['id']}/again")).status == 403
