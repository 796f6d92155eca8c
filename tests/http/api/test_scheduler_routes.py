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


async def test_schedulers_are_listed(harness: Harness, resting: Api) -> None:
    jobs: JobQueue = harness.jobs
    await jobs.upsert_job_scheduler("often", name="poll", every=60_000, offset=500)
    answer = await resting.get(f"{AT}/schedulers")
    assert answer.status == 200
    (entry,) = answer.json
    assert (entry["id"], entry["name"], entry["every"], entry["offset"]) == ("often", "poll", 60_000, 500)


async def test_a_scheduler_is_made_shown_run_and_removed(harness: Harness, resting: Api) -> None:
    at = f"{AT}/schedulers/a%2Fb"
    made = await resting.put(at, NIGHTLY)
    assert (made.status, made.json["id"], made.json["pattern"]) == (200, "a/b", "0 3 * * *")
    assert (made.json["data"], made.json["opts"]["attempts"]) == ({"card": "<text of 7>"}, 5)
    assert (await resting.get(f"{at}?reveal=true")).json["data"] == {"card": "hunter2"}
    ran = await resting.post(f"{at}/run")
    assert (ran.status, ran.json["name"], ran.json["created"]) == (201, "report", True)
    assert (await harness.job(ran.json["id"]))["data"] == '{"card":"hunter2"}'
    assert (await resting.get(at)).json["next"] == made.json["next"]
    assert (await resting.delete(at)).status == 204
    for answer in (await resting.delete(at), await resting.get(at), await resting.post(f"{at}/run")):
        assert answer.status == 404


async def test_an_invalid_scheduler_is_refused(resting: Api) -> None:
    at = f"{AT}/schedulers/nightly"
    for body in (
        {"name": "a"},
        {**NIGHTLY, "every": 5},
        {**NIGHTLY, "opts": {"delay": 5}},
        {**NIGHTLY, "cron": ""},
    ):
        assert (await resting.put(at, body)).status == 422
