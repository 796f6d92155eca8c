"""Passes requests for the API and the dashboard from the HTTP port's event loop to a loop of their own.

The port's loop answers the probes, so nothing slow may run there, and the API parses, validates and encodes large
jobs. Its thread and each application start with the first request. Responses are passed on as they are produced; a
client that reads slowly slows down the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_worker.http.api.message_pipe import MessagePipe, has_events, is_stream
from auth_worker.http.guard import CALLER
from auth_worker.http.login_limiter import source_of
from auth_worker.http.refusals import refusal
from auth_worker.http.request_limiter import BodyMemory, RequestLimiter, Turn
from auth_worker.system.loop_thread import LoopThread

if TYPE_CHECKING:
    from auth_worker.http.dashboard.duties import Duty

T = TypeVar("T")
FILTERS = frozenset(
    (
        *("where", "name", "error", "id", "olderThan", "newerThan", "from", "jobId", "reason"),
        *("groupBy", "errorGroup", "frame", "worker", "q"),
    )
)
"""Parameters that turn a list into a search, which reads thousands of jobs."""
BUSY = "too many requests or searches are running: try again when one of them has been answered"
MOST_PAGES = 64
"""How many pages of the dashboard are notified of changes at a time. All may come from one address, of a proxy."""
ROOM = 1024 * 1024
"""How many bytes a request may have besides the largest payload."""


class Context(Protocol):
    """What the applications share, such as the connections to Redis. Belongs to the applications' loop."""

    def report_failure(self, where: str, error: Exception) -> None:
        """Report an unexpected ``error`` of the part ``where``."""

    async def stop(self) -> None:
        """Disconnect."""


class Bridge:
    """The API and the dashboard as ASGI applications. Belongs to one event loop. ``stop`` ends their thread.

    ``make_context`` is called in the loop of the applications before the first request. ``largest``: how many
    bytes a payload may have.
    """

    def __init__(self, make_context: Callable[[], Context], largest: int) -> None:
        self._make_context = make_context
        self._loop = LoopThread("auth-worker-api")
        self._opening = asyncio.Lock()
        self._apps: dict[Callable[[Any], ASGIApp], ASGIApp] = {}
        self._context: Context | None = None
        self._largest = largest + ROOM
        self._bodies = BodyMemory(each=2 * self._largest, most=4 * self._largest)
        self._requests = RequestLimiter(each=8, most=16)
        self._searches = RequestLimiter(each=1, most=2)
        self._streams = RequestLimiter(each=8, most=32, most_waiting=0)
        self._pages = RequestLimiter(each=MOST_PAGES, most=MOST_PAGES, most_waiting=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        await self._answer(_api, scope[CALLER].name, scope, receive, send)

    async def dashboard(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI: the dashboard, as ``__call__`` is the API."""
        await self._answer(_dashboard, "dashboard", scope, receive, send)

    async def _answer(
        self, build: Callable[[Any], ASGIApp], name: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request. It takes a turn only once its body has arrived, so that a slow body delays nobody."""
        client = scope.get("client")
        caller = (name, client and source_of(client[0]))
        turn, body = Turn(caller), bytearray()
        try:
            refused = await self._read(receive, caller, body)
            if refused is None and (status := await turn.take(self._limiter_of(scope))):
                refused = _busy(status)
            if refused is not None:
                await refused(scope, receive, send)
                return
            app = await self._open(build)
            notified = self._pages if build is _dashboard else self._streams
            await self._pass_on(app, scope, bytes(body), receive, send, turn, notified)
        finally:
            self._bodies.release(caller, len(body))
            await turn.end()

    def _limiter_of(self, scope: Scope) -> RequestLimiter:
        return self._searches if _is_search(scope) else self._requests

    async def _read(self, receive: Receive, caller: Hashable, body: bytearray) -> JSONResponse | None:
        """Append the whole body to ``body``, or return the refusal of one that is too large or incomplete."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return refusal(400, "the request ended before its body was complete")
            part = message.get("body", b"")
            if len(body) + len(part) > self._largest:
                return refusal(413, f"a request may have {self._largest} bytes")
            if status := self._bodies.take(caller, len(part)):
                return _busy(status)
            body += part
            if not message.get("more_body"):
                return None

    async def _pass_on(
        self,
        app: ASGIApp,
        scope: Scope,
        body: bytes,
        receive: Receive,
        send: Send,
        turn: Turn,
        notified: RequestLimiter,
    ) -> None:
        """Pass the request to ``app``, and its response on. ``notified`` limits the streams of events."""
        pipe = MessagePipe(body)

        async def run() -> None:  # a task that is cancelled before it starts leaves no coroutine behind
            await self._loop.call(pipe.run(app, scope))

        running = asyncio.create_task(run())
        watching = asyncio.create_task(_watch(receive, pipe))
        try:
            while (message := await pipe.get()) is not None:
                if message["type"] == "http.response.start":
                    await turn.end()  # a client that reads slowly keeps nobody from a turn
                    streams = notified if has_events(message) else self._streams
                    if is_stream(message) and (status := await turn.take(streams)):
                        await _busy(status)(scope, receive, send)
                        return
                await send(message)
                pipe.sent(message)
            await running
        finally:
            watching.cancel()
            running.cancel()

    async def stop(self) -> None:
        """Stop the running bulk operations, disconnect, and end the thread."""
        async with self._opening:
            if self._context is not None:
                await self._loop.call(self._context.stop())
            await self._loop.stop()

    async def take_duties(self, *, history: bool = True) -> None:
        """Until ``stop``, be a candidate for the ``history`` of the queues, and for alerts if there are rules."""
        async with self._opening:
            context = await self._open_context()
            for name, run in (await self._loop.call(_called(_duties, context, history))).items():
                self._loop.keep_going(run, partial(context.report_failure, name))

    async def _open(self, build: Callable[[Any], ASGIApp]) -> ASGIApp:
        async with self._opening:
            context = await self._open_context()
            if build not in self._apps:
                self._apps[build] = await self._loop.call(_called(build, context))
            return self._apps[build]

    async def _open_context(self) -> Context:
        if self._context is None:
            await asyncio.to_thread(self._loop.start)
            self._context = await self._loop.call(_called(self._make_context))
        return self._context


async def _called(make: Callable[..., T], *arguments: Any) -> T:
    return make(*arguments)


def _duties(context: Any, history: bool) -> dict[str, Duty]:
    from auth_worker.http.dashboard.duties import duties_of

    return duties_of(context, history=history)


def _api(context: Any) -> ASGIApp:
    from auth_worker.http.api.app import build_api

    return build_api(context)


def _dashboard(context: Any) -> ASGIApp:
    from auth_worker.http.dashboard.app import Dashboard

    return Dashboard(context)


async def _watch(receive: Receive, pipe: MessagePipe) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the body has been read: nothing else can come
    pipe.disconnect()


def _is_search(scope: Scope) -> bool:
    asked = {name for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if value}
    return bool(asked & FILTERS)


def _busy(status: int) -> JSONResponse:
    """Refuse a request and close its connection: what the client has already sent would only be refused too."""
    return refusal(status, BUSY, {"retry-after": "1", "connection": "close"})
