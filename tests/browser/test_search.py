"""Searches of the dashboard in a real browser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from auth_worker import JobQueue
from support.admin_api import ADMIN, service_at
from support.browser import logged_in_browser
from support.processors import Harness
from support.servers import Server


async def test_a_search_goes_on_to_the_end(harness: Harness, tmp_path: Path) -> None:
    async with JobQueue("archive", harness.url) as archive:
        await archive.add_bulk({"name": "good"} for _ in range(4100))
        await archive.add("rare", {"n": 1}, job_id="wanted")
    service = service_at(harness.url)
    async with service:
        await asyncio.to_thread(search_to_the_end, f"http://127.0.0.1:{service.http_port}/", tmp_path)


def search_to_the_end(base: str, folder: Path) -> None:
    """Search for what is on the second page, and have the search go on."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        browser.open(f"{base}search?q=state:delayed+name:rare")
        assert "No job matches" in browser.text
        browser.open(f"{base}search?q=queue:archive+name:rare")
        assert "No job matches yet" in browser.text
        browser.click("#search-on")
        browser.until(lambda: "wanted" in browser.text, "the job is found")
        browser.until(lambda: "jobs, which are all" in browser.text, "it is the end")
        assert browser.run("return document.querySelector('#search-on').hidden")
        assert browser.complaints() == []


@pytest.mark.timeout(120)
async def test_a_search_that_goes_on_outlasts_a_restart_of_redis(tmp_path: Path) -> None:
    with Server(appendonly=True, config={"appendfsync": "always"}) as own:
        async with JobQueue("archive", own.url) as archive:
            await archive.add("rare", {"n": 1}, job_id="wanted")
            await archive.add_bulk({"name": "good"} for _ in range(8000))
        async with service_at(own.url) as service:
            await asyncio.to_thread(
                search_through_a_restart, f"http://127.0.0.1:{service.http_port}/", tmp_path, own
            )


def search_through_a_restart(base: str, folder: Path, redis: Server) -> None:
    """Have a search go on to its end, while Redis is away for a moment."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        browser.open(f"{base}search?q=queue:archive+name:rare")
        redis.kill()
        browser.click("#search-on")
        browser.until(lambda: "Waiting for the server" in browser.text, "it waits")
        assert "Looked at 2\u202f500 of 8\u202f001" in browser.text, "what it has done stays"
        redis.start()
        browser.until(lambda: "jobs, which are all" in browser.text, "it goes on to the end")
        assert "wanted" in browser.text
