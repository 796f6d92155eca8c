"""Authorizes HTTP requests: the token that a request needs, and what the token's role allows."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_worker.config import Settings
from auth_worker.events import EventBus, Problem
from auth_worker.http.access_tokens import LOCAL, AccessTokens, Caller
from auth_worker.http.dashboard.paths import is_dashboard_request
from auth_worker.http.refusals import refusal
from auth_worker.messages import WORKER_ERRORS

PROBES = frozenset(("/livez", "/readyz", "/startupz"))
OPEN_PATHS = PROBES | {f"{path}/" for path in PROBES}
"""Paths that need no token: Kubernetes sends none with its probes, and they show only the state of the process."""
METRICS_PATHS = frozenset(("/metrics", "/metrics/"))
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
CHANGE_HEADER = "X-Auth-Worker"
"""Every request that changes something needs it. A form on another site cannot send it, and a script there
may not: the browser asks first, and is refused (there is no CORS)."""
CALLER = "auth_worker.caller"
"""The key of the ``Caller`` in the scope of a request."""


class Guard:
    """Wraps ``app``, inside a ``HostGuard``. A valid token is accepted however many wrong ones were sent before.

    The dashboard's requests pass, since it checks its sessions itself.
    """

    def __init__(self, app: ASGIApp, settings: Settings, bus: EventBus) -> None:
        self._app = app
        self._has_dashboard = settings.dashboard
        self._tokens = AccessTokens(
            settings, lambda where: bus.emit(Problem(WORKER_ERRORS.HTTP_LOGIN_FAILED, "", f"from {where}"))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        await (self._refused(scope) or self._app)(scope, receive, send)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        if self._has_dashboard and is_dashboard_request(scope):
            return None
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        caller = LOCAL
        if self._tokens.exist and scope["path"] not in OPEN_PATHS:
            found = self._caller(scope["client"], _first(sent, b"authorization"))
            if isinstance(found, JSONResponse):
                return found
            caller = found
            if not caller.may_look and scope["path"] not in METRICS_PATHS:
                return refusal(403, f"the token {caller.name!r} may read /metrics only")
        scope[CALLER] = caller
        if scope["method"] in SAFE_METHODS:
            return None
        if not caller.may_change:
            return refusal(403, f"the token {caller.name!r} may read only: send one with the role admin")
        if not _first(sent, CHANGE_HEADER.lower().encode()):
            return refusal(403, f"send the header {CHANGE_HEADER}: 1 with requests that change something")
        return None

    def _caller(self, client: tuple[str, int] | None, authorization: bytes) -> Caller | JSONResponse:
        """Return the caller with this token, or the refusal."""
        scheme, _, rest = authorization.partition(b" ")
        token = rest.strip()
        caller = self._tokens.caller_of(token)
        if caller is not None and scheme.lower() == b"bearer":
            return caller
        if authorization and (wait := self._tokens.count_wrong(token, client[0] if client else "")):
            return refusal(
                429,
                f"too many wrong tokens from this address, or the same one too often: wait {wait} s",
                {"retry-after": str(wait)},
            )
        return refusal(
            401,
            "send the token of AUTH_WORKER_HTTP_TOKEN as Authorization: Bearer",
            {"www-authenticate": "Bearer"},
        )


def _first(sent: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in sent if key == name), b"")
