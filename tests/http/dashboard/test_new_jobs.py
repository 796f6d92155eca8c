"""Edited copies of jobs, and exported lists."""

from __future__ import annotations

import html
import json
import re

import pytest

from auth_worker import WorkerService
from auth_worker.events import OperatorChange
from support.admin_api import JOBS, SECRET, add, dead, state_of
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, collect

LARGE = 12345678901234567890


def written(page: Page, field: str) -> str:
    """What stands in a text area."""
    found = re.search(rf'<textarea name="{field}"[^>]*>(.*?)</textarea>', page.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


async def revealed(admin: Visitor, job_id: str) -> Page:
    """The page of a job with its data."""
    form = (await admin.get("job", queue=QUEUE, job=job_id)).form("change-job", "reveal")
    return await admin.send(form, ("action", "reveal"))


async def test_a_copy_has_the_edited_data_and_the_options_of_its_job(admin: Visitor, paused_api: Api) -> None:
    await add(paused_api, data={"n": LARGE, "text": "<b>\n\u202eü</textarea>"}, jobId="first", attempts=7)
    hidden = await admin.get("job", queue=QUEUE, job="first")
    assert "To edit a copy, reveal the data." in hidden.text
    page = await revealed(admin, "first")
    assert "\u202e" not in page.text
    data = json.loads(written(page, "data"))
    assert data == {"n": LARGE, "text": "<b>\n\u202eü</textarea>"}
    fields = (("name", "mended"), ("data", json.dumps({**data, "to": "x"})), ("opts", written(page, "opts")))
    added = await admin.follow(await admin.send(page.form("add-job"), *fields))
    assert "The job is added." in added.text
    listed = (await paused_api.get(JOBS, state="wait")).json["jobs"]
    (new,) = [job["id"] for job in listed if job["id"] != "first"]
    stored = (await paused_api.get(f"{JOBS}/{new}", reveal=True)).json
    assert stored["name"] == "mended"
    assert stored["data"] == {**data, "to": "x"}
    assert stored["opts"]["attempts"] == 7
    assert await state_of(paused_api, "first") == "wait"


@pytest.mark.parametrize("wrong", [("data", "{"), ("opts", '{"attempts": "many"}'), ("opts", '{"no": 1}')])
async def test_what_is_no_job_is_refused_without_its_values(
    admin: Visitor, paused_api: Api, wrong: tuple[str, str]
) -> None:
    await add(paused_api, jobId="first")
    page = await revealed(admin, "first")
    fields = {"name": "copy", "data": json.dumps({"secret": SECRET}), "opts": "{}"} | dict([wrong])
    refused = await admin.send(page.form("add-job"), *fields.items())
    assert refused.status == 422
    assert wrong[0] in refused.text.casefold()
    assert SECRET not in refused.text


async def test_all_that_match_are_exported_and_no_data(reader: Visitor, paused_api: Api, harness: Harness) -> None:
    for number in range(105):
        await add(paused_api, data={"secret": SECRET}, jobId=f"j{number}")
    await add(paused_api, "other", jobId="other")
    page = await reader.get("queue", queue=QUEUE, state="wait", name="good")
    exported = await reader.get(next(link for link in page.links if link.startswith("export?")))
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in exported.text.splitlines()]
    assert [row["id"] for row in rows] == [f"j{number}" for number in range(105)]
    assert SECRET not in exported.text
    assert (await reader.get("export", queue="nobodys", state="wait")).status == 404


async def test_an_export_with_data_has_all_that_is_stored_and_is_put_on_record(
    admin: Visitor, reader: Visitor, api: Api, service: WorkerService
) -> None:
    (letter,) = await dead(api)
    changes = collect(service.runtime.bus, OperatorChange)
    path = f"export-data?queue={QUEUE}&state=failed"
    form = (await admin.get("queue", queue=QUEUE, state="failed")).form(path)
    (line,) = (await admin.send(form)).text.splitlines()
    job = json.loads(line)
    assert (job["id"], job["data"]["secret"]) == (letter["jobId"], SECRET)
    assert [(each.who, each.action, each.target) for each in changes] == [
        ("admin", "reveal", "export of failed jobs")
    ]
    refused = await reader.send(form)
    assert (refused.status, SECRET in refused.text) == (403, False)


async def test_texts_are_masked_where_they_are_exported(reader: Visitor, api: Api) -> None:
    await dead(api)
    exported = await reader.get("export", queue=QUEUE, state="failed")
    assert json.loads(exported.text)["failedReason"].startswith("broken")
    assert SECRET not in exported.text


async def test_progress_that_is_a_number_is_shown_without_revealing(
    reader: Visitor, paused_api: Api, harness: Harness
) -> None:
    await add(paused_api, jobId="first")
    await harness.redis.hset(f"bull:{QUEUE}:first", "progress", "42")
    assert "42 %" in (await reader.get("job", queue=QUEUE, job="first")).text
    await harness.redis.hset(f"bull:{QUEUE}:first", "progress", json.dumps({"for": SECRET}))
    assert SECRET not in (await reader.get("job", queue=QUEUE, job="first")).text
