"""Pages show times in the reader's time zone, with UTC beside it: in texts and in charts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.admin_api import ADMIN, service_at
from support.browser import Browser, logged_in_browser
from support.operators import operations_on
from support.processors import Harness

FIRST_LINES = """
return [...document.querySelectorAll(arguments[0])].map((each) => (each.textContent || "").split("\\n")[0]);
"""
TITLES = "return [...document.querySelectorAll('#history time')].map((each) => each.title.split('\\n')[0])"


async def test_charts_say_times_in_the_zone_of_the_page(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("waits", {})
    async with operations_on(harness.url) as operations:
        await operations.history.record_minute()
        await operations.history.mark_version("v1")
    async with service_at(harness.url) as service:
        await asyncio.to_thread(look, f"http://127.0.0.1:{service.http_port}/", tmp_path)


def look(base: str, folder: Path) -> None:
    """Read the page of metrics in India, also once it is refreshed."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        browser.devtools("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
        try:
            browser.open(f"{base}history")
            check(browser)
            browser.run("document.querySelector('#history').replaceChildren()")
            browser.press("r")
            browser.until(lambda: browser.run(FIRST_LINES, "svg title"), "it is refreshed")
            check(browser)
        finally:
            browser.devtools("Emulation.setTimezoneOverride", {"timezoneId": ""})


def check(browser: Browser) -> None:
    """All times of the page, and all of its charts, say the zone."""
    said = browser.run(FIRST_LINES, "svg title") + browser.run(TITLES)
    assert len(said) > 4 * 60
    assert {each.rpartition(" ")[2] for each in said} == {"GMT+5:30"}
    assert "UTC: 0 done, 0 failed" in browser.run("return document.querySelector('svg title').textContent")
