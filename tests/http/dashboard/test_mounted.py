"""The dashboard in other places: mounted in applications, on its own, under any path and behind proxies."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from auth_worker import ConfigurationError, Settings
from auth_worker.dashboard import Caller, MountedDashboard, dashboard
from auth_worker.observability.logs import open_log
from support.admin_api import ADMIN
from support.asgi_server import serving, stripping_proxy
from support.dashboard_visitor import Page, Visitor
from support.django_sites import set_up
from support.event_pages import EventPage
from support.http_requests import asked
from support.log_capture import lines_of
from support.lone_dashboards import TOKENS, LoneDashboard
from support.processors import QUEUE, Harness


@pytest.fixture
async def jobs(harness: Harness) -> Harness:
    """A queue with a waiting, a failed and a dead job, and no worker."""

    async def fail(job: Any) -> None:
        raise ValueError("no such customer")

    await harness.jobs.add("failing", {"n": 1}, attempts=1)
    processor = await harness.processor(fail)
    await harness.settled(1)
    await processor.close(0)
    await harness.jobs.add("waiting", {"n": 1}, job_id="first")
    return harness


def mounted(harness: Harness, **options: Any) -> MountedDashboard:
    return dashboard(harness.url, settings=Settings(**TOKENS), **options)


async def crawl(visitor: Visitor) -> list[Page]:
    """Load every page that links lead to, and check that no link or form leaves the dashboard."""
    to_do, done = [visitor.base], dict[str, Page]()
    while to_do:
        path = to_do.pop()
        if path in done:
            continue
        page = done[path] = await visitor.get(path)
        assert page.status == 200, (path, page.text)
        assert page.text.count("Not found") == 0
        for found in [*page.targets, *page.actions, *page.sources]:
            assert found.startswith(visitor.base), (path, found)
        to_do += [target for target in page.targets if not urlsplit(target).fragment]
    for source in {source for page in done.values() for source in page.sources}:
        assert (await visitor.get(source)).status == 200, source
    return list(done.values())


async def pause(visitor: Visitor, harness: Harness) -> None:
    """Pause the queue by the form on its page, and read it back."""
    form = (await visitor.get("queue", queue=QUEUE)).form("change-queue", "pause")
    done = await visitor.follow(await visitor.send(form, ("action", "pause")))
    assert done.status == 200
    assert "The queue is paused." in done.text
    assert await harness.redis.hget(f"bull:{QUEUE}:meta", "paused") is not None


def in_starlette(pages: MountedDashboard) -> Any:
    """An application of Starlette."""
    return Starlette(routes=[Mount("/ops/jobs", pages)])


def in_fastapi(pages: MountedDashboard) -> Any:
    """An application of FastAPI."""
    app = FastAPI()
    app.mount("/ops/jobs", pages)
    return app


def in_django(pages: MountedDashboard) -> Any:
    """A project of Django behind ASGI."""
    set_up()
    from django.core.asgi import get_asgi_application

    return Starlette(routes=[Mount("/ops/jobs", pages), Mount("/", get_asgi_application())])


FRAMEWORKS = pytest.mark.parametrize("framework", [in_starlette, in_fastapi, in_django])


@FRAMEWORKS
async def test_mounted_in_an_application_every_link_and_form_works(jobs: Harness, framework: Any) -> None:
    pages = mounted(jobs)
    async with serving(framework(pages)) as port:
        visitor = Visitor(port, "/ops/jobs/")
        login = await visitor.log_in(ADMIN)
        assert login.location == "/ops/jobs/"
        found = await crawl(visitor)
        assert {urlsplit(page.path).path.rpartition("/")[2] for page in found} >= {
            *("", "queue", "job", "dead", "letter", "workers", "operations")
        }
        await pause(visitor, jobs)
        form = (await visitor.get("job", queue=QUEUE, job="first")).form("change-job", "remove")
        asked_again = await visitor.send(form, ("action", "remove"))
        gone = await visitor.send(asked_again.form("change-job"), ("action", "remove"))
        assert gone.location.startswith("/ops/jobs/queue?")
        assert await jobs.redis.exists(f"bull:{QUEUE}:first") == 0
    await pages.stop()


@FRAMEWORKS
async def test_mounted_behind_a_proxy_pages_stay_live_and_links_and_forms_work(
    jobs: Harness, framework: Any
) -> None:
    pages = mounted(jobs)
    async with serving(framework(pages)) as port, serving(stripping_proxy("/tools", port)) as outside:
        visitor = Visitor(outside, "/tools/ops/jobs/")
        assert (await visitor.log_in(ADMIN)).location == "/tools/ops/jobs/"
        await crawl(visitor)
        direct = Visitor(port, "/ops/jobs/")
        await direct.log_in(ADMIN)
        events = await asyncio.to_thread(EventPage, direct, port)
        assert events.response.headers["content-type"].startswith("text/event-stream")
        await asyncio.to_thread(events.next)
        await pause(visitor, jobs)
        await asyncio.to_thread(events.until_changed, QUEUE)
        events.close()
    await pages.stop()


def told_its_root(app: Any) -> Any:
    """An application as ``FastAPI(root_path="/tools")`` serves it, which leaves that out of the path."""

    async def serve(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/tools"}, receive, send)

    return serve


async def test_mounted_where_the_application_is_told_what_a_proxy_strips_links_and_forms_work(
    jobs: Harness,
) -> None:
    pages = mounted(jobs)
    app = told_its_root(in_starlette(pages))
    async with serving(app) as port, serving(stripping_proxy("/tools", port)) as outside:
        visitor = Visitor(outside, "/tools/ops/jobs/")
        assert (await visitor.log_in(ADMIN)).location == "/tools/ops/jobs/"
        await crawl(visitor)
        await pause(visitor, jobs)
    await pages.stop()


async def test_the_application_says_who_may_see_and_who_may_change(jobs: Harness) -> None:
    stream = io.StringIO()
    log = open_log(None, Settings(log_format="json"), stream)
    here = threading.current_thread()

    async def who(scope: MutableMapping[str, Any]) -> Caller | None:
        assert threading.current_thread() is here
        name = dict(scope["headers"]).get(b"cookie", b"").decode().partition("as=")[2].partition(";")[0]
        return {"ada": Caller("ada", True), "bob": Caller("bob", False)}.get(name)

    pages = dashboard(jobs.url, authorize=who, settings=Settings(http_token=ADMIN), logger=log.logger)
    async with serving(Starlette(routes=[Mount("/jobs", pages)])) as port:
        stranger = Visitor(port, "/jobs/")
        refused = await stranger.get()
        assert refused.status == 403
        assert "does not permit you to see" in refused.text
        assert (await stranger.log_in(ADMIN)).location == "/jobs/"
        assert (await stranger.get()).status == 403
        for name, may_change in (("ada", True), ("bob", False)):
            visitor = Visitor(port, "/jobs/")
            visitor.cookie = f"as={name}"
            page = await visitor.get("queue", queue=QUEUE)
            assert page.status == 200
            assert name in page.text
            assert "logout" not in [form.action for form in page.forms]
            assert ("change-queue" in [form.action for form in page.forms]) is may_change
            visitor.cookie = f"as={name}; {visitor.cookie}"
            if may_change:
                await pause(visitor, jobs)
        changes = [line for line in lines_of(stream, log) if line["event"] == "Changed by an operator"]
        assert [(line["who"], line["action"], line["queue"]) for line in changes] == [("ada", "pause", QUEUE)]
    await pages.stop()


async def test_nobody_gets_a_dashboard_that_is_open_to_everybody(redis_url: str) -> None:
    with pytest.raises(ConfigurationError, match="open to everybody: give authorize"):
        dashboard(redis_url)
    with pytest.raises(ConfigurationError):
        dashboard("http://localhost", settings=Settings(http_token=ADMIN))


async def test_an_error_of_ours_and_a_wrong_token_are_logged_and_the_page_tells_nothing(
    jobs: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    log = open_log(None, Settings(log_format="json"), stream)

    async def break_off(self: object) -> None:
        raise RuntimeError("password: hunter2hunter2")

    pages = mounted(jobs, logger=log.logger)
    async with serving(Starlette(routes=[Mount("/jobs", pages)])) as port:
        visitor = Visitor(port, "/jobs/")
        assert (await visitor.log_in("wrong")).status == 401
        await visitor.log_in(ADMIN)
        monkeypatch.setattr("auth_worker.http.dashboard.sampler.Sampler.overview", break_off)
        page = await visitor.get()
        assert page.status == 500
        assert "RuntimeError" not in page.text
    await pages.stop()
    said = [(line["event"], line["error"]) for line in lines_of(stream, log)]
    assert said[0] == ("A request to the HTTP port had a wrong token", "from 127.0.0.1")
    assert said[1][0] == "A request to the HTTP port failed"
    assert "RuntimeError" in said[1][1]
    assert "hunter2" not in said[1][1]


async def test_a_web_socket_is_closed_and_a_log_in_leads_nowhere_where_there_are_no_tokens(jobs: Harness) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    pages = dashboard(jobs.url, authorize=lambda scope: Caller("ada", False), settings=Settings())
    await pages({"type": "websocket"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
    async with serving(pages) as port:
        visitor = Visitor(port)
        for page in (await visitor.get("login"), await visitor.log_in("x")):
            assert (page.status, page.location) == (303, "/")
    await pages.stop()


async def test_its_thread_starts_with_the_first_request_and_ends_with_stop(jobs: Harness) -> None:
    def threads() -> int:
        return [thread.name for thread in threading.enumerate()].count("auth-worker-api")

    pages = mounted(jobs)
    async with serving(Starlette(routes=[Mount("/jobs", pages)])) as port:
        assert threads() == 0
        visitor = Visitor(port, "/jobs/")
        await visitor.log_in(ADMIN)
        assert threads() == 1
        await pages.stop()
        assert threads() == 0
        assert (await visitor.get()).status == 200
    await asyncio.to_thread(asyncio.run, _ask_in_another_loop(pages))
    assert threads() == 1
    await pages.stop()
    assert threads() == 0


async def _ask_in_another_loop(pages: MountedDashboard) -> None:
    async with serving(pages) as port:
        assert (await asked(port, "/login")).status == 200


async def test_on_its_own_it_serves_under_its_path_and_behind_a_proxy(jobs: Harness) -> None:
    async with LoneDashboard(jobs, base_path="/jobs") as port:
        assert (await asked(port, "/livez")).status == 200
        assert (await asked(port, "/")).status == 404
        folder = await asked(port, "/jobs")
        assert (folder.status, folder.headers["location"]) == (307, "jobs/")
        visitor = Visitor(port, "/jobs/")
        await visitor.log_in(ADMIN)
        await crawl(visitor)


async def test_behind_a_proxy_that_takes_the_path_away_every_link_and_form_works(jobs: Harness) -> None:
    async with LoneDashboard(jobs) as port, serving(stripping_proxy("/tools/jobs", port)) as outside:
        visitor = Visitor(outside, "/tools/jobs/")
        login = await visitor.log_in(ADMIN)
        assert "Secure" in login.headers["set-cookie"]
        await crawl(visitor)
        await pause(visitor, jobs)
