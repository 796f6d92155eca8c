"""Who may ask what over HTTP: the token that a request must bear, and what it opens."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_worker.admin.hosts import refusal
from auth_worker.admin.logins import FailedLogins, source_of
from auth_worker.config import Settings
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

PROBES = frozenset(("/livez", "/readyz", "/startupz"))
OPEN_PATHS = PROBES | {f"{path}/" for path in PROBES}
"""What needs no token: Kubernetes has none for its probes, and they tell nothing but how the process is."""
METRICS_PATHS = frozenset(("/metrics", "/metrics/"))
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
CHANGE_HEADER = "X-Auth-Worker"
"""Every request that changes something must have it. A form of another site cannot send it, and a script of
another site may not: the browser asks us first, and gets no leave (there is no CORS)."""
CALLER = "auth_worker.caller"
"""Where a request's ``Caller`` stands in its scope."""
LONGEST_TOKEN = 4096
"""A longer one is wrong; it is not looked at."""


class Caller(NamedTuple):
    """Who asks: the name of the token, whether it may change anything, whether it may look at all."""

    name: str
    may_change: bool
    may_look: bool = True


LOCAL = Caller("local", True)
"""Whoever asks where there are no tokens; that is on loopback only."""


class Guard:
    """Stands before ``app``, behind a ``HostGuard``. A right token is heard whatever wrong ones came before it."""

    def __init__(self, app: ASGIApp, settings: Settings, bus: EventBus) -> None:
        self._app = app
        self._bus = bus
        self._callers = [
            (
                _digest(entry.token.get_secret_value().encode()),
                Caller(name, entry.role == "admin", entry.role != "metrics"),
            )
            for name, entry in settings.access_tokens.items()
        ]
        self._failed = FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        await (self._refused(scope) or self._app)(scope, receive, send)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        caller = LOCAL
        if self._callers and scope["path"] not in OPEN_PATHS:
            found = self._caller(scope["client"], _first(sent, b"authorization"))
            if isinstance(found, JSONResponse):
                return found
            caller = found
            if not caller.may_look and scope["path"] not in METRICS_PATHS:
                return refusal(403, f"the token {caller.name!r} may look at /metrics only")
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
        scheme, _, token = authorization.partition(b" ")
        digest = _digest(token.strip()[: LONGEST_TOKEN + 1])
        caller: Caller | None = None
        for known, its_caller in self._callers:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, known):
                caller = its_caller
        if caller is not None and scheme.lower() == b"bearer":
            return caller
        if authorization:
            address = client[0] if client else ""
            sources: tuple[str | bytes, ...] = (source_of(address), digest)
            if wait := max(map(self._failed.wait_s, sources)):
                return refusal(
                    429,
                    f"too many wrong tokens from this address, or this one too often: wait {wait} s",
                    {"retry-after": str(wait)},
                )
            for source in sources:
                self._failed.add(source)
            self._bus.emit(Problem(WORKER_ERRORS.HTTP_LOGIN_FAILED, "", f"from {address or 'a local socket'}"))
        return refusal(
            401,
            "send the token of AUTH_WORKER_HTTP_TOKEN as Authorization: Bearer",
            {"www-authenticate": "Bearer"},
        )


def _digest(token: bytes) -> bytes:
    """Tokens are compared by it, so that not even their length is told by the time."""
    return hashlib.sha256(token).digest()


def _first(sent: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in sent if key == name), b"")
