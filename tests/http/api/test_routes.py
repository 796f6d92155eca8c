"""Queues, dead letters and the service over HTTP, what every route takes, and the record of each change."""

from __future__ import annotations

import logging

import pytest

from auth_worker import Settings, WorkerService
from auth_worker.events import OperatorChange
from auth_worker.messages import WORKER_MESSAGES
from support.admin_api import JOBS, SECRET, add, consume, dead, state_of
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness, collect, eventually


@pytest.mark.parametrize("path", [f"/queues/{QUEUE}/jobs?state=wait&wher=x", "/queues?limit=3", "/doctor?x="])
async def test_an_unknown_parameter_is_refused_and_named(paused_api: Api, path: str) -> None:
    answer = await paused_api.get(path)
    unknown = path.rpartition("&")[2].rpartition("?")[2].partition("=")[0]
    assert (answer.status, f"query.{unknown}: unknown parameter" in answer.reasons) == (422, True), answer.text


@pytest.mark.parametrize("path", [JOBS, "/operations"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_what_is_not_sent_as_json_is_refused_with_what_to_send(
    paused_api: Api, harness: Harness, path: str, kind: str
) -> None:
    refused = await paused_api.post(path, {"name": "n"}, kind)
    wanted = "send the body as JSON, with the header Content-Type: application/json"
    assert (refused.status, refused.reasons) == (415, f"{wanted}, not {kind}" if kind else wanted)
    assert sum((await harness.counts()).values()) == 0


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
async def test_every_content_type_of_json_is_accepted(paused_api: Api, kind: str) -> None:
    assert (await paused_api.post(JOBS, {"name": "n"}, kind)).status == 201


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


async def test_workers_and_findings_are_reported(api: Api) -> None:
    (worker,) = (await api.get("/workers", queue=QUEUE)).json
    assert worker["queue"] == QUEUE
    assert (await api.get("/workers", queue="nobodys")).status == 404
    diagnosis = (await api.get("/doctor")).json
    assert {"healthy", "broker", "findings", "acl"} <= diagnosis.keys()


async def test_a_letter_is_listed_shown_masked_and_redriven_once(api: Api) -> None:
    (letter,) = await dead(api)
    assert (await api.get("/dead-letters")).json == [{"deadLetterQueue": DEAD, "letters": 1}]
    assert (await api.get(f"/dead-letters/{DEAD}", reason="unrecoverable")).json["letters"] == [letter]
    assert (await api.get(f"/dead-letters/{DEAD}", reason="stalled")).json["letters"] == []
    answer = await api.get(f"/dead-letters/{DEAD}", **{"from": QUEUE[:-1]})
    assert answer.status == 404
    assert f"did you mean {QUEUE}?" in answer.json["reasons"][0]
    for index in ("²", "9" * 20, "9" * 900):
        answer = await api.get(f"/queues/{QUEUE}/jobs", state="failed", where=f"data.list.{index}=1")
        assert (answer.status, answer.json["jobs"]) == (200, [])
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


async def test_a_dead_letter_is_removed_and_its_job_stays(api: Api) -> None:
    (letter,) = await dead(api)
    path = f"/dead-letters/{DEAD}/{letter['id']}"
    assert (await api.delete(path)).status == 204
    assert (await api.delete(path)).status == 404
    assert (await api.get(path)).status == 404
    assert await state_of(api, letter["jobId"]) == "failed"


async def test_the_service_that_answers_is_paused_and_resumed(api: Api, harness: Harness) -> None:
    paused = await api.post(f"/service/processors/{QUEUE}/pause")
    assert [processor["isPaused"] for processor in paused.json["processors"]] == [True]
    job_id = await add(api)
    assert await state_of(api, job_id) == "wait"
    assert (await api.get(f"/queues/{QUEUE}")).json["paused"] is False, "other workers go on"
    resumed = await api.post("/service/resume")
    assert [processor["isPaused"] for processor in resumed.json["processors"]] == [False]
    await harness.settled(1)
    assert (await api.get("/service")).json["processors"][0]["metrics"]["completed"] == 1
    unknown = await api.post("/service/processors/nobodys/pause")
    assert (unknown.status, QUEUE in unknown.reasons) == (404, True)


async def test_every_change_is_reported_with_who_made_it(api: Api, service: WorkerService) -> None:
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


async def test_a_change_is_in_the_log_whatever_the_level_of_the_queue(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = WorkerService(harness.url, logger=logging.getLogger("users"), settings=Settings(http_port=0))
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


async def test_a_processor_that_is_not_there_names_the_nearest(api: Api) -> None:
    refused = await api.post(f"/service/processors/{QUEUE[:-1]}/pause")
    assert refused.status == 404
    assert f"did you mean {QUEUE}?" in refused.text
