"""The dashboard as a part of another ASGI application."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.brokers.opening import BrokerSource
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.http.access_tokens import Caller
from auth_worker.http.api.bridge import Bridge
from auth_worker.http.dashboard.paths import whole_path
from auth_worker.http.guard import CALLER
from auth_worker.observability.logs import open_log

EVENTS = "/events"
STOP_CHECK_S = 0.5
AuthorizeCallback = Callable[[MutableMapping[str, Any]], Caller | Awaitable[Caller | None] | None]
"""Returns the caller of a request from its ASGI scope; None if the caller may not see the dashboard."""


class MountedDashboard:
    """An ASGI application, to be mounted under any path. It runs in a thread of its own.

    The thread starts with the first request, and ends with ``stop``. Use it in one event loop at a time.
    """

    def __init__(self, connection: Any, settings: Settings, log: Any, authorize: AuthorizeCallback | None) -> None:
        self._authorize = authorize
        self._make_bridge = partial(
            Bridge,
            partial(_make_host, connection, settings, log, authorize is not None),
            settings.max_payload_bytes,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bridge: Bridge | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return
        scope = {**scope, "path": whole_path(scope["path"], scope.get("root_path", ""))}
        if self._authorize is not None:
            caller = self._authorize(scope)  # in the application's own loop, where its sessions are
            scope = {**scope, CALLER: await caller if inspect.isawaitable(caller) else caller}
        bridge = await self._bridge_here()
        if scope["path"].endswith(EVENTS):
            await _until_stop(bridge.dashboard, scope, receive, send)
        else:
            await bridge.dashboard(scope, receive, send)

    async def stop(self) -> None:
        """Stop the running bulk operations, disconnect, and end the thread. The next request starts it again."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            await bridge.stop()

    async def _bridge_here(self) -> Bridge:
        """Return the bridge of the running loop; stop that of an earlier loop."""
        loop = asyncio.get_running_loop()
        if self._bridge is None or self._loop is not loop:
            before, self._bridge, self._loop = self._bridge, self._make_bridge(), loop
            bridge = self._bridge
            if before is not None:
                await before.stop()
            await bridge.take_duties()
            return bridge
        return self._bridge


def dashboard(
    redis_connection: Any = None,
    *,
    authorize: AuthorizeCallback | None = None,
    settings: Settings | None = None,
    logger: Any = None,
) -> MountedDashboard:
    """Return the dashboard as an ASGI application, to be mounted by ``app.mount("/jobs", ...)``.

    ``redis_connection``: a URL, a mapping, a redis.asyncio.Redis; None: the settings, else the embedded broker.
    ``authorize`` is called with the ASGI scope of each request, and returns a ``Caller``, or None for a user who
    may not see it; it may be async. Without it, users log in with a token of the settings.
    Raises ``ConfigurationError`` without either, and for an invalid connection.
    """
    settings = settings or Settings()
    if authorize is None and not settings.access_tokens:
        raise ConfigurationError(
            "the dashboard would be open to everybody: give authorize, or set http_token (AUTH_WORKER_HTTP_TOKEN)"
        )
    BrokerSource(redis_connection, settings)  # refuses an invalid connection now, not on a page
    return MountedDashboard(redis_connection, settings, open_log(logger, settings).logger, authorize)


async def _until_stop(pages: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as ``pages`` does, which may be without an end, until the server is told to stop.

    Uvicorn waits for each response then, without limit by default, and tells no application.
    """
    is_open = False

    async def send_on(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] == "http.response.start" or bool(message.get("more_body"))
        await send(message)

    answering = asyncio.ensure_future(pages(scope, receive, send_on))
    try:
        while not answering.done() and not _is_server_stopping():
            await asyncio.wait({answering}, timeout=STOP_CHECK_S)
    finally:
        answering.cancel()
        await asyncio.wait({answering})
    if not answering.cancelled():
        answering.result()
    elif is_open:
        await send({"type": "http.response.body", "body": b""})


def _is_server_stopping() -> bool:
    """Whether the uvicorn of this process has got its signal. False with any other server."""
    handler = signal.getsignal(signal.SIGTERM)
    return getattr(getattr(handler, "__self__", None), "should_exit", False) is True


def _make_host(connection: Any, settings: Settings, log: Any, is_authorized: bool) -> Any:
    from auth_worker.http.dashboard.own_host import OwnHost

    return OwnHost(connection, settings, log, _caller_in if is_authorized else None)


def _caller_in(scope: Scope) -> Caller | None:
    caller: Caller | None = scope[CALLER]
    return caller
