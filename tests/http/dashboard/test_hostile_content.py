"""What others wrote: markup, escapes, bidirectional marks and huge payloads in every field that a page shows."""

from __future__ import annotations

import json
import re
from typing import Any

from auth_worker import WorkerService
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness, eventually

CORPUS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></textarea></title><svg/onload=alert(1)>",
    "javascript:alert(1)//",
    "{{ 7*7 }}{% raw %}",
    "\u202eevil\u2066\u200b",
    "\x1b[31m\x07\r\n",
    "\n\r\0 ends",
    "&lt;b&gt;&#x27;&amp;",
)
HOSTILE_TAGS = {"img", "b", "iframe", "object"}
"""An svg is a chart of ours; one of the corpus has an attribute that begins with on."""


def check(page: Page) -> None:
    """Nothing of the corpus has become markup, and nothing that misleads the eye is left."""
    assert page.status == 200, page.text[:500]
    assert not page.tags & HOSTILE_TAGS
    assert page.text.count("<textarea") == page.text.count("</textarea") in (0, 2)  # those of a copy
    assert page.text.count("<script") == 2
    assert not {name for name in page.attributes if name.startswith("on")}
    seen = re.sub(r'(value|data-live)="[^"]*"', "", page.text)  # which must be sent back as they are
    assert not set("\u202e\u2066\u200b\x1b\x07") & set(seen)
    assert "alert(1)</script>" not in page.text
    assert all(not link.lower().startswith("javascript:") for link in page.links)


async def plant(harness: Harness, queue: str, job_id: str, text: str) -> None:
    """A failed job each of whose fields says ``text``, as a producer or worker of others may leave it."""
    key = f"bull:{queue}:{job_id}"
    fields: dict[str, Any] = {
        "name": text,
        "data": json.dumps({text: text}),
        "opts": json.dumps({"attempts": 3, "jobId": text, text: text}),
        "timestamp": 1_700_000_000_000,
        "finishedOn": 1_700_000_001_000,
        "processedOn": 1_700_000_000_500,
        "failedReason": text,
        "stacktrace": json.dumps([text]),
        "returnvalue": json.dumps(text),
        "progress": json.dumps(text),
        "pb": text,
        "rjk": text,
        "parentKey": f"bull:{queue}:{text}",
        "dlq": text,
    }
    await harness.redis.hset(key, mapping=fields)
    await harness.redis.hset(f"bull:{queue}:meta", "opts.maxLenEvents", "10000")
    await harness.redis.zadd(f"bull:{queue}:failed", {job_id: 1})
    await harness.redis.rpush(f"{key}:logs", text)
    scheduler = {"name": text, "pattern": text, "tz": text, "ic": "1", "every": "1000", "data": text}
    for number, stored in enumerate((scheduler, {**scheduler, "pattern": "* * * * *", "tz": "UTC"})):
        await harness.redis.hset(f"bull:{queue}:repeat:{text}{number}", mapping=stored)
        await harness.redis.zadd(f"bull:{queue}:repeat", {f"{text}{number}": 1})


async def test_nothing_becomes_markup_on_any_page(
    admin: Visitor, harness: Harness, service: WorkerService
) -> None:
    for text in CORPUS:
        await look_at_all(admin, harness, text)
    await look_at_groups(admin)


async def look_at_all(admin: Visitor, harness: Harness, text: str) -> None:
    """Open every page that shows a job whose fields say ``text``."""
    queue = "".join(each for each in text if each.isprintable() and each not in ":\r\n") or "q"
    queue = f"{queue}\u202e"
    await plant(harness, queue, text, text)
    check(await admin.get())
    listed = await admin.get("queue", queue=queue, state="failed")
    check(listed)
    job = await admin.get(next(link for link in listed.links if link.startswith("job?")))
    check(job)
    revealed = await admin.send(job.form("change-job"), ("action", "reveal"))
    check(revealed)
    check(await admin.get("search", q=text))
    check(await admin.send(job.form("change-job"), ("action", "remove")))
    for page in ("", "queue", "search", "dead"):
        answer = await admin.get(page, queue=queue, q=text, match=text, name=text, id=text, error=text, done=text)
        check(answer)
    missing = await admin.get("job", queue=queue, job=f"{text}?")
    assert missing.status == 404
    missing.status = 200
    check(missing)


