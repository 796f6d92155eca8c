"""Jobs whose ids have characters that a browser changes in forms: they are acted on as others are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from support.admin_api import ADMIN, service_at
from support.browser import Browser, logged_in_browser
from support.http_requests import Api
from support.processors import QUEUE, Harness

UNUSUAL = "a\nb\rc\r\nd\0e\t%0A\x01"
FAILED = f"bull:{QUEUE}:failed"


async def test_a_job_with_line_ends_and_nul_in_its_id_is_retried_and_removed(
    harness: Harness, tmp_path: Path
) -> None:
    async with service_at(harness.url) as service:
        await Api(service.http_port, ADMIN).post("/service/pause")
        for job_id in (UNUSUAL, f"{UNUSUAL}2", f"{UNUSUAL}3"):
            fields = {"name": "good", "timestamp": 1, "finishedOn": 1, "failedReason": "E", "data": "{}", "atm": 1}
            await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping=fields)
            await harness.redis.zadd(FAILED, {job_id: 1})
        await asyncio.to_thread(act, f"http://127.0.0.1:{service.http_port}/", tmp_path)
    assert await harness.redis.zcard(FAILED) == 0
    waiting = await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1)
    assert [as_text(job_id) for job_id in waiting] == [UNUSUAL]


def as_text(value: str | bytes) -> str:
    """What a client of either kind has read."""
    return value if isinstance(value, str) else value.decode()


def act(base: str, folder: Path) -> None:
    """Retry the first job on its page; select the others on that of the queue, and remove them."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        browser.open(f"{base}job?queue={QUEUE}&job={quote(UNUSUAL)}")
        browser.click("button[value=retry]")
        browser.until(lambda: "The job waits again" in browser.text, "it is retried")
        browser.open(f"{base}queue?queue={QUEUE}&state=failed")
        browser.click("input.all")
        assert browser.run("return document.querySelectorAll('td input:checked').length") == 2
        remove_selected(browser)


def remove_selected(browser: Browser) -> None:
    """Remove the selected jobs, and wait until that is done."""
    browser.run("document.querySelector('button[value=remove]').click()")
    browser.until(lambda: "Remove 2 jobs?" in browser.text, "it asks")
    browser.click("button[name=sure]")
    browser.until(lambda: "2 of 2 done" in browser.text, "they are removed")
