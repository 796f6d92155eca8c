"""Acting on all jobs that a search has found."""

from __future__ import annotations

import pytest

from support.admin_api import add, state_of
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.processors import DEAD, QUEUE, eventually


async def test_all_that_a_search_of_one_queue_finds_are_changed_and_no_others(
    admin: Visitor, paused_api: Api
) -> None:
    for number in range(103):
        await add(paused_api, data={"user": {"id": 12 if number else 13}}, jobId=f"j{number}")
    await add(paused_api, "other", {"user": {"id": 12}}, jobId="other")
    page = await admin.get("search", q=f"queue:{QUEUE[:2]}*k state:waiting name:good data.user.id=12 newer:1h")
    assert page.text.count('name="ids"') == 100
    asked = await admin.send(page.form("bulk", "remove"), ("scope", "all"), ("action", "remove"))
    assert "Remove 102 jobs?" in asked.text
    for text in ("data.user.id=12", "good", QUEUE):
        assert text in asked.text
    await admin.send(asked.form("bulk"), ("sure", "yes"))

    async def left() -> bool:
        listed = (await paused_api.get(f"/queues/{QUEUE}/jobs", state="wait")).json["jobs"]
        return {job["id"] for job in listed} == {"j0", "other"}

    await eventually(left, "only those that match are removed")


async def test_the_selected_ones_alone_are_changed(admin: Visitor, paused_api: Api) -> None:
    for job_id in ("a", "b"):
        await add(paused_api, jobId=job_id)
    page = await admin.get("search", q=f"queue:{QUEUE} state:waiting")
    chosen = (("scope", "ids"), ("ids", "b"), ("action", "cancel"))
    asked = await admin.send(page.form("bulk", "cancel"), *chosen)
    assert "Cancel 1 job?" in asked.text
    await admin.send(asked.form("bulk"), ("sure", "yes"))

    async def cancelled() -> bool:
        return await state_of(paused_api, "b") == "failed"

    await eventually(cancelled, "it is cancelled")
    assert await state_of(paused_api, "a") == "wait"


@pytest.mark.parametrize("query", ["state:waiting", f"queue:{QUEUE}", f"queue:{QUEUE[:3]}* state:waiting", "kept"])
async def test_what_several_queues_or_states_have_is_only_shown(
    admin: Visitor, paused_api: Api, query: str
) -> None:
    for queue in (QUEUE, DEAD):
        body = {"name": "kept", "data": {}, "opts": {"jobId": "kept"}}
        await paused_api.post(f"/queues/{queue}/jobs", body)
    page = await admin.get("search", q=query)
    assert "job=kept" in page.text
    assert "bulk" not in [form.action for form in page.forms]
    assert ("name one <code>queue:</code>" in page.text) is (query != "kept")


async def test_a_reader_is_offered_no_action(reader: Visitor, paused_api: Api) -> None:
    await add(paused_api)
    page = await reader.get("search", q=f"queue:{QUEUE} state:waiting")
    assert "job=" in page.text
    assert "bulk" not in [form.action for form in page.forms]
