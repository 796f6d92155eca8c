"""The page of errors: failures that are alike are one group over all queues, and are acted on as one."""

from __future__ import annotations

import time
from typing import Any

from auth_worker import WorkerService
from auth_worker.http.dashboard import sampler
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, eventually

TRACE = '["Traceback (most recent call last):\\n  File \\"/srv/app/%s.py\\", line 7, in send\\n%s"]'


async def fail(harness: Harness, queue: str, job_id: str, reason: str, file: str = "mail") -> None:
    """A job that has failed just now."""
    now = round(time.time() * 1000)
    fields: dict[str, Any] = {"name": "n", "data": "{}", "timestamp": now, "finishedOn": now, "attempts": 1}
    fields |= {"failedReason": reason, "stacktrace": TRACE % (file, reason.partition("\n")[0]), "opts": "{}"}
    await harness.redis.hset(f"bull:{queue}:{job_id}", mapping=fields)
    await harness.redis.zadd(f"bull:{queue}:failed", {job_id: now})
    await harness.redis.hset(f"bull:{queue}:meta", "opts.maxLenEvents", "10000")


async def failed(harness: Harness, *ids: str) -> bool:
    """Whether these are the failed jobs, and no others."""
    found = await harness.redis.zrange(f"bull:{QUEUE}:failed", 0, -1)
    return {job_id.decode() for job_id in found} == set(ids)


async def test_failures_are_grouped_over_queues_by_text_and_place(
    reader: Visitor, harness: Harness, paused_api: Api
) -> None:
    for number in range(3):
        await fail(harness, QUEUE, f"a{number}", f"TimeoutError: no answer in {number} s")
    await fail(harness, "other", "b", "TimeoutError: no answer in 70 s")
    await fail(harness, QUEUE, "c", "TimeoutError: no answer in 1 s", file="sms")
    await fail(harness, QUEUE, "d", "")
    page = await reader.get("errors")
    rows = page.text.split("<tr>")[2:]
    assert len(rows) == 3
    assert "TimeoutError: no answer in &lt;number&gt; s" in rows[0]
    assert "app/mail.py, in send" in rows[0]
    assert '<td class="n">4</td>' in rows[0]
    assert rows[0].count('class="share"') == 2
    assert "0, 4&#34;" in rows[0] or '0, 4"' in rows[0]
    assert sum("app/sms.py, in send" in row for row in rows) == 1
    assert sum("no reason" in row for row in rows) == 1
    assert "All 6 failed jobs" in page.text
    assert "bulk" not in page.actions
    listed = await reader.get(next(link for link in page.links if "errorGroup=TimeoutError" in link))
    assert listed.text.count(f"job?queue={QUEUE}") == 3


async def test_a_whole_group_is_retried_and_no_other_job(
    admin: Visitor, harness: Harness, paused_api: Api
) -> None:
    await paused_api.post(f"/queues/{QUEUE}/pause")
    for number in range(120):
        await fail(harness, QUEUE, f"a{number}", f"KeyError: 'user{number}'")
    await fail(harness, QUEUE, "b", "KeyError: 'user1'", file="sms")
    await fail(harness, QUEUE, "c", "")
    page = await admin.get("errors")
    form = next(form for form in page.forms if ("errorGroup", "KeyError: <text>") in form.fields)
    asked = await admin.send(form, ("action", "retry"))
    assert "Retry 120 jobs?" in asked.text
    done = await admin.follow(await admin.send(asked.form("bulk"), ("sure", "yes")))
    assert "of 120 done" in done.text
    await eventually(lambda: failed(harness, "b", "c"), "all of the group are retried")
    form = next(form for form in page.forms if ("errorGroup", "no reason") in form.fields)
    asked = await admin.send(form, ("action", "remove"))
    assert "Remove 1 job?" in asked.text
    await admin.send(asked.form("bulk"), ("sure", "yes"))
    await eventually(lambda: failed(harness, "b"), "the other group is removed")


async def test_no_more_than_so_many_are_looked_at(
    reader: Visitor, harness: Harness, service: WorkerService, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sampler, "MOST_FAILED", 40)
    for queue in ("one", "two"):
        for number in range(30):
            await fail(harness, queue, f"j{number}", f"E{number % 3}: x" if queue == "one" else "E: x")
    page = await reader.get("errors")
    assert "Of the newest 40 of 60 failed jobs" in page.text


async def test_of_many_queues_those_with_the_most_failures_are_looked_at_and_shown(
    reader: Visitor, harness: Harness, service: WorkerService, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sampler, "MOST_FAILED", 12 * sampler.LEAST_FAILED)
    for number in range(14):
        for job in range(15 - number):
            await fail(harness, f"q{number:02}", f"j{job}", "E: x")
    page = await reader.get("errors")
    assert page.text.count('class="share"') == 10
    assert "and 2 queues more" in page.text
    assert ">q00</a>" in page.text
    assert "q12" not in page.text
    assert f"of {sum(range(2, 16))} failed jobs" in page.text


async def test_where_nothing_has_failed_the_page_says_so(reader: Visitor) -> None:
    assert "No job of any queue has failed." in (await reader.get("errors")).text


async def test_a_trace_that_is_large_or_no_json_only_hides_its_place(
    reader: Visitor, harness: Harness, service: WorkerService
) -> None:
    for job_id, trace in (("a", "x" * 3_000_000), ("b", "{"), ("c", "[[1]]"), ("d", '["no frame here"]')):
        await fail(harness, QUEUE, job_id, "E: x")
        await harness.redis.hset(f"bull:{QUEUE}:{job_id}", "stacktrace", trace)
    page = await reader.get("errors")
    assert "an unknown place" in page.text
    assert '<td class="n">4</td>' in page.text
