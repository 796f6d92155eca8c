"""The dashboard in a real browser: each screen at two widths, the keyboard, live refresh, no violated policy."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from auth_worker import Settings
from auth_worker.core.alert_settings import AlertSettings
from auth_worker.dashboard import dashboard
from support.admin_api import ADMIN, add, dead, service_at
from support.asgi_server import serving
from support.browser import Browser, driver
from support.http_requests import Api
from support.operators import operations_on
from support.processors import DEAD, QUEUE, Harness

IS_LIVE = "return document.querySelector('#live.on') !== null"


@pytest.mark.timeout(300)
async def test_every_screen_fits_is_accessible_and_breaks_no_policy(
    harness: Harness, tmp_path: Path, axe: str
) -> None:
    service = service_at(harness.url)
    async with service:
        api = Api(service.http_port, ADMIN)
        (letter,) = await dead(api)
        await api.post("/service/pause")
        await add(api, jobId="first")
        await harness.jobs.upsert_job_scheduler("nightly", name="report", pattern="0 3 * * *")
        await api.post("/queues/forsaken/jobs", {"name": "good"})
        async with operations_on(harness.url) as operations:
            await operations.history.record_minute()
            await operations.history.mark_version("4f2a91c")
            await operations.dead.add_note(DEAD, letter["id"], "waits for ticket 4711")
            rules = AlertSettings(no_worker=0, dead_letters=0, paused=60)
            await operations.alerts.evaluate(rules, [], "this test")
        await asyncio.to_thread(look_at_all, f"http://127.0.0.1:{service.http_port}/", tmp_path, letter, axe)


def look_at_all(base: str, folder: Path, letter: dict[str, Any], axe: str) -> None:
    """Open every screen in every theme and width."""
    screens = (
        *("", f"queue?queue={QUEUE}", f"queue?queue={QUEUE}&state=wait", f"job?queue={QUEUE}&job=first"),
        *(f"job?queue={QUEUE}&job={letter['jobId']}", "errors", "dead", f"dead?queue={DEAD}"),
        *(
            f"letter?queue={DEAD}&letter={letter['id']}",
            "schedulers",
            "history",
            "workers",
            "search?q=first",
            "search?q=state:waiting+name:*",
            f"search?q=queue:{QUEUE}+state:waiting",
            "search?q=quue:mail",
            "alerts",
            "operations",
        ),
        *("job?queue=nowhere&job=none",),
    )
    with driver() as driver_port:
        browser = Browser(driver_port, folder)
        try:
            browser.open(f"{base}login")
            assert browser.violations(axe) == []
            browser.type("#token", ADMIN)
            browser.click("button.go")
            violations: dict[tuple[str, str, int], list[str]] = {}
            for theme, width in (("light", 1440), ("dark", 360)):
                browser.prefer(theme)
                browser.resize(width, 800)
                for screen in screens:
                    browser.open(base + screen)
                    assert browser.run("return document.querySelector('h1').innerText"), screen
                    assert browser.run("return document.documentElement.scrollWidth") <= width, (screen, width)
                    violations[screen, theme, width] = browser.violations(axe)
            assert {place: found for place, found in violations.items() if found} == {}
            browser.open(f"{base}job?queue={QUEUE}&job=first")
            browser.click("button[value=reveal]")
            browser.until(lambda: "Edit a copy" in browser.text, "the data is revealed")
            browser.run("document.querySelector('#copy').open = true")
            assert browser.violations(axe) == []
            browser.click("#copy button")
            browser.until(lambda: "The job is added." in browser.text, "a copy is added")
            browser.open(f"{base}queue?queue={QUEUE}&state=wait")
            browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
            assert browser.violations(axe) == []
            browser.run("document.querySelector('#scope').value = 'all'")
            browser.click("button[value=dead-letter]")
            browser.until(lambda: "Dead-letter queue" in browser.text, "it asks for the dead-letter queue")
            assert browser.violations(axe) == []
            browser.open(f"{base}queue?queue={QUEUE}&state=wait")
            browser.run("document.querySelector('#scope').value = 'all'")
            browser.click("button[value=remove]")
            browser.until(lambda: "Remove 2 jobs?" in browser.text, "it asks before it removes")
            assert browser.violations(axe) == []
            browser.open(f"{base}workers")
            browser.click("button[value=shut-down]")
            browser.until(lambda: "Shut down this worker process?" in browser.text, "it asks before it shuts down")
            assert browser.violations(axe) == []
            assert [said for said in browser.complaints() if "404" not in said] == []
        finally:
            browser.close()


async def test_all_is_done_by_keyboard(harness: Harness, tmp_path: Path) -> None:
    service = service_at(harness.url)
    async with service:
        api = Api(service.http_port, ADMIN)
        await api.post("/service/pause")
        await add(api, jobId="first")
        await add(api, jobId="second")
        await asyncio.to_thread(work_by_keyboard, f"http://127.0.0.1:{service.http_port}/", tmp_path)
        listed = (await api.get(f"/queues/{QUEUE}/jobs", state="wait")).json["jobs"]
        assert [job["id"] for job in listed] == ["first"]


TAB, ENTER, SPACE, BACKSPACE = "\ue004", "\ue007", " ", "\ue003"


def work_by_keyboard(base: str, folder: Path) -> None:
    """Log in, find a job, come back, select the second row and remove it, without a mouse."""
    with driver() as driver_port:
        browser = Browser(driver_port, folder)
        try:
            browser.open(base)
            browser.press(ADMIN + ENTER)
            browser.until(lambda: "Overview" in browser.text, "one is logged in")
            browser.press("/")
            assert browser.run("return document.activeElement.name") == "q"
            browser.press("first" + ENTER)
            browser.until(lambda: "Jobs with this id" in browser.text, "the job is found")
            browser.press("/" + BACKSPACE * 5 + "quue:x" + ENTER)
            browser.until(lambda: "did you mean queue:?" in browser.text, "it says what is wrong with it")
            browser.press("/" + BACKSPACE * 6 + f"queue:{QUEUE} state:waiting name:*" + ENTER)
            browser.until(lambda: "Looked at 2 of 2 jobs" in browser.text, "both jobs are found")
            for key, title in (("e", "Errors"), ("d", "Dead letters"), ("s", "Schedulers"), ("w", "Workers")):
                browser.press(key)
                browser.until(partial(shows_title, browser, title), title)
            browser.press("o")
            browser.until(partial(shows_title, browser, "Overview"), "Overview")
            browser.press("j" + ENTER)
            browser.until(partial(shows_title, browser, QUEUE), "the queue")
            browser.press("jjx")
            assert browser.run("return document.querySelector('input[name=ids]:checked').value") == "second"
            browser.run("document.querySelector('button[value=remove]').focus()")
            browser.press(ENTER)
            browser.until(lambda: "Remove 1 job?" in browser.text, "it asks before it removes")
            browser.run("document.querySelector('button[name=sure]').focus()")
            browser.press(SPACE)
            browser.until(lambda: "of 1 done" in browser.text, "it is removed")
            assert browser.complaints() == []
        finally:
            browser.close()


def shows_title(browser: Browser, title: str) -> bool:
    """Whether the page's heading begins with that."""
    return bool(browser.run("return document.querySelector('h1').innerText").startswith(title))


