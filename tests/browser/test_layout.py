"""How the pages are laid out: nothing jumps, and what others write does not widen them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from auth_worker import JobQueue
from support.admin_api import ADMIN, service_at
from support.browser import Browser, logged_in_browser
from support.processors import QUEUE, Harness

LONG = "a.name." + "that.nobody.reads." * 12
HEADER = "return document.querySelector('.top').offsetHeight"
IS_LIVE = "return document.querySelector('#live.on') !== null"
HEIGHTS = "return [...document.querySelectorAll('.clamp')].map((each) => each.offsetHeight)"
SCROLLED = "return document.documentElement.scrollWidth"


async def look(harness: Harness, folder: Path, watch: Callable[[Browser, str], None]) -> None:
    """Log in to the dashboard of a service, and ``watch`` there: the browser, and the address."""

    def run(base: str) -> None:
        with logged_in_browser(base, folder, ADMIN) as browser:
            watch(browser, base)

    async with service_at(harness.url) as service:
        await asyncio.to_thread(run, f"http://127.0.0.1:{service.http_port}/")


async def test_nothing_moves_when_a_page_says_whether_it_is_live(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("first")

    def watch(browser: Browser, base: str) -> None:
        for width in (360, 1280):
            browser.resize(width, 800)
            browser.open(f"{base}queue?queue={QUEUE}")
            browser.until(lambda: browser.run(IS_LIVE), "it is live")
            said = browser.run(HEADER)
            for text in ("", "live", "not current", "waits: text is selected"):
                browser.run("document.querySelector('#live').textContent = arguments[0]", text)
                assert browser.run(HEADER) == said, (width, text)

    await look(harness, tmp_path, watch)


async def test_long_names_make_no_page_wider_than_a_phone(harness: Harness, tmp_path: Path) -> None:
    async with JobQueue(LONG, harness.url) as queue:
        await queue.add(LONG, job_id=LONG)

    def watch(browser: Browser, base: str) -> None:
        browser.resize(360, 800)
        of_queue = f"queue={LONG}"
        for page in (
            "",
            "queue?queue=none",
            f"queue?{of_queue}",
            f"job?{of_queue}&job={LONG}",
            "history",
            "workers",
        ):
            browser.open(base + page)
            assert browser.run(SCROLLED) <= 360, page

    await look(harness, tmp_path, watch)


async def test_a_long_error_takes_two_lines_of_the_list(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("bad", attempts=1)
    await harness.jobs.add("bad", attempts=1)

    def watch(browser: Browser, base: str) -> None:
        browser.resize(1280, 800)
        shown = "return document.querySelectorAll('.clamp').length"
        browser.open(f"{base}queue?queue={QUEUE}&state=failed")
        browser.until(lambda: browser.run(shown) == 2, "both have failed")
        browser.run("document.querySelector('.clamp').textContent = 'It is broken. '.repeat(40)")
        first, second = browser.run(HEIGHTS)
        assert second < first < 2.5 * second

    await look(harness, tmp_path, watch)


async def test_ids_of_one_batch_are_told_apart(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add_bulk({"name": "held"} for _ in range(3))

    def watch(browser: Browser, base: str) -> None:
        browser.resize(1280, 800)
        browser.open(f"{base}search?q=queue:{QUEUE}+name:*")
        cut_off = "return [...document.querySelectorAll('th .id')].filter((each) => {"
        cut_off += "const cell = each.parentElement; return cell.scrollWidth > cell.clientWidth}).length"
        assert browser.run("return document.querySelectorAll('th .id').length") == 3
        assert browser.run(cut_off) == 0

    await look(harness, tmp_path, watch)


async def test_with_forced_colours_the_page_that_is_open_stands_out(harness: Harness, tmp_path: Path) -> None:
    def watch(browser: Browser, base: str) -> None:
        feature = {"name": "forced-colors", "value": "active"}
        browser.devtools("Emulation.setEmulatedMedia", {"features": [feature]})
        browser.open(f"{base}errors")
        borders = "return ['[aria-current]', ':not([aria-current])'].map((which) => getComputedStyle("
        borders += "document.querySelector(`.top nav a${which}`)).borderBottomColor)"
        current, other = browser.run(borders)
        assert current != other

    await look(harness, tmp_path, watch)


async def test_what_is_printed_is_the_content_alone(harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("held")

    def watch(browser: Browser, base: str) -> None:
        browser.open(f"{base}queue?queue={QUEUE}")
        browser.devtools("Emulation.setEmulatedMedia", {"media": "print"})
        seen = "return [...document.querySelectorAll('header, footer, button, input')].filter("
        seen += "(each) => each.offsetParent !== null).length"
        assert browser.run(seen) == 0
        assert browser.run("return document.querySelector('h1').innerText") == QUEUE
        browser.devtools("Emulation.setEmulatedMedia", {"media": ""})

    await look(harness, tmp_path, watch)
