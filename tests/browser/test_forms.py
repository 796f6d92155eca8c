"""Forms of the dashboard in a real browser."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.admin_api import ADMIN, add, service_at
from support.browser import logged_in_browser
from support.http_requests import Api
from support.processors import QUEUE, Harness

SLOWLY = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}


async def test_a_button_that_is_clicked_twice_over_a_slow_link_acts_once(harness: Harness, tmp_path: Path) -> None:
    async with service_at(harness.url) as service:
        api = Api(service.http_port, ADMIN)
        await api.post("/service/pause")
        await add(api, jobId="first")
        await asyncio.to_thread(remove_by_two_clicks, f"http://127.0.0.1:{service.http_port}/", tmp_path)


def remove_by_two_clicks(base: str, folder: Path) -> None:
    """Remove a job. The second click would be told that there is no such job."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        browser.open(f"{base}job?queue={QUEUE}&job=first")
        browser.click("button[value=remove]")
        browser.until(lambda: "Remove this job?" in browser.text, "it asks")
        browser.devtools("Network.enable", {})
        browser.devtools("Network.emulateNetworkConditions", SLOWLY)
        browser.run_until_done(
            "const button = document.querySelector('button[value=remove]');"
            "button.click(); setTimeout(() => { button.click(); done(); }, 300);"
        )
        browser.until(lambda: "The job is removed." in browser.text, "it says that the job is removed")