async def test_mounted_in_an_application_the_pages_work_and_stay_live(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("first", {"n": 1})
    pages = dashboard(harness.url, settings=Settings(http_token=ADMIN, log_level="ERROR"))
    try:
        async with serving(Starlette(routes=[Mount("/ops/jobs", pages)])) as port:
            await asyncio.to_thread(pause_and_resume, f"http://127.0.0.1:{port}/ops/jobs/", tmp_path)
    finally:
        await pages.stop()
    assert await harness.redis.hget(f"bull:{QUEUE}:meta", "paused") is None


def pause_and_resume(base: str, folder: Path) -> None:
    """Pause the queue in one window, and see in another that it is paused; then resume it."""
    with driver() as driver_port:
        browser, other = Browser(driver_port, folder / "one"), Browser(driver_port, folder / "other")
        try:
            for window in (browser, other):
                window.log_in(base, ADMIN)
                window.open(f"{base}queue?queue={QUEUE}")
                window.until(partial(window.run, IS_LIVE), "it is live")
            browser.click("button[value=pause]")
            browser.until(lambda: "The queue is paused." in browser.text, "the page says that it is paused")
            other.until(
                lambda: other.run("return document.querySelector('h1 .badge.paused') !== null"), "so does it"
            )
            assert other.run("return document.querySelector('button[value=resume]') !== null")
            browser.click("button[value=resume]")
            browser.until(lambda: "The queue is resumed." in browser.text, "the page says that it is resumed")
            assert browser.complaints() == other.complaints() == []
        finally:
            browser.close()
            other.close()