async def look_at_groups(admin: Visitor) -> None:
    """Open the pages that show failures and job schedulers of all queues, and what they lead to."""

    async def all_are_seen() -> bool:
        return (await admin.get()).text.count("state=failed") == len(CORPUS)

    await eventually(all_are_seen, "the overview is no older one")
    errors = await admin.get("errors")
    check(errors)
    assert errors.text.count('class="share"') == len(CORPUS)
    for link in [link for link in errors.links if "errorGroup=" in link]:
        check(await admin.get(link))
    schedulers = await admin.get("schedulers")
    check(schedulers)
    assert schedulers.text.count('<th scope="row">') == 2 * len(CORPUS)
    for form in [form for form in schedulers.forms if form.action == "change-scheduler"]:
        check(await admin.send(form, ("action", "remove")))


async def test_an_id_of_any_characters_is_acted_on_as_it_is(
    admin: Visitor, harness: Harness, service: WorkerService
) -> None:
    for text in CORPUS:
        await plant(harness, QUEUE, f"{text}/\u202e", text)
        listed = await admin.get("queue", queue=QUEUE, state="failed")
        job = await admin.get(next(link for link in listed.links if link.startswith("job?")))
        asked = await admin.send(job.form("change-job"), ("action", "remove"))
        assert (await admin.send(asked.form("change-job"), ("action", "remove"))).status == 303
        assert await harness.redis.zcard(f"bull:{QUEUE}:failed") == 0


async def test_a_hostile_letter_stays_text(admin: Visitor, harness: Harness, paused_api: Api) -> None:
    for number, text in enumerate(CORPUS):
        letter = f"{QUEUE}@{number}@1700000000000"
        await plant_letter(harness, letter, text)
        check(await admin.get("dead"))
        check(await admin.get("dead", queue=DEAD))
        page = await admin.get("letter", queue=DEAD, letter=letter)
        check(page)
        check(await admin.send(page.form("change-letter"), ("action", "reveal")))


async def plant_letter(harness: Harness, letter: str, text: str) -> None:
    """A dead letter each of whose fields says ``text``."""
    texts = ("originalQueue", "originalJobId", "name", "failedReason", "reasonClass", "attemptsMade", "failedAt")
    data: dict[str, Any] = dict.fromkeys((*texts, "worker", "traceContext"), text)
    data |= {"data": {text: [text]}, "opts": {text: text}, "stacktrace": [text]}
    job = {"name": text, "data": json.dumps(data), "timestamp": 1, "opts": "{}"}
    await harness.redis.hset(f"bull:{DEAD}:{letter}", mapping=job)
    await harness.redis.hset(f"bull:{DEAD}:meta", "opts.maxLenEvents", "10000")
    await harness.redis.lpush(f"bull:{DEAD}:wait", letter)


PAYLOADS = (
    json.dumps({"x": "y" * 3_000_000}),
    "[" * 100_000 + "]" * 100_000,
    "{" + ",".join(f'"k{number}":{number}' for number in range(200_000)) + "}",
    "not JSON \ud7ff \x00",
    json.dumps("<b>" * 1_000_000),
)


async def test_a_hostile_payload_neither_breaks_nor_floods_a_page(
    admin: Visitor, harness: Harness, service: WorkerService
) -> None:
    await plant(harness, QUEUE, "big", "big")
    for payload in PAYLOADS:
        await harness.redis.hset(f"bull:{QUEUE}:big", "data", payload)
        page = await admin.get("job", queue=QUEUE, job="big")
        revealed = await admin.send(page.form("change-job"), ("action", "reveal"))
        for each in (page, revealed, await admin.get("queue", queue=QUEUE, state="failed")):
            assert each.status == 200
            assert len(each.text) < 500_000
