"""The dead letters of many queues in a real browser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from auth_worker import JobQueue
from auth_worker.admin.bulk import finish
from support.admin_api import ADMIN, service_at
from support.browser import logged_in_browser
from support.operators import operations_on
from support.processors import Harness

QUEUES, LETTERS = 20, 50
REASONS = ("no such customer", "https://example.org/" + "a" * 450, "\u202eno\x1b[31m <b>such</b> customer")


@pytest.mark.timeout(300)
async def test_the_dead_letters_of_many_queues_fit_and_are_accessible(
    harness: Harness, tmp_path: Path, axe: str
) -> None:
    async with operations_on(harness.url) as operations:
        for number in range(QUEUES):
            name = f"queue-{number}"
            async with JobQueue(name, harness.url) as queue:
                jobs = await queue.add_bulk({"name": "send welcome mail"} for _ in range(LETTERS))
            reason = REASONS[number % len(REASONS)]
            steps = operations.jobs.dead_letter_many(name, jobs, to=f"{name}-dead", reason=reason)
            assert (await finish(steps)).done == LETTERS
    async with service_at(harness.url) as service:
        await asyncio.to_thread(look_at_all, f"http://127.0.0.1:{service.http_port}/", tmp_path, axe)


def look_at_all(base: str, folder: Path, axe: str) -> None:
    """Look at every page that shows dead letters, in both themes and widths."""
    with logged_in_browser(base, folder, ADMIN) as browser:
        violations: dict[tuple[str, int], list[str]] = {}
        for theme, width in (("light", 1440), ("dark", 360)):
            browser.prefer(theme)
            browser.resize(width, 800)
            for screen in ("", "dead", *(f"dead?queue=queue-{number}-dead" for number in range(3)), "errors"):
                browser.open(base + screen)
                assert browser.run("return document.documentElement.scrollWidth") <= width, (screen, width)
                violations[screen, width] = browser.violations(axe)
                if screen == "dead":
                    shown = browser.run("return document.querySelectorAll('#letters tbody tr').length")
                    assert shown == QUEUES
        assert {place: found for place, found in violations.items() if found} == {}
        assert browser.complaints() == []
