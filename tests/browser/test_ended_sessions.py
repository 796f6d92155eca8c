"""A session that ends while somebody selects rows: after the login they are selected still."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from support.admin_api import ADMIN, add, service_at
from support.browser import Browser, logged_in_browser
from support.http_requests import Api
from support.processors import QUEUE, Harness

SELECTED = "return [...document.querySelectorAll('td input:checked')].map((box) => box.value)"
UNUSUAL = "a&b \u00e4"


async def test_the_selection_outlives_the_session(harness: Harness, tmp_path: Path) -> None:
    async with service_at(harness.url) as service:
        api = Api(service.http_port, ADMIN)
        await api.post("/service/pause")
        for job_id in (UNUSUAL, "other"):
            await add(api, jobId=job_id)
        await asyncio.to_thread(select, f"http://127.0.0.1:{service.http_port}/", tmp_path)


def select(base: str, folder: Path) -> None:
    """Select a job; the session is over when it is to be removed, and again when the page is refreshed."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        address = f"{base}queue?queue={quote(QUEUE)}&state=wait"
        browser.open(address)
        browser.run("document.querySelector(`input[value='${arguments[0]}']`).click()", UNUSUAL)
        end_session(browser)
        browser.click("button[value=remove]")
        browser.until(lambda: "nothing was changed" in browser.text, "it says that nothing was done")
        log_in_again(browser, address)
        end_session(browser)
        browser.press("r")
        log_in_again(browser, address)
        browser.click("button[value=remove]")
        browser.until(lambda: "Remove 1 job?" in browser.text, "it is done now")


def end_session(browser: Browser) -> None:
    """Let the session be over."""
    browser.devtools("Network.clearBrowserCookies", {})


def log_in_again(browser: Browser, address: str) -> None:
    """Log in where the browser was led, and find the page as it was."""
    browser.until(lambda: browser.run("return Boolean(document.querySelector('#token'))"), "it asks for the token")
    browser.type("#token", ADMIN)
    browser.click("button.go")
    browser.until(lambda: browser.run(SELECTED) == [UNUSUAL], "the job is selected")
    assert browser.run("return location.href") == address
