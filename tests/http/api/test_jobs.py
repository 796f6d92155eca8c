"""Jobs over HTTP: added, looked at, found, changed, retried, removed, and refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from support.admin_api import JOBS, SECRET, add, dead, dead_jobs, state_of
from support.http_requests import Answer, Api
from support.processors import DEAD, QUEUE, Harness, eventually


async def test_a_job_is_added_worked_and_shown_masked_unless_revealed(api: Api) -> None:
    job_id = await add(api, data={"user": {"id": 12}, "code": SECRET}, jobId="welcome-12", attempts=2)
    assert job_id == "welcome-12"

    async def done() -> Any:
        found = await api.get(f"{JOBS}/{job_id}")
        return found if found.json["state"] == "completed" else None

    shown: Answer = await eventually(done, "the job is done")
    assert shown.json["data"] == {"user": {"id": "<number>"}, "code": "<text of 14>"}
    assert shown.json["maxAttempts"] == 2
    assert shown.json["logCount"] == 1
    logs = await api.get(f"{JOBS}/{job_id}/logs")
    assert (logs.json["total"], logs.json["lines"]) == (1, ["trying good, password: ***"])
    assert SECRET not in shown.text + logs.text
    assert SECRET in (await api.get(f"{JOBS}/{job_id}", reveal="true")).text
    assert SECRET in (await api.get(f"{JOBS}/{job_id}/logs", reveal="true")).text


async def test_jobs_are_listed_by_state_searched_and_paged(paused_api: Api) -> None:
    ids = [await add(paused_api, f"kind{number % 2}", {"user": {"id": number}}) for number in range(7)]
    page = (await paused_api.get(JOBS, state="wait", limit=3)).json
    assert ([job["id"] for job in page["jobs"]], page["total"], page["nextOffset"]) == (ids[:3], 7, 3)
    page = (await paused_api.get(JOBS, state="wait", offset=3)).json
    assert ([job["id"] for job in page["jobs"]], page["nextOffset"]) == (ids[3:], None)
    for query, meant in (
        ({"where": "data.user.id=4"}, [4]),
        ({"where": ["user.id=4", "user.id=5"]}, []),
        ({"name": "*1"}, [1, 3, 5]),
        ({"id": ids[2]}, [2]),
        ({"olderThan": 1000}, []),
    ):
        found = (await paused_api.get(JOBS, state="wait", **query)).json["jobs"]
        assert [job["id"] for job in found] == [ids[number] for number in meant], query
    wrong = await paused_api.get(JOBS, state="wait", where="no condition")
    assert (wrong.status, wrong.reasons.startswith("query.where.0: ")) == (422, True)
    assert "'no condition' is not a condition: write data.user.id=12" in wrong.reasons
    unknown = await paused_api.get(JOBS, state="runing")
    assert (unknown.status, "query.state" in unknown.reasons) == (422, True)


async def test_a_delayed_job_gets_another_delay_a_priority_and_runs_now(paused_api: Api, harness: Harness) -> None:
    job_id = await add(paused_api, delay=60_000)
    changed = await paused_api.patch(f"{JOBS}/{job_id}", {"delay": 600_000, "priority": 7})
    assert (changed.status, changed.json["priority"], changed.json["state"]) == (200, 7, "delayed")
    assert changed.json["due"] - changed.json["timestamp"] >= 600_000
    assert (await paused_api.post(f"{JOBS}/{job_id}/promote")).status == 204
    assert await state_of(paused_api, job_id) == "prioritized"
    again = await paused_api.post(f"{JOBS}/{job_id}/promote")
    assert (again.status, "in another state" in again.reasons) == (409, True)
    assert (await paused_api.delete(f"{JOBS}/{job_id}")).status == 204
    assert (await paused_api.get(f"{JOBS}/{job_id}")).status == 404
    assert (await paused_api.post(f"{JOBS}/{job_id}/promote")).status == 404
    assert sum((await harness.counts()).values()) == 0


async def test_a_job_is_cancelled_once(paused_api: Api, harness: Harness) -> None:
    job_id = await add(paused_api, delay=60_000)
    assert (await paused_api.post(f"{JOBS}/{job_id}/cancel", {"reason": "wrong list"})).status == 204
    assert (await harness.job(job_id))["failedReason"] == "job was cancelled: wrong list"
    again = await paused_api.post(f"{JOBS}/{job_id}/cancel")
    assert (again.status, "it has finished" in again.reasons) == (409, True)
    other = await add(paused_api, delay=60_000)
    asked = {"action": "cancel", "queue": QUEUE, "state": "delayed", "all": True, "reason": "all"}
    assert (await paused_api.ended(await paused_api.post("/operations", asked)))["step"]["done"] == 1
    assert (await harness.job(other))["failedReason"] == "job was cancelled: all"


async def test_a_job_that_waits_is_moved_to_the_dead_letters(paused_api: Api, harness: Harness) -> None:
    job_id, held = await add(paused_api, delay=60_000), await add(paused_api)
    moved = await paused_api.post(f"{JOBS}/{job_id}/dead-letter", {"to": DEAD, "reason": "wrong list"})
    assert moved.status == 204, moved.text
    assert (await harness.job(job_id))["failedReason"] == "job was cancelled: wrong list"
    assert await dead_jobs(paused_api) == {job_id}
    again = await paused_api.post(f"{JOBS}/{job_id}/dead-letter")
    assert (again.status, "its dead letter was written" in again.reasons) == (409, True)
    asked = {"action": "dead-letter", "queue": QUEUE, "state": "wait", "all": True}
    assert (await paused_api.ended(await paused_api.post("/operations", asked)))["step"]["done"] == 1
    assert (await harness.job(held))["failedReason"] == "job was cancelled: moved to the dead letters"
    assert await dead_jobs(paused_api) == {job_id, held}


async def test_a_job_that_runs_is_not_moved_to_the_dead_letters(api: Api) -> None:
    job_id = await add(api, "held")

    async def runs() -> bool:
        return await state_of(api, job_id) == "active"

    await eventually(runs, "the job to run")
    refused = await api.post(f"{JOBS}/{job_id}/dead-letter", {"to": DEAD})
    assert (refused.status, "a worker is processing it" in refused.reasons) == (409, True)
    assert (await api.get(f"{JOBS}/{job_id}")).json.get("deferredFailure") is None
    assert await state_of(api, job_id) == "active"


@pytest.mark.parametrize("change", [{"priority": 3}, {"delay": 1000}, {"priority": 3, "delay": 1000}])
async def test_a_finished_job_is_not_changed_and_its_state_is_named(api: Api, change: dict[str, int]) -> None:
    (letter,) = await dead(api)
    refused = await api.patch(f"{JOBS}/{letter['jobId']}", change)
    assert (refused.status, f"of job {letter['jobId']} (failed): " in refused.reasons) == (409, True), refused.text


async def test_a_failed_job_is_retried_and_its_letter_goes_with_it(api: Api) -> None:
    (letter,) = await dead(api)
    await api.post("/service/pause")
    assert (await api.post(f"{JOBS}/{letter['jobId']}/retry")).status == 204
    assert await state_of(api, letter["jobId"]) == "wait"
    assert (await api.get(f"/dead-letters/{DEAD}")).json["letters"] == []
    again = await api.post(f"{JOBS}/{letter['jobId']}/retry")
    assert (again.status, "only failed and completed jobs" in again.reasons) == (409, True)


async def test_a_job_that_a_worker_has_is_not_removed(api: Api) -> None:
    job_id = await add(api, "held")

    async def runs() -> bool:
        return await state_of(api, job_id) == "active"

    await eventually(runs, "the job runs")
    refused = await api.delete(f"{JOBS}/{job_id}")
    assert (refused.status, "a worker is processing it" in refused.reasons) == (409, True)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "body.name: Field required"),
        ({"name": "n", "opts": {"delai": 5}}, "body.opts.delai"),
        ({"name": "n", "opts": {"attempts": 10**40}}, "body.opts.attempts"),
        ({"name": "n", "opts": {"timestamp": 2**70}}, "body.opts.timestamp"),
        ({"name": "n", "opts": {"jobId": "123"}}, "whole number"),
        ({"name": "n", "opts": {"jobId": "meta"}}, "a key of the queue itself"),
        (b'{"name": "n", "data": NaN}', "data"),
        (b'{"name": "\\ud800"}', "name"),
        (b"{", "JSON"),
        (b"[" * 100_000, "parsing the body"),
    ],
)
async def test_an_invalid_job_is_refused_naming_the_field(
    paused_api: Api, harness: Harness, body: Any, named: str
) -> None:
    answer = await paused_api.post(JOBS, body)
    assert answer.status in (400, 422)
    assert named in answer.reasons, answer.reasons[:300]
    assert sum((await harness.counts()).values()) == 0


async def test_a_job_whose_parent_is_not_there_is_refused(paused_api: Api) -> None:
    orphan = {"name": "n", "opts": {"parent": {"id": "nobody", "queue": f"bull:{QUEUE}"}}}
    refused = await paused_api.post(JOBS, orphan)
    assert (refused.status, "its parent job does not exist" in refused.reasons) == (409, True)


async def test_failures_are_grouped(api: Api) -> None:
    await dead(api)
    grouped = (await api.get(JOBS, state="failed", groupBy="error")).json
    assert [(group["count"], SECRET in group["error"]) for group in grouped["groups"]] == [(1, False)]
    assert (await api.get(JOBS, state="wait", groupBy="error")).status == 422
