"""Job schedulers over HTTP."""

from __future__ import annotations

from auth_worker.queue import JobQueue
from support.http_requests import Api
from support.processors import QUEUE, Harness

AT = f"/queues/{QUEUE}"
NIGHTLY = {
    "name": "report",
    "pattern": "0 3 * * *",
    "tz": "UTC",
    "data": {"card": "hunter2"},
    "opts": {"attempts": 5},
}


async def test_schedulers_are_listed(harness: Harness, paused_api: Api) -> None:
    jobs: JobQueue = harness.jobs
    await jobs.upsert_job_scheduler("often", name="poll", every=60_000, offset=500)
    answer = await paused_api.get(f"{AT}/schedulers")
    assert answer.status == 200
    (entry,) = answer.json
    assert (entry["id"], entry["name"], entry["every"], entry["offset"]) == ("often", "poll", 60_000, 500)


async def test_a_scheduler_is_made_shown_run_and_removed(harness: Harness, paused_api: Api) -> None:
    at = f"{AT}/schedulers/a%2Fb"
    made = await paused_api.put(at, NIGHTLY)
    assert (made.status, made.json["id"], made.json["pattern"]) == (200, "a/b", "0 3 * * *")
    assert (made.json["data"], made.json["opts"]["attempts"]) == ({"card": "<text of 7>"}, 5)
    assert (await paused_api.get(f"{at}?reveal=true")).json["data"] == {"card": "hunter2"}
    ran = await paused_api.post(f"{at}/run")
    assert (ran.status, ran.json["name"], ran.json["created"]) == (201, "report", True)
    assert (await harness.job(ran.json["id"]))["data"] == '{"card":"hunter2"}'
    assert (await paused_api.get(at)).json["next"] == made.json["next"]
    assert (await paused_api.delete(at)).status == 204
    for answer in (await paused_api.delete(at), await paused_api.get(at), await paused_api.post(f"{at}/run")):
        assert answer.status == 404


async def test_an_invalid_scheduler_is_refused(paused_api: Api) -> None:
    at = f"{AT}/schedulers/nightly"
    for body in (
        {"name": "a"},
        {**NIGHTLY, "every": 5},
        {**NIGHTLY, "opts": {"delay": 5}},
        {**NIGHTLY, "cron": ""},
    ):
        assert (await paused_api.put(at, body)).status == 422
