"""Where a request for the API comes in: it is carried over into a thread and event loop of the API's own.

What comes in over HTTP comes in in the loop of the port, which answers the probes. Reading, checking and writing
down large jobs takes time, so nothing of it is done there. The thread begins with the first request, and
so does the web framework of the API: who never asks pays for neither.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.admin.access import CALLER
from auth_worker.admin.hosts import refusal
from auth_worker.admin.logins import source_of
from auth_worker.admin.subject import Subject
from auth_worker.admin.throttle import Throttle
from auth_worker.config import Settings
from auth_worker.watch import WatchLoop

if TYPE_CHECKING:
    from auth_worker.admin.api.desk import Desk

FILTERS = frozenset(("where", "name", "error", "id", "olderThan", "from", "jobId", "reason", "groupBy"))
"""Parameters that make a list a search, which reads thousands of jobs."""
BUSY = "too many requests or searches are under way: ask again when one of them has been answered"
ROOM = 1024 * 1024
"""How much larger than the largest payload a request may be."""


class Door:
    """An ASGI application; ``stop`` ends what it has begun. Belongs to the loop of the port."""

    def __init__(self, subject: Subject, work_loop: asyncio.AbstractEventLoop) -> None:
        self._subject = subject
        self._work_loop = work_loop
        self._loop = WatchLoop("auth-worker-api")
        self._turn = asyncio.Lock()
        self._app: ASGIApp
        self._desk: Desk | None = None
        self._requests = Throttle(each=8, most=16)
        self._searches = Throttle(each=1, most=2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        asked = {name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)}
        throttle = self._searches if asked & FILTERS else self._requests
        caller = scope[CALLER].name, scope["client"] and source_of(scope["client"][0])
        if status := await throttle.enter(caller):
            await refusal(status, BUSY, {"retry-after": "1"})(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        finally:
            await throttle.leave(caller)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, self._subject.settings)
        if isinstance(body, JSONResponse):
            await body(scope, receive, send)
            return
        await self._open()
        for message in await self._loop.call(_answers(self._app, scope, body)):
            await send(message)

    async def stop(self) -> None:
        """Stop the bulk operations under way, disconnect, and end the thread."""
        async with self._turn:
            if self._desk is not None:
                await self._loop.call(self._desk.stop())
            await self._loop.stop()

    async def _open(self) -> None:
        async with self._turn:
            if self._desk is None:
                await asyncio.to_thread(self._loop.start)
                self._app, self._desk = await self._loop.call(_build(self._subject, self._work_loop))


async def _build(subject: Subject, work_loop: asyncio.AbstractEventLoop) -> tuple[ASGIApp, Desk]:
    from auth_worker.admin.api.app import build_api
    from auth_worker.admin.api.desk import Desk

    desk = Desk(subject, work_loop)
    return build_api(desk), desk


async def read_body(receive: Receive, settings: Settings) -> bytes | JSONResponse:
    """All that was sent; the refusal if it is too much."""
    most = settings.max_payload_bytes + ROOM
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return refusal(413, f"a request may have {most} bytes")
        if not message.get("more_body"):
            return bytes(body)


async def _answers(app: ASGIApp, scope: Scope, body: bytes) -> list[Message]:
    """What ``app`` answers."""
    received: list[Message] = [{"type": "http.request", "body": body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return received.pop() if received else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
