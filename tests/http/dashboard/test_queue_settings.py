"""The limits of a queue and its removal, on the page of the queue."""

from __future__ import annotations

import pytest

from support.admin_api import add
from support.dashboard_visitor import Fields, Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, eventually


async def send(admin: Visitor, action: str, fields: Fields) -> Page:
    """Send the form of the queue's page with these fields."""
    form = (await admin.get("queue", queue=QUEUE)).form(action)
    return await admin.send(form, *fields)


async def test_limits_are_set_shown_and_removed(admin: Visitor, paused_api: Api, harness: Harness) -> None:
    await add(paused_api)
    set_ = await send(admin, "change-limits", [("concurrency", "7"), ("max", "100"), ("seconds", "60")])
    page = await admin.follow(set_)
    for text in ("The limits are set", "at most <strong>7</strong> at a time", "<strong>100</strong> every"):
        assert text in page.text
    meta = f"bull:{QUEUE}:meta"
    assert await harness.redis.hmget(meta, "concurrency", "max", "duration") == [b"7", b"100", b"60000"]
    await send(admin, "change-limits", [("concurrency", "7"), ("max", "3"), ("seconds", "0.5")])
    assert 'value="0.5"' in (await admin.get("queue", queue=QUEUE)).text
    await send(admin, "change-limits", [("concurrency", "7"), ("max", ""), ("seconds", "")])
    assert await harness.redis.hmget(meta, "concurrency", "max", "duration") == [b"7", None, None]
    await send(admin, "change-limits", [])
    assert await harness.redis.hget(meta, "concurrency") is None
    changed = (await admin.get("changes")).text
    assert changed.count("set concurrency") == 2
    assert changed.count("set rate limit") == 3


@pytest.mark.parametrize(
    "fields",
    [
        [("concurrency", "0")],
        [("concurrency", "-1")],
        [("max", "5"), ("seconds", "")],
        [("seconds", "5")],
        [("max", "x"), ("seconds", "1")],
        [("max", "1"), ("seconds", "0")],
        [("max", "1"), ("seconds", "1e9")],
    ],
)
async def test_what_is_no_limit_is_refused(admin: Visitor, paused_api: Api, fields: Fields) -> None:
    await add(paused_api)
    assert (await send(admin, "change-limits", fields)).status == 422
    assert "at a time</li>" not in (await admin.get("queue", queue=QUEUE)).text


async def test_old_finished_jobs_are_cleaned_once_counted(admin: Visitor, api: Api, harness: Harness) -> None:
    await add(api, jobId="done")
    await harness.settled(1)
    page = await admin.get("queue", queue=QUEUE)
    fields = (("state", "completed"), ("olderThan", "0"), ("action", "clean"))
    asked = await admin.send(page.form("bulk", "clean"), *fields)
    assert "Clean 1 job?" in asked.text
    await admin.send(asked.form("bulk"), ("sure", "yes"))

    async def gone() -> bool:
        return (await harness.counts())["completed"] == 0

    await eventually(gone, "it is removed")


async def test_a_queue_is_obliterated_only_by_its_name(admin: Visitor, paused_api: Api, harness: Harness) -> None:
    await add(paused_api)
    for typed in ("", QUEUE.upper(), QUEUE[:-1]):
        assert (await send(admin, "obliterate", [("typed", typed)])).status == 422
    assert (await harness.counts())["wait"] == 1
    page = await admin.follow(await send(admin, "obliterate", [("typed", QUEUE)]))
    assert "removed with all its jobs" in page.text
    assert sum((await harness.counts()).values()) == 0
    assert "obliterate" in (await admin.get("changes")).text
