"""The Host that a request must name, and the headers that every answer bears.

A page of another site can have its own name resolve to loopback and then ask this port as its own (DNS
rebinding). A browser sends that name as the Host, so on loopback only names of this machine are answered.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.admin.identity import IDENTITY_HEADER, Identity
from auth_worker.admin.port import is_loopback
from auth_worker.config import Settings

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
OF_BROWSERS = frozenset((b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-mode"))
SCHEMES = ("http://", "https://")


class HostGuard:
    """Stands before ``app``, and gives it the path as it was sent, also of a target in absolute form."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._only_loopback = is_loopback(settings.http_host)
        self._identity = Identity.of(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] != "http":
            return
        # Routes are found by the path as it was sent: decoded, a slash or a line end in an id would mislead them.
        target = scope["raw_path"].decode("ascii")
        authority = None
        if target.lower().startswith(SCHEMES):  # RFC 9112, 3.2.2: it is used in place of the Host
            authority, slash, path = target.partition("://")[2].partition("/")
            target = slash + path or "/"
            scope["raw_path"] = target.encode("ascii")
        scope["path"] = target

        known = not self._only_loopback or _names_loopback(scope, authority)
        identity = self._shown_to(scope) if known else Identity()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers[IDENTITY_HEADER] = identity.header
            await send(message)

        await (self._app if known else UNKNOWN_HOST)(scope, receive, send_with_headers)

    def _shown_to(self, scope: Scope) -> Identity:
        """Only this machine sees the process and its folder; a request that was passed on comes from elsewhere."""
        client = scope.get("client")
        passed_on = any(name in (b"forwarded", b"x-forwarded-for") for name, _ in scope["headers"])
        return self._identity if client and is_loopback(client[0]) and not passed_on else Identity()


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that gets none."""
    return JSONResponse({"reasons": [reason]}, status, headers)


UNKNOWN_HOST = refusal(400, "this port answers only to the names of this machine: ask 127.0.0.1")


def _names_loopback(scope: Scope, authority: str | None) -> bool:
    sent: list[tuple[bytes, bytes]] = scope["headers"]
    if authority is None:
        host = next((value for name, value in sent if name == b"host"), None)
        if host is None:  # HTTP/1.0 has none; each browser sends one
            return scope["http_version"] == "1.0" and not any(name in OF_BROWSERS for name, _ in sent)
        authority = host.decode("latin-1")
    if set(authority) & set("/@?#\\"):
        return False
    try:
        found = urlsplit(f"//{authority}")
        _ = found.port  # raises where it is none
    except ValueError:
        return False
    return is_loopback((found.hostname or "").removesuffix("."))
