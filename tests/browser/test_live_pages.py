"""Pages of the dashboard that stay open: they show what is now, or say that they do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auth_worker import JobQueue
from auth_worker.http.request_limiter import RequestLimiter
from support.admin_api import ADMIN, service_at
from support.browser import Browser, logged_in_browser
from support.processors import QUEUE, Harness
from support.proxy import Proxy

STATUS = "return document.querySelector('#live').textContent"
ROWS = "return document.querySelectorAll('#rows tbody tr').length"
WINDOWS = 8
"""More than a browser has connections to one host."""


async def look(
    harness: Harness, folder: Path, watch: Callable[[Browser, str, Callable[[Any], None]], None]
) -> None:
    """Log in to the dashboard of a service, and ``watch`` there: the browser, the address, and what runs here."""
    loop = asyncio.get_running_loop()

    def here(coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    async with service_at(harness.url) as service:
        base = f"http://127.0.0.1:{service.http_port}/"
        await asyncio.to_thread(logged_in, base, folder, lambda browser, base: watch(browser, base, here))


def logged_in(base: str, folder: Path, watch: Callable[[Browser, str], None]) -> None:
    """Open a browser at the dashboard, log in, and ``watch``."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        watch(browser, base)


async def test_a_page_says_that_its_queue_is_gone_and_is_live_again_when_it_is_back(
    harness: Harness, tmp_path: Path
) -> None:
    async with JobQueue("brief", harness.url) as queue:
        await queue.add("good")

        def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
            browser.open(f"{base}queue?queue=brief&state=wait")
            browser.until(lambda: browser.run(STATUS) == "live", "it is live")
            here(queue.obliterate(force=True))
            browser.until(lambda: "There is no queue 'brief'" in browser.text, "it says that the queue is gone")
            assert "did you mean brief" not in browser.text
            assert browser.run(STATUS) == "not current"
            assert browser.run(ROWS) == 1, "what was there can still be read"
            here(queue.add_bulk([{"name": "good"}, {"name": "good"}]))
            browser.until(lambda: browser.run(ROWS) == 2, "it shows the queue that is back")
            browser.until(lambda: browser.run(STATUS) == "live", "it says so")
            assert "not current" not in browser.text

        await look(harness, tmp_path, watch)


