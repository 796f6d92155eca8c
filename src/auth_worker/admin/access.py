"""Who may ask what over HTTP: the Host a request must name, the token it must bear, the headers of answers."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.config import Settings

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
OPEN_PATHS = frozenset(("/livez", "/readyz", "/startupz"))
"""What needs no token: Kubernetes has none for its probes, and they tell nothing but how the process is."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Stands before ``app``. On loopback only requests to a loopback name pass, whatever a browser's DNS says."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = LOOPBACK if settings.http_host in LOOPBACK else None
        token = settings.http_token
        self._token = token.get_secret_value().encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        if self._names is not None and _host(sent) not in self._names:
            return refusal(400, "this port answers only to the names of this machine: ask 127.0.0.1")
        if self._token is not None and scope["path"] not in OPEN_PATHS and not self._bears_token(sent):
            return refusal(
                401,
                "send the token of AUTH_WORKER_HTTP_TOKEN as Authorization: Bearer",
                {"www-authenticate": "Bearer"},
            )
        return None

    def _bears_token(self, sent: list[tuple[bytes, bytes]]) -> bool:
        scheme, _, token = _first(sent, b"authorization").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token or b"")


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
