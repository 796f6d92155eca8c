"""Routes that stream for ever, for tests alone, and what must hold of them wherever they are asked.

What the routes do is written to files, so that it shows from other processes too.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fastapi import FastAPI

from auth_worker.http.api.app import application
from auth_worker.http.streaming import GeneratedResponse

CHUNK = b"x" * 65536
POLICY = "default-src 'self'"
MOST_BUFFERED = 8 * 1024 * 1024
"""What the sockets' buffers may take of a stream that nobody reads; the routes would produce it in a moment."""


class Routes:
    """``events`` produces the next event once the file ``go`` holds its number; ``flood`` never waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def events(self) -> GeneratedResponse:
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return GeneratedResponse(self._events(), media_type="text/event-stream", headers=headers)

    async def flood(self) -> GeneratedResponse:
        return GeneratedResponse(self._chunks(), media_type="application/octet-stream")

    async def broken(self) -> GeneratedResponse:
        return GeneratedResponse(self._broken())

    async def _events(self) -> AsyncGenerator[str]:
        number = 0
        with self._ending():
            while True:
                number += 1
                while _number(self._folder / "go") < number:  # noqa: ASYNC110 - perhaps another process writes it
                    await asyncio.sleep(0.01)
                yield f"data: {number}\n\n"

    async def _chunks(self) -> AsyncGenerator[bytes]:
        number = 0
        with self._ending():
            while True:
                number += 1
                _write(self._folder / "produced", number)
                yield CHUNK

    async def _broken(self) -> AsyncGenerator[bytes]:
        yield b"some"
        raise LookupError("a secret")

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            (self._folder / "ended").touch()


def with_streams(folder: Path) -> Callable[[], FastAPI]:
    """The API's ``application``, one that has the routes as well."""
    api, routes = application.__wrapped__(), Routes(folder)
    for answer in (routes.events, routes.flood, routes.broken):
        api.add_api_route(f"/v1/test/{answer.__name__}", answer)
    return lambda: api


class Streams:
    """A client of the routes at ``port``. Everything blocks."""

    def __init__(self, port: int | None, folder: Path, token: str = "") -> None:
        assert port is not None
        self._port = port
        self._folder = folder
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @contextmanager
    def open(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """Ask; the client disconnects at the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.request("GET", path, headers=self._headers)
        reply = connection.getresponse()
        try:
            yield reply
        finally:
            reply.close()
            connection.close()

    def check_each_event_arrives_before_the_next_is_produced(self) -> None:
        with self.open("/api/v1/test/events") as reply:
            assert reply.status == 200, "the head arrives before any event"
            assert reply.getheader("content-type") == "text/event-stream; charset=utf-8"
            for number in (1, 2, 3):
                _write(self._folder / "go", number)
                assert reply.readline() == b"data: %d\n" % number
                assert reply.readline() == b"\n"
            assert not (self._folder / "ended").exists()
        self._ended()

    def check_a_route_sets_its_own_headers(self) -> None:
        with self.open("/api/v1/test/events") as reply:
            assert reply.getheader("content-security-policy") == POLICY
            assert reply.getheader("cache-control") == "no-cache"
            assert reply.getheader("x-content-type-options") == "nosniff"
        with self.open("/api/v1/operations") as reply:
            assert reply.getheader("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
            assert reply.getheader("cache-control") == "no-store"

    def check_a_client_that_does_not_read_stops_the_producer(self) -> None:
        with self.open("/api/v1/test/flood") as reply:
            produced = self._settled()
            assert produced * len(CHUNK) < MOST_BUFFERED
            for _ in range(4 * produced):
                assert len(reply.read(len(CHUNK))) == len(CHUNK)
            assert self._settled() > 4 * produced, "it goes on once the client reads"
            assert not (self._folder / "ended").exists()
        self._ended()

    def check_streams_leave_room_for_probes_and_requests(self) -> None:
        with ExitStack() as stack:
            for _ in range(8):
                assert stack.enter_context(self.open("/api/v1/test/events")).status == 200
            with self.open("/api/v1/test/events") as refused:
                assert refused.status == 429
            for path in ("/livez", "/readyz", "/startupz", "/api/v1/operations"):
                with self.open(path) as reply:
                    assert reply.status == 200, path
        self._eventually(self._has_room, "the streams have ended")

    def check_a_stream_that_breaks_off_shows_as_broken(self) -> None:
        with self.open("/api/v1/test/broken") as reply:
            is_complete = True
            try:
                read = reply.read()
            except http.client.IncompleteRead as error:
                read, is_complete = error.partial, False
            assert (read, is_complete) == (b"some", False)

    def _has_room(self) -> bool:
        with self.open("/api/v1/test/events") as reply:
            return reply.status == 200

    def _ended(self) -> None:
        self._eventually((self._folder / "ended").exists, "the producer has ended")

    def _settled(self) -> int:
        """How many chunks were produced, once no more are."""
        seen, since = 0, time.monotonic()
        deadline = since + 20
        while time.monotonic() - since < 0.5:
            assert time.monotonic() < deadline, "it produces without end"
            time.sleep(0.02)
            if (now := _number(self._folder / "produced")) != seen or not now:
                seen, since = now, time.monotonic()
        return seen

    @staticmethod
    def _eventually(holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)


CHECKS = [
    Streams.check_each_event_arrives_before_the_next_is_produced,
    Streams.check_a_route_sets_its_own_headers,
    Streams.check_a_client_that_does_not_read_stops_the_producer,
    Streams.check_streams_leave_room_for_probes_and_requests,
    Streams.check_a_stream_that_breaks_off_shows_as_broken,
]


def _number(file: Path) -> int:
    return int(file.read_text()) if file.exists() else 0


def _write(file: Path, number: int) -> None:
    """Whole or not at all: somebody else reads it."""
    new = file.with_suffix(".new")
    new.write_text(str(number))
    os.replace(new, file)
