"""Every operation over HTTP, on a real port, a real service and a real server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from admin.api.conftest import consume
from auth_worker import Settings, WorkerService
from auth_worker.events import OperatorChange
from auth_worker.messages import WORKER_MESSAGES
from http_asks import Answer, Api
from workers import DEAD, QUEUE, Desk, collect, eventually

SECRET = "hunter2hunter2"
JOBS = f"/queues/{QUEUE}/jobs"


async def add(api: Api, name: str = "good", data: Any = None, **opts: Any) -> str:
    answer = await api.post(JOBS, {"name": name, "data": data if data is not None else {"n": 1}, "opts": opts})
    assert answer.status == 201, answer.text
    job_id: str = answer.json["id"]
    return job_id


async def dead(api: Api, count: int = 1) -> list[dict[str, Any]]:
    """The letters of so many jobs that die now."""
    for number in range(count):
        await add(api, "bad", {"n": number, "secret": SECRET})

    async def letters() -> list[dict[str, Any]] | None:
        answer = await api.get(f"/dead-letters/{DEAD}")
        found: list[dict[str, Any]] = answer.json.get("letters", [])
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await eventually(letters, f"{count} letters")
    return found


async def state_of(api: Api, job_id: str) -> str:
    return str((await api.get(f"{JOBS}/{job_id}")).json["state"])


# Jobs


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


async def test_jobs_are_listed_by_state_searched_and_paged(resting: Api) -> None:
    ids = [await add(resting, f"kind{number % 2}", {"user": {"id": number}}) for number in range(7)]
    page = (await resting.get(JOBS, state="wait", limit=3)).json
    assert ([job["id"] for job in page["jobs"]], page["total"], page["nextOffset"]) == (ids[:3], 7, 3)
    page = (await resting.get(JOBS, state="wait", offset=3)).json
    assert ([job["id"] for job in page["jobs"]], page["nextOffset"]) == (ids[3:], None)
    for query, meant in (
        ({"where": "data.user.id=4"}, [4]),
        ({"where": ["user.id=4", "user.id=5"]}, []),
        ({"name": "*1"}, [1, 3, 5]),
        ({"id": ids[2]}, [2]),
        ({"olderThan": 1000}, []),
    ):
        found = (await resting.get(JOBS, state="wait", **query)).json["jobs"]
        assert [job["id"] for job in found] == [ids[number] for number in meant], query
    wrong = await resting.get(JOBS, state="wait", where="no condition")
    assert (wrong.status, wrong.reasons.startswith("query.where.0: ")) == (422, True)
    assert "'no condition' is no condition: write data.user.id=12" in wrong.reasons
    unknown = await resting.get(JOBS, state="runing")
    assert (unknown.status, "query.state" in unknown.reasons) == (422, True)


@pytest.mark.parametrize("path", [f"/queues/{QUEUE}/jobs?state=wait&wher=x", "/queues?limit=3", "/doctor?x="])
async def test_a_parameter_nobody_knows_is_refused_and_named(resting: Api, path: str) -> None:
    answer = await resting.get(path)
    unknown = path.rpartition("&")[2].rpartition("?")[2].partition("=")[0]
    assert (answer.status, f"query.{unknown}: unknown parameter" in answer.reasons) == (422, True), answer.text


async def test_a_delayed_job_gets_another_delay_a_priority_and_runs_now(resting: Api, desk: Desk) -> None:
    job_id = await add(resting, delay=60_000)
    changed = await resting.patch(f"{JOBS}/{job_id}", {"delay": 600_000, "priority": 7})
    assert (changed.status, changed.json["priority"], changed.json["state"]) == (200, 7, "delayed")
    assert changed.json["due"] - changed.json["timestamp"] >= 600_000
    assert (await resting.post(f"{JOBS}/{job_id}/promote")).status == 204
    assert await state_of(resting, job_id) == "prioritized"
    again = await resting.post(f"{JOBS}/{job_id}/promote")
    assert (again.status, "not in that state" in again.reasons) == (409, True)
    assert (await resting.delete(f"{JOBS}/{job_id}")).status == 204
    assert (await resting.get(f"{JOBS}/{job_id}")).status == 404
    assert sum((await desk.counts()).values()) == 0


@pytest.mark.parametrize("change", [{"priority": 3}, {"delay": 1000}, {"priority": 3, "delay": 1000}])
async def test_a_finished_job_takes_no_change_and_its_state_is_told(api: Api, change: dict[str, int]) -> None:
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
    assert (refused.status, "a worker has it" in refused.reasons) == (409, True)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "body.name: Field required"),
        ({"name": "n", "opts": {"delai": 5}}, "body.opts.delai"),
        ({"name": "n", "opts": {"attempts": 10**40}}, "body.opts.attempts"),
        ({"name": "n", "opts": {"timestamp": 2**70}}, "body.opts.timestamp"),
        ({"name": "n", "opts": {"jobId": "123"}}, "all digits"),
        ({"name": "n", "opts": {"jobId": "meta"}}, "a key of the queue itself"),
        (b'{"name": "n", "data": NaN}', "data"),
        (b'{"name": "\\ud800"}', "name"),
        (b"{", "JSON"),
        (b"[" * 100_000, ""),
    ],
)
async def test_a_job_that_makes_no_sense_is_refused_naming_the_field(
    resting: Api, desk: Desk, body: Any, named: str
) -> None:
    answer = await resting.post(JOBS, body)
    assert answer.status in (400, 422)
    assert named in answer.reasons
    assert sum((await desk.counts()).values()) == 0


@pytest.mark.parametrize("path", [JOBS, "/operations"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_what_is_not_sent_as_json_is_refused_with_what_to_send(
    resting: Api, desk: Desk, path: str, kind: str
) -> None:
    refused = await resting.post(path, {"name": "n"}, kind)
    assert (refused.status, refused.reasons.partition(", not ")[0]) == (
        415,
        "send the body as JSON, with the header Content-Type: application/json",
    )
    assert kind in refused.reasons
    assert sum((await desk.counts()).values()) == 0


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
async def test_every_name_of_json_will_do(resting: Api, kind: str) -> None:
    assert (await resting.post(JOBS, {"name": "n"}, kind)).status == 201


async def test_a_job_whose_parent_is_not_there_is_refused(resting: Api) -> None:
    orphan = {"name": "n", "opts": {"parent": {"id": "nobody", "queue": f"bull:{QUEUE}"}}}
    refused = await resting.post(JOBS, orphan)
    assert (refused.status, "its parent job does not exist" in refused.reasons) == (409, True)


# Queues


async def test_a_queue_is_paused_for_all_and_resumed(api: Api) -> None:
    assert (await api.get("/queues/nobodys")).status == 404
    assert (await api.post("/queues/nobodys/pause")).status == 404
    await add(api, jobId="first")
    paused = await api.post(f"/queues/{QUEUE}/pause")
    assert (paused.status, paused.json["paused"], paused.json["workers"]) == (200, True, 1)
    await add(api, jobId="second")
    found = (await api.get("/queues")).json
    assert found["complete"]
    (queue,) = [queue for queue in found["queues"] if queue["name"] == QUEUE]
    assert (queue["paused"], queue["waiting"]) == (True, 1)
    assert queue["oldestWaitingMs"] >= 0
    assert (await api.post(f"/queues/{QUEUE}/resume")).json["paused"] is False

    async def both_done() -> bool:
        return bool((await api.get(f"/queues/{QUEUE}")).json["donePerMinute"] == 2)

    await eventually(both_done, "both jobs are done")


async def test_workers_and_findings_are_told(api: Api) -> None:
    (worker,) = (await api.get("/workers", queue=QUEUE)).json
    assert worker["queue"] == QUEUE
    assert (await api.get("/workers", queue="nobodys")).status == 404
    diagnosis = (await api.get("/doctor")).json
    assert {"healthy", "broker", "findings", "acl"} <= diagnosis.keys()


# Dead letters


async def test_a_letter_is_listed_shown_masked_and_redriven_once(api: Api) -> None:
    (letter,) = await dead(api)
    assert (await api.get("/dead-letters")).json == [{"deadLetterQueue": DEAD, "letters": 1}]
    assert (await api.get(f"/dead-letters/{DEAD}", reason="unrecoverable")).json["letters"] == [letter]
    assert (await api.get(f"/dead-letters/{DEAD}", reason="stalled")).json["letters"] == []
    path = f"/dead-letters/{DEAD}/{letter['id']}"
    shown = await api.get(path)
    assert (shown.json["queue"], shown.json["data"]) == (QUEUE, {"n": "<number>", "secret": "<text of 14>"})
    assert SECRET not in shown.text
    assert SECRET in (await api.get(path, reveal="true")).text
    await api.post("/service/pause")
    redriven = await api.post(f"{path}/redrive")
    assert (redriven.status, redriven.json) == (200, {"jobId": letter["jobId"]})
    assert (await api.post(f"{path}/redrive")).status == 404
    assert await state_of(api, letter["jobId"]) == "wait"


async def test_a_letter_is_thrown_away_and_its_job_stays(api: Api) -> None:
    (letter,) = await dead(api)
    path = f"/dead-letters/{DEAD}/{letter['id']}"
    assert (await api.delete(path)).status == 204
    assert (await api.delete(path)).status == 404
    assert (await api.get(path)).status == 404
    assert await state_of(api, letter["jobId"]) == "failed"


# Many at a time


async def test_jobs_are_counted_then_changed_in_bulk(resting: Api, desk: Desk) -> None:
    for number in range(9):
        await add(resting, f"kind{number % 3}", delay=60_000)
    asked = {"action": "promote", "queue": QUEUE, "name": "kind1"}
    tried = await resting.ended(await resting.post("/operations", {**asked, "dryRun": True}))
    assert (tried["state"], tried["step"]["total"], tried["dryRun"]) == ("done", 3, True)
    assert (await desk.counts())["delayed"] == 9
    begun = await resting.post("/operations", asked)
    assert begun.headers["location"] == f"/api/v1/operations/{begun.json['id']}"
    done = await resting.ended(begun)
    assert (done["state"], done["step"]["done"], done["who"]) == ("done", 3, "admin")
    counts = await desk.counts()
    assert (counts["delayed"], counts["wait"]) == (6, 3)
    removal = {"action": "remove", "queue": QUEUE, "state": "delayed", "all": True}
    assert (await resting.ended(await resting.post("/operations", removal)))["step"]["done"] == 6
    drain = {"action": "drain", "queue": QUEUE}
    assert (await resting.ended(await resting.post("/operations", {**drain, "dryRun": True})))["step"][
        "total"
    ] == 3
    assert (await resting.ended(await resting.post("/operations", drain)))["step"]["done"] == 3
    assert sum((await desk.counts()).values()) == 0
    assert [one["action"] for one in (await resting.get("/operations")).json][:2] == ["drain", "drain"]


async def test_failed_jobs_are_retried_and_cleaned_in_bulk(api: Api, desk: Desk) -> None:
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
    assert (await desk.counts())["failed"] == 0


async def test_letters_are_redriven_and_purged_in_bulk(api: Api, desk: Desk) -> None:
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
    assert (await desk.counts())["wait"] == 2


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
        ({"action": "retry", "queue": QUEUE}, "say which ones"),
        ({"action": "retry", "queue": QUEUE, "ids": ["1"], "all": True}, "say which ones"),
        ({"action": "remove", "queue": QUEUE, "all": True}, "say the state"),
        ({"action": "clean", "queue": QUEUE}, "olderThan"),
        ({"action": "retry", "queue": "a:b", "all": True}, "queue"),
        ({"action": "redrive", "all": True, "rate": 0}, "rate"),
        ({"action": "retry", "queue": QUEUE, "where": ["a=1", "b"]}, "body.retry.where.1: "),
        ({"action": "remove", "queue": QUEUE, "state": "failed", "where": ["b"]}, "body.remove.where.0: "),
        ({"action": "promote", "queue": QUEUE, "where": ["b"]}, "'b' is no condition: write data.user.id=12"),
    ],
)
async def test_a_bulk_operation_that_makes_no_sense_is_refused(api: Api, body: Any, named: str) -> None:
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


# This service


async def test_the_service_that_answers_is_paused_and_resumed(api: Api, desk: Desk) -> None:
    paused = await api.post(f"/service/processors/{QUEUE}/pause")
    assert [processor["isPaused"] for processor in paused.json["processors"]] == [True]
    job_id = await add(api)
    assert await state_of(api, job_id) == "wait"
    assert (await api.get(f"/queues/{QUEUE}")).json["paused"] is False, "other workers go on"
    resumed = await api.post("/service/resume")
    assert [processor["isPaused"] for processor in resumed.json["processors"]] == [False]
    await desk.settled(1)
    assert (await api.get("/service")).json["processors"][0]["metrics"]["completed"] == 1
    unknown = await api.post("/service/processors/nobodys/pause")
    assert (unknown.status, QUEUE in unknown.reasons) == (404, True)


# The account


async def test_every_change_is_told_with_who_made_it(api: Api, service: WorkerService) -> None:
    changes = collect(service.runtime.bus, OperatorChange)
    job_id = await add(api, delay=60_000)
    await api.patch(f"{JOBS}/{job_id}", {"priority": 3})
    await api.post(f"{JOBS}/{job_id}/promote")
    await api.post(f"/queues/{QUEUE}/pause")
    await api.post(f"/service/processors/{QUEUE}/pause")
    await api.ended(await api.post("/operations", {"action": "drain", "queue": QUEUE}))
    told = [(change.who, change.action, change.queue, change.ending) for change in changes]
    actions = ["add", "change priority", "promote", "pause", "pause processor", "drain"]
    assert told == [("admin", action, QUEUE, "done") for action in actions]


async def test_the_account_is_in_the_log_whatever_the_level_of_the_queue(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = WorkerService(desk.url, logger=logging.getLogger("users"), settings=Settings(http_port=0))
    service.register_processor(queue_name=QUEUE, processor=consume, worker_config={"log_level": "ERROR"})
    async with service:
        api = Api(service.http_port)
        await add(api, jobId="one")
        await api.post(f"/queues/{QUEUE}/pause")
    told = [record.__dict__ for record in caplog.records if record.message == WORKER_MESSAGES.OPERATOR_CHANGE]
    fields = ("who", "action", "queue", "target", "count", "result")
    assert [tuple(line[field] for field in fields) for line in told] == [
        ("local", "add", QUEUE, "one", 1, "done"),
        ("local", "pause", QUEUE, QUEUE, 1, "done"),
    ]
