"""Open pages are told what changes, and what is wrong when Redis is away."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

from auth_worker import WorkerService
from support.admin_api import ADMIN, READER, add, service_at
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.processors import QUEUE, eventually
from support.servers import Server


class Stream:
    """The events that one open page gets."""

    def __init__(self, visitor: Visitor, port: int | None) -> None:
        assert port is not None
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._connection.request("GET", "/events", headers={"Cookie": visitor.cookie})
        self.response = self._connection.getresponse()

    def next(self) -> dict[str, Any]:
        """Wait for the next event; blocks."""
        while not (line := self.response.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        return found

    def until_changed(self, queue: str) -> None:
        """Wait until the queue is said to have changed; blocks."""
        while queue not in self.next()["changed"]:
            pass  # another read of the queues

    def close(self) -> None:
        """Close the page."""
        self.response.close()
        self._connection.close()


async def test_every_open_page_is_notified_which_queue_has_changed(
    reader: Visitor, paused_api: Api, service: WorkerService
) -> None:
    streams = [await asyncio.to_thread(Stream, reader, service.http_port) for _ in range(3)]
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


async def test_without_redis_a_page_says_so_and_heals_by_itself() -> None:
    with Server() as own:
        service = service_at(own.url)
        async with service:
            visitor = Visitor(service.http_port)
            await visitor.log_in(READER)
            assert (await visitor.get()).status == 200
            stream = await asyncio.to_thread(Stream, visitor, service.http_port)
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
