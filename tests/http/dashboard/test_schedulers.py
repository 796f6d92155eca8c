"""The page of the job schedulers: when they run, how they ended, which do not go on; run now, and remove."""

from __future__ import annotations

import json
import time
from typing import Any

from auth_worker import JobQueue, WorkerService
from auth_worker.events import OperatorChange
from support.admin_api import JOBS
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, collect, eventually

HOUR = 3_600_000


def row_of(page: Page, scheduler: str) -> str:
    """The row of a scheduler, as HTML."""
    assert page.status == 200, page.text
    return next(row for row in page.text.split("<tr>") if f'<span class="id">{scheduler}</span>' in row)


async def late(harness: Harness, scheduler: str, by_ms: int = 10 * 60_000, **fields: str) -> str:
    """A scheduler as one whose current iteration was due so long ago; returns the id of its job."""
    due = round(time.time() * 1000) - by_ms
    stored = {"name": "n", "ic": "1", "every": str(HOUR), **fields}
    await harness.redis.zadd(f"bull:{QUEUE}:repeat", {scheduler: due})
    await harness.redis.hset(f"bull:{QUEUE}:repeat:{scheduler}", mapping=stored)
    return f"repeat:{scheduler}:{due}"


async def put(harness: Harness, job_id: str, where: str) -> None:
    """A job in the list or set ``where``."""
    await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping={"name": "n", "timestamp": "1", "data": "{}"})
    if where == "wait":
        await harness.redis.lpush(f"bull:{QUEUE}:wait", job_id)
    else:
        await harness.redis.zadd(f"bull:{QUEUE}:{where}", {job_id: 1})


async def test_each_shows_its_next_five_runs_and_how_the_last_one_ended(
    reader: Visitor, harness: Harness, api: Api
) -> None:
    await harness.jobs.upsert_job_scheduler("tick", name="good", every=200, limit=2)

    async def ran() -> bool:
        return (await harness.counts())["completed"] >= 2

    await eventually(ran, "two runs have ended")
    await harness.jobs.upsert_job_scheduler("nightly", name="report", pattern="0 3 * * *", tz="Europe/Berlin")
    await harness.jobs.upsert_job_scheduler("hourly", name="sweep", every=HOUR)
    page = await reader.get("schedulers")
    nightly, hourly = row_of(page, "nightly"), row_of(page, "hourly")
    assert "0 3 * * *" in nightly
    assert "Europe/Berlin" in nightly
    assert nightly.count("<time") == 5
    assert "every 1 h" in hourly
    assert "none is kept" in nightly
    ticked = row_of(page, "tick")
    assert ">ended<" in ticked
    assert ">completed<" in ticked
    assert page.text.index("nightly") < page.text.index(">tick<"), "what has ended comes last"
    assert "change-scheduler" not in page.actions
    assert (await reader.get("schedulers", queue=QUEUE)).status == 200
    assert (await reader.get("schedulers", queue="nobody")).status == 404


async def test_schedulers_that_need_attention_come_first_with_their_remedy(
    reader: Visitor, harness: Harness, paused_api: Api
) -> None:
    await put(harness, await late(harness, "waits"), "wait")
    await put(harness, await late(harness, "runs", by_ms=1000), "wait")
    await late(harness, "over", limit="1")
    await late(harness, "unread", every="often")
    page = await reader.get("schedulers")
    assert f"unread of {QUEUE} cannot be read: every is not a number" in page.text
    assert f"waits of {QUEUE} is overdue: its job is due, and no worker has begun it" in page.text
    assert page.text.index("unread of") < page.text.index("waits of") < page.text.index("<table")
    for scheduler, state in (("waits", "overdue"), ("runs", "scheduled"), ("over", "ended"), ("unread", "broken")):
        assert f">{state}<" in row_of(page, scheduler), scheduler


async def test_one_without_a_next_run_is_stopped_where_no_worker_revives_it(
    reader: Visitor, harness: Harness, paused_api: Api
) -> None:
    other = "elsewhere"
    due = round(time.time() * 1000) - 10 * 60_000
    await harness.redis.zadd(f"bull:{other}:repeat", {"gone": due})
    await harness.redis.hset(f"bull:{other}:repeat:gone", mapping={"name": "n", "ic": "1", "every": str(HOUR)})
    await harness.redis.hset(f"bull:{other}:meta", "opts.maxLenEvents", "10000")
    page = await reader.get("schedulers")
    assert "gone of elsewhere has no next run" in page.text
    assert ">stopped<" in row_of(page, "gone")


async def test_a_run_by_hand_is_one_more_job_and_leaves_the_schedule(
    admin: Visitor, harness: Harness, paused_api: Api, service: WorkerService
) -> None:
    data = {"to": "all", "big": 2**60 + 1}
    await harness.jobs.upsert_job_scheduler("nightly", name="report", pattern="0 3 * * *", data=data, attempts=7)
    before = await harness.redis.zrange(f"bull:{QUEUE}:repeat", 0, -1, withscores=True)
    changes = collect(service.runtime.bus, OperatorChange)
    form = (await admin.get("schedulers")).form("change-scheduler", "run")
    done = await admin.follow(await admin.send(form, ("action", "run")))
    assert "Its schedule stays as it is." in done.text
    (job_id,) = [each.decode() for each in await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1)]
    job = await harness.job(job_id)
    assert (job["name"], json.loads(job["data"]), json.loads(job["opts"])["attempts"]) == ("report", data, 7)
    assert "rjk" not in job
    assert await harness.redis.zrange(f"bull:{QUEUE}:repeat", 0, -1, withscores=True) == before
    assert [(each.who, each.action, each.target) for each in changes] == [("admin", "run scheduler", "nightly")]


async def test_a_scheduler_is_removed_only_after_a_second_question(
    admin: Visitor, harness: Harness, paused_api: Api
) -> None:
    await harness.jobs.upsert_job_scheduler("night: <b>", name="report", every=HOUR)
    form = (await admin.get("schedulers")).form("change-scheduler", "remove")
    asked = await admin.send(form, ("action", "remove"))
    assert "Remove this job scheduler?" in asked.text
    assert await harness.redis.zcard(f"bull:{QUEUE}:repeat") == 1
    done = await admin.follow(await admin.send(asked.form("change-scheduler"), ("action", "remove")))
    assert "The job scheduler is removed" in done.text
    assert await harness.redis.zcard(f"bull:{QUEUE}:repeat") == 0
    assert (await paused_api.get(JOBS, state="delayed")).json["total"] == 0
    again = await admin.send(asked.form("change-scheduler"), ("action", "remove"))
    assert again.status == 404
    assert (await admin.send(form, ("action", "run"))).status == 404
    assert (await admin.send(form, ("action", "explode"))).status == 422


async def test_a_scheduler_whose_data_is_no_json_is_not_run_by_hand(
    admin: Visitor, harness: Harness, paused_api: Api
) -> None:
    await late(harness, "odd", data="{")
    form = (await admin.get("schedulers")).form("change-scheduler", "run")
    refused = await admin.send(form, ("action", "run"))
    assert refused.status == 409
    assert "is not JSON" in refused.text


async def test_many_schedulers_are_paged(reader: Visitor, harness: Harness, service: WorkerService) -> None:
    async with JobQueue("many", harness.url) as jobs:
        for number in range(101):
            await jobs.upsert_job_scheduler(f"s{number:03}", name="n", every=HOUR)
    page: Any = await reader.get("schedulers")
    assert page.text.count('<th scope="row">') == 100
    following = next(link for link in page.links if "offset=100" in link)
    assert (await reader.get(following)).text.count('<th scope="row">') == 1
