"""Open pages are told what changes, and what is wrong when Redis is away."""

from __future__ import annotations

import asyncio

from auth_worker import WorkerService
from auth_worker.http.dashboard.sampler import MOST_OPEN
from support.admin_api import ADMIN, READER, add, service_at
from support.dashboard_visitor import Visitor
from support.event_pages import EventPage
from support.http_requests import Api
from support.processors import QUEUE, eventually
from support.servers import Server


async def test_every_open_page_is_notified_which_queue_has_changed(
    reader: Visitor, paused_api: Api, service: WorkerService
) -> None:
    streams = [await asyncio.to_thread(EventPage, reader, service.http_port) for _ in range(3)]
    try:
        for stream in streams:
            assert stream.response.headers["content-type"].startswith("text/event-stream")
            assert await asyncio.to_thread(stream.next) == {"changed": [], "trouble": ""}
            assert (await asyncio.to_thread(stream.next))["trouble"] == ""
        await add(paused_api)
        for stream in streams:
            await asyncio.to_thread(stream.until_changed, QUEUE)
    finally:
        for stream in streams:
            stream.close()


async def test_a_browser_keeps_connections_for_its_other_requests_however_many_pages_are_open(
    reader: Visitor, admin: Visitor, service: WorkerService
) -> None:
    opened = [await asyncio.to_thread(EventPage, reader, service.http_port) for _ in range(MOST_OPEN)]
    try:
        assert [stream.response.status for stream in opened] == [200] * MOST_OPEN
        assert (await reader.get("events")).status == 429
        opened.append(await asyncio.to_thread(EventPage, admin, service.http_port))
        assert opened[-1].response.status == 200, "another browser at the same address, such as that of a proxy"
        opened[0].close()

        async def has_room() -> bool:
            again = await asyncio.to_thread(EventPage, reader, service.http_port)
            opened.append(again)
            return again.response.status == 200

        await eventually(has_room, "a page that was closed makes room for another")
    finally:
        for stream in opened:
            stream.close()


async def test_proxies_are_told_to_pass_events_on_as_they_are(reader: Visitor, service: WorkerService) -> None:
    stream = await asyncio.to_thread(EventPage, reader, service.http_port)
    stream.close()
    assert stream.response.headers["cache-control"] == "no-store, no-transform"
    assert stream.response.headers["x-accel-buffering"] == "no"


async def test_without_redis_a_page_says_so_and_heals_by_itself() -> None:
    with Server() as own:
        service = service_at(own.url)
        async with service:
            visitor = Visitor(service.http_port)
            await visitor.log_in(READER)
            assert (await visitor.get()).status == 200
            stream = await asyncio.to_thread(EventPage, visitor, service.http_port)
            own.kill()

            async def fault() -> bool:
                page = await visitor.get()
                return page.status == 503 and 'http-equiv="refresh"' in page.text

            await eventually(fault, "the page says that Redis is away", within=20)
            trouble = ""
            while not trouble:
                trouble = (await asyncio.to_thread(stream.next))["trouble"]
            stream.close()
            assert (await Visitor(service.http_port).log_in(ADMIN)).status == 303
