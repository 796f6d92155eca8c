"""Who may ask what over HTTP: the Host a request must name, the token it must bear, the headers of answers."""

from __future__ import annotations

import hmac
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.admin.logins import FailedLogins
from auth_worker.admin.port import LOOPBACK
from auth_worker.config import Settings
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

OPEN_PATHS = frozenset(("/livez", "/readyz", "/startupz"))
"""What needs no token: Kubernetes has none for its probes, and they tell nothing but how the process is."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
CHANGE_HEADER = "X-Auth-Worker"
"""Every request that changes something must have it. A form of another site cannot send it, and a script of
another site may not: the browser asks us first, and gets no leave (there is no CORS)."""
CALLER = "auth_worker.caller"
"""Where a request's ``Caller`` stands in its scope."""


class Caller(NamedTuple):
    """Who asks: the name of the token, and whether it may change anything."""

    name: str
    may_change: bool


LOCAL = Caller("local", True)
"""Whoever asks where there are no tokens; that is on loopback only."""


class Guard:
    """Stands before ``app``. On loopback only requests to a loopback name pass, whatever a browser's DNS says."""

    def __init__(self, app: ASGIApp, settings: Settings, bus: EventBus) -> None:
        self._app = app
        self._bus = bus
        self._names = LOOPBACK if settings.http_host in LOOPBACK else None
        self._callers = [
            (entry.token.get_secret_value().encode(), Caller(name, entry.role == "admin"))
            for name, entry in settings.access_tokens.items()
        ]
        self._failed = FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] != "http":
            return
        # Routes are found by the path as it was sent: decoded, a slash or a line end in an id would mislead them.
        scope["path"] = scope["raw_path"].decode("ascii")
        refused = self._refused(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        if self._names is not None and _host(sent) not in self._names:
            return refusal(400, "this port answers only to the names of this machine: ask 127.0.0.1")
        caller = LOCAL
        if self._callers and scope["path"] not in OPEN_PATHS:
            found = self._caller(scope["client"], _first(sent, b"authorization"))
            if isinstance(found, JSONResponse):
                return found
            caller = found
        scope[CALLER] = caller
        if scope["method"] in SAFE_METHODS:
            return None
        if not caller.may_change:
            return refusal(403, f"the token {caller.name!r} may look and not change: send one of role admin")
        if not _first(sent, CHANGE_HEADER.lower().encode()):
            return refusal(403, f"send the header {CHANGE_HEADER}: 1 with whatever changes something")
        return None

    def _caller(self, client: tuple[str, int] | None, authorization: bytes) -> Caller | JSONResponse:
        """Whose token it is, or why that is not told."""
        address = client[0] if client else ""
        if wait := self._failed.wait_s(address):
            return refusal(
                429, f"too many wrong tokens from this address: wait {wait} s", {"retry-after": str(wait)}
            )
        scheme, _, token = authorization.partition(b" ")
        caller: Caller | None = None
        for known, its_caller in self._callers:  # all of them, so that the time tells nothing
            if hmac.compare_digest(token.strip(), known):
                caller = its_caller
        if caller is not None and scheme.lower() == b"bearer":
            return caller
        if authorization:
            self._failed.add(address)
            self._bus.emit(Problem(WORKER_ERRORS.HTTP_LOGIN_FAILED, "", f"from {address or 'a local socket'}"))
        return refusal(
            401,
            "send the token of AUTH_WORKER_HTTP_TOKEN as Authorization: Bearer",
            {"www-authenticate": "Bearer"},
        )


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that gets none."""
    return JSONResponse({"reasons": [reason]}, status, headers)


def _host(sent: list[tuple[bytes, bytes]]) -> str | None:
    """The name a request asks for, without its port; None for what cannot be read."""
    try:
        return urlsplit("//" + _first(sent, b"host").decode("ascii")).hostname
    except ValueError:
        return None


def _first(sent: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in sent if key == name), b"")
