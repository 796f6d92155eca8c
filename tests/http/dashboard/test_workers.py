"""The page of the workers: what it shows of each process, and what admins request of them there."""

from __future__ import annotations

import os

import pytest
from redis.asyncio import Redis

from auth_worker import WorkerService
from support.admin_api import add
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import FAST, QUEUE, Harness, eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats every 50 ms."""
    monkeypatch.setattr("auth_worker.process.heartbeats.BEAT_S", 0.05)


async def page_with(visitor: Visitor, text: str) -> Page:
    """The page of the workers, once it has this text."""

    async def has() -> Page | None:
        page = await visitor.get("workers")
        return page if text in page.text else None

    page: Page = await eventually(has, f"{text!r} on the page")
    return page


async def test_it_shows_each_process_with_its_running_jobs_and_the_workers_of_node(
    reader: Visitor, service: WorkerService, harness: Harness, api: Api
) -> None:
    await add(api, "held", jobId="the-held-one")
    node = Redis.from_url(harness.url, client_name="bull:d29yaw==:w:node-1")
    await node.ping()
    page = await page_with(reader, "the-held-one")
    in_use = f"1 of {FAST['concurrency']}"
    assert page.text.count(in_use) == 2  # of the process, and of the queue
    for text in ("1 process, by its heartbeats", f"{os.getpid()}</span>", "node-1"):
        assert text in page.text
    assert f"job?queue={QUEUE}&job=the-held-one" in page.links
    assert page.form("logout")
    assert "change-worker" not in [form.action for form in page.forms]  # a reader may only look
    await node.aclose()


async def test_idle_queues_take_one_line(reader: Visitor, service: WorkerService, api: Api) -> None:
    page = await page_with(reader, "idle: ")
    assert f"{QUEUE}</a> 0 of {FAST['concurrency']}</div>" in page.text
    await add(api, "held", jobId="the-held-one")
    assert "idle: " not in (await page_with(reader, "the-held-one")).text


async def test_an_admin_pauses_and_resumes_one_process(
    admin: Visitor, service: WorkerService, harness: Harness
) -> None:
    (processor,) = service.get_processors()
    page = await page_with(admin, ">running<")
    said = await admin.follow(await admin.send(page.form("change-worker"), ("action", "pause")))
    assert "The process will pause within 2 s." in said.text
    await eventually(lambda: processor.is_paused, "it is paused")
    assert not await harness.redis.hexists(f"bull:{QUEUE}:meta", "paused")
    page = await page_with(admin, ">paused<")
    await admin.send(page.form("change-worker"), ("action", "resume"))
    await eventually(lambda: not processor.is_paused, "it is resumed")
    changes = await admin.get("changes")
    assert "pause worker" in changes.text
    assert "resume worker" in changes.text


async def test_a_process_is_shut_down_once_that_is_confirmed(admin: Visitor, service: WorkerService) -> None:
    page = await page_with(admin, ">running<")
    asked = await admin.send(page.form("change-worker"), ("action", "shut-down"))
    assert "running 0 jobs" in asked.text
    assert service.state == "running"
    assert (await admin.send(asked.form("change-worker"), ("action", "shut-down"))).status == 303
    await eventually(lambda: service.state == "stopped", "it has stopped")


async def test_what_cannot_be_requested_is_refused(admin: Visitor, service: WorkerService) -> None:
    form = (await page_with(admin, ">running<")).form("change-worker")
    assert (await admin.send(form, ("action", "explode"))).status == 422
    for action in ("pause", "shut-down"):
        gone = await admin.send(form, ("worker", "gone"), ("action", action))
        assert gone.status == 404
        assert "here is no worker process" in gone.text
