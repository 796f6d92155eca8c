"""Bulk operations over HTTP: tried, begun, stopped, and refused before anything is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.admin.jobs import JobOperations
from auth_worker.events import OperatorChange
from support.admin_api import add, dead
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness, collect


async def test_jobs_are_counted_then_changed_in_bulk(paused_api: Api, harness: Harness) -> None:
    for number in range(9):
        await add(paused_api, f"kind{number % 3}", delay=60_000)
    asked = {"action": "promote", "queue": QUEUE, "name": "kind1"}
    tried = await paused_api.ended(await paused_api.post("/operations", {**asked, "dryRun": True}))
    assert (tried["state"], tried["step"]["total"], tried["dryRun"]) == ("done", 3, True)
    assert (await harness.counts())["delayed"] == 9
    begun = await paused_api.post("/operations", asked)
    assert begun.headers["location"] == f"/api/v1/operations/{begun.json['id']}"
    done = await paused_api.ended(begun)
    assert (done["state"], done["step"]["done"], done["who"]) == ("done", 3, "admin")
    counts = await harness.counts()
    assert (counts["delayed"], counts["wait"]) == (6, 3)
    removal = {"action": "remove", "queue": QUEUE, "state": "delayed", "all": True}
    assert (await paused_api.ended(await paused_api.post("/operations", removal)))["step"]["done"] == 6
    drain = {"action": "drain", "queue": QUEUE}
    assert (await paused_api.ended(await paused_api.post("/operations", {**drain, "dryRun": True})))["step"][
        "total"
    ] == 3
    assert (await paused_api.ended(await paused_api.post("/operations", drain)))["step"]["done"] == 3
    assert sum((await harness.counts()).values()) == 0
    assert [one["action"] for one in (await paused_api.get("/operations")).json][:2] == ["drain", "drain"]


async def test_failed_jobs_are_retried_and_cleaned_in_bulk(api: Api, harness: Harness) -> None:
    letters = await dead(api, 4)
    ids = [letter["jobId"] for letter in letters]
    await api.post("/service/pause")
    retry = {"action": "retry", "queue": QUEUE, "ids": [*ids[:2], "nobody", "meta"]}
    done = (await api.ended(await api.post("/operations", retry)))["step"]
    assert (done["done"], done["skipped"]) == (2, 2)
    assert sorted(done["problems"]) == ["meta: there is no such job", "nobody: there is no such job"]
    clean = {"action": "clean", "queue": QUEUE, "state": "failed", "olderThan": 0}
    assert (await api.ended(await api.post("/operations", {**clean, "dryRun": True})))["step"]["total"] == 2
    assert (await api.ended(await api.post("/operations", clean)))["step"]["done"] == 2
    assert (await harness.counts())["failed"] == 0


async def test_letters_are_redriven_and_purged_in_bulk(api: Api, harness: Harness) -> None:
    letters = await dead(api, 5)
    await api.post("/service/pause")
    redrive = {"action": "redrive", "ids": [letters[0]["id"]], "rate": 100}
    assert (await api.ended(await api.post("/operations", redrive)))["step"]["done"] == 1
    purge = {"action": "purge", "queue": DEAD, "keep": 1}
    assert (await api.ended(await api.post("/operations", {**purge, "dryRun": True})))["step"]["total"] == 3
    assert (await api.ended(await api.post("/operations", purge)))["step"]["done"] == 3
    assert (await api.ended(await api.post("/operations", {"action": "redrive", "all": True})))["step"][
        "done"
    ] == 1
    assert (await harness.counts())["wait"] == 2


async def test_a_bulk_operation_is_stopped_between_two_batches_and_the_rest_stays(api: Api) -> None:
    await dead(api, 6)
    await api.post("/service/pause")
    begun = await api.post("/operations", {"action": "redrive", "all": True, "rate": 1})
    assert begun.json["state"] == "running"
    stopped = await api.delete(f"/operations/{begun.json['id']}")
    assert (stopped.status, stopped.json["state"]) == (200, "stopped")
    left = (await api.get(f"/dead-letters/{DEAD}")).json["total"]
    assert left == 6 - stopped.json["step"]["done"] > 0
    assert (await api.delete(f"/operations/{begun.json['id']}")).json == stopped.json
    assert (await api.get("/operations/nothing")).status == 404


async def test_only_so_many_bulk_operations_run_at_a_time_and_a_stop_ends_them(
    api: Api, service: WorkerService
) -> None:
    await dead(api, 24)  # each redrives one at once, and then waits
    await api.post("/service/pause")
    slowly = {"action": "redrive", "all": True, "rate": 0.001}
    begun = await asyncio.gather(*(api.post("/operations", slowly) for _ in range(12)))
    assert sorted(answer.status for answer in begun) == [202] * 10 + [409] * 2
    changes = collect(service.runtime.bus, OperatorChange)
    await service.stop(0)
    assert {(change.action, change.ending) for change in changes} == {("redrive", "stopped")}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"action": "explode", "queue": QUEUE}, "action"),
        ({"action": "retry", "queue": QUEUE}, "give ids, a filter, or all"),
        ({"action": "retry", "queue": QUEUE, "ids": ["1"], "all": True}, "give ids, a filter, or all"),
        ({"action": "remove", "queue": QUEUE, "all": True}, "name the state of the jobs to remove"),
        ({"action": "cancel", "queue": QUEUE, "all": True}, "name the state of the jobs to cancel"),
        ({"action": "clean", "queue": QUEUE}, "olderThan"),
        ({"action": "retry", "queue": "a:b", "all": True}, "queue"),
        ({"action": "redrive", "all": True, "rate": 0}, "rate"),
        ({"action": "retry", "queue": QUEUE, "where": ["a=1", "b"]}, "body.retry.where.1: "),
        ({"action": "remove", "queue": QUEUE, "state": "failed", "where": ["b"]}, "body.remove.where.0: "),
        ({"action": "promote", "queue": QUEUE, "where": ["b"]}, "'b' is not a condition: write data.user.id=12"),
    ],
)
async def test_an_invalid_bulk_operation_is_refused(api: Api, body: Any, named: str) -> None:
    answer = await api.post("/operations", body)
    assert (answer.status, named in answer.reasons) == (422, True), answer.text


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    "asked",
    [
        {"action": "retry", "all": True},
        {"action": "promote", "ids": ["1"]},
        {"action": "remove", "ids": ["1"]},
        {"action": "drain"},
        {"action": "clean", "olderThan": 0},
        {"action": "redrive", "all": True},
        {"action": "purge", "all": True},
    ],
)
async def test_a_bulk_operation_on_an_unknown_queue_is_refused_at_once(
    api: Api, asked: dict[str, Any], dry_run: bool
) -> None:
    refused = await api.post("/operations", {**asked, "queue": "nobodys", "dryRun": dry_run})
    assert (refused.status, "there is no queue 'nobodys'" in refused.reasons) == (404, True), refused.text
    assert (await api.get("/operations")).json == []


async def test_an_internal_error_of_a_bulk_operation_is_shown_without_its_values(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Any, *_: Any, **__: Any) -> None:
        raise ValueError("invalid value 'hunter2'")

    monkeypatch.setattr(JobOperations, "select", fail)
    begun = await api.post("/operations", {"action": "retry", "queue": QUEUE, "all": True})
    ended = await api.ended(begun)
    assert ended["state"] == "failed"
    assert ended["reasons"][0].startswith("ValueError: invalid value ")
    assert "hunter2" not in str(ended)