@pytest.mark.parametrize("most", [1, 100], ids=["the server limits them", "the windows limit themselves"])
async def test_every_window_of_a_browser_loads_and_stays_current(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("auth_worker.http.dashboard.sampler.MOST_OPEN", most)  # several processes permit more

    def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
        windows = [browser.add_window() for _ in range(WINDOWS)]
        for window in windows:
            browser.show_window(window)
            browser.open(f"{base}queue?queue={QUEUE}&state=completed")
            assert browser.run(ROWS) == 0
        here(harness.jobs.add("good"))
        for window in windows:
            browser.show_window(window)
            browser.until(lambda: browser.run(ROWS) == 1, "it shows the new job")

    await look(harness, tmp_path, watch)


async def test_a_paused_page_stays_as_it_is_until_it_goes_on(harness: Harness, tmp_path: Path) -> None:
    def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
        page, other = browser.add_window(), browser.add_window()
        for window in (page, other):
            browser.show_window(window)
            browser.open(f"{base}queue?queue={QUEUE}&state=completed")
        browser.show_window(page)
        browser.click("#pause")
        assert browser.run(STATUS) == "paused"
        here(harness.jobs.add("good"))
        browser.show_window(other)
        browser.until(lambda: browser.run(ROWS) == 1, "a page that is not paused shows the new job")
        browser.show_window(page)
        assert browser.run(ROWS) == 0
        browser.click("#pause")
        browser.until(lambda: browser.run(ROWS) == 1, "it shows the job now")

    await look(harness, tmp_path, watch)


@pytest.mark.timeout(120)
async def test_a_page_that_gets_no_answer_says_so_and_goes_on_when_it_gets_one(
    harness: Harness, tmp_path: Path
) -> None:
    is_over = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with service_at(harness.url) as service, await asyncio.start_server(say_nothing, "127.0.0.1", 0) as hole:
        assert service.http_port is not None
        async with Proxy(service.http_port) as line:
            loop = asyncio.get_running_loop()

            def break_line() -> None:
                line.target = hole.sockets[0].getsockname()[1]
                line.half_open()

            def mend_line() -> None:
                line.target = service.http_port or 0
                line.cut()

            def watch(browser: Browser, base: str) -> None:
                browser.open(f"{base}queue?queue={QUEUE}&state=completed")
                browser.until(lambda: browser.run(STATUS) == "live", "it is live")
                loop.call_soon_threadsafe(break_line)
                browser.press("r")
                browser.until(lambda: "The server cannot be reached" in browser.text, "it says so")
                loop.call_soon_threadsafe(mend_line)
                browser.until(lambda: browser.run(STATUS) in ("live", "every 5 s"), "it goes on")
                assert "cannot be reached" not in browser.text

            await asyncio.to_thread(logged_in, f"http://127.0.0.1:{line.port}/", tmp_path, watch)
        is_over.set()


async def test_a_page_that_is_refused_since_many_load_theirs_tries_again_without_alarm(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    is_busy = False

    def is_free(self: RequestLimiter, caller: object) -> bool:
        nonlocal refused
        refused += is_busy
        return not is_busy

    monkeypatch.setattr(RequestLimiter, "_is_free", is_free)
    monkeypatch.setattr("auth_worker.http.request_limiter.WAIT_S", 0.05)

    def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
        nonlocal is_busy
        browser.open(f"{base}queue?queue={QUEUE}&state=completed")
        browser.until(lambda: browser.run(STATUS) == "live", "it is live")
        is_busy = True
        here(harness.jobs.add("good"))
        browser.until(lambda: refused, "it is refused")
        assert "not current" not in browser.text
        is_busy = False
        browser.until(lambda: browser.run(ROWS) == 1, "it shows the new job")

    await look(harness, tmp_path, watch)


async def test_the_forms_of_an_open_page_work_after_a_log_in_in_another_window(
    harness: Harness, tmp_path: Path
) -> None:
    def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
        page, other = browser.add_window(), browser.add_window()
        browser.show_window(page)
        browser.open(f"{base}queue?queue={QUEUE}")
        browser.until(lambda: browser.run(STATUS) == "live", "it is live")
        before = browser.run(TOKEN)
        browser.show_window(other)
        browser.log_in(base, ADMIN)
        browser.show_window(page)
        browser.press("r")
        browser.until(lambda: browser.run(TOKEN) != before, "its forms belong to the new session")
        browser.click("button[value=pause]")
        browser.until(lambda: "The queue is paused." in browser.text, "the queue is paused")

    await look(harness, tmp_path, watch)


TOKEN = "return document.querySelector('form[action=change-queue] [name=form_token]').value"


async def test_a_refresh_takes_neither_the_focus_nor_a_click_nor_selected_text(
    harness: Harness, tmp_path: Path
) -> None:
    for number in range(3):
        await harness.jobs.upsert_job_scheduler(f"scheduler-{number}", name="report", pattern="0 3 * * *")

    def watch(browser: Browser, base: str, here: Callable[[Any], None]) -> None:
        browser.open(f"{base}schedulers")
        browser.until(lambda: browser.run(STATUS) == "live", "it is live")
        browser.run("document.querySelectorAll('button[value=run]')[1].focus()")
        refreshed(browser)
        assert browser.run(f"return document.activeElement === {BUTTONS}[1]"), (
            "it is on the button of the same row"
        )

        browser.run(f"{BUTTONS}[1].dispatchEvent(new PointerEvent('pointerdown', {{bubbles: true}}))")
        browser.run(f"window.pressed = {BUTTONS}[1]; document.querySelector('[data-live]').dataset.seen = ''")
        browser.press("r")
        assert browser.run(f"return {BUTTONS}[1] === window.pressed"), "what is pressed is not replaced"
        browser.run("document.body.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}))")
        refreshed(browser)

        browser.run("document.querySelector('[data-live]').dataset.seen = ''")
        browser.run("getSelection().selectAllChildren(document.querySelector('tbody th'))")
        browser.until(lambda: "selected" in browser.run(STATUS), "it waits, and says why")
        assert "scheduler-0" in browser.run("return getSelection().toString()")
        browser.run("getSelection().empty()")
        browser.until(lambda: browser.run(STATUS) == "live", "it goes on")

    await look(harness, tmp_path, watch)


BUTTONS = "document.querySelectorAll('button[value=run]')"


def refreshed(browser: Browser) -> None:
    """Wait until the rows are replaced, as if they had changed."""
    browser.run(
        "document.querySelector('[data-live]').dataset.seen = '';"
        "document.querySelector('tbody tr').dataset.old = 'yes'"
    )
    browser.until(lambda: not browser.run("return document.querySelector('tr[data-old]')"), "it is refreshed")
