"""Checks the Host header of a request, and sets the security headers of its response.

A page of another site can have its own name resolve to loopback and then ask this port as its own (DNS
rebinding). The browser sends that name as the Host, so on loopback only names of this machine are accepted, unless
there are tokens: such a page has none, and gets no cookie of another name. Then a proxy may send its own name.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_worker.config import Settings
from auth_worker.http.listening_socket import is_loopback
from auth_worker.http.refusals import refusal
from auth_worker.http.service_identity import IDENTITY_HEADER, Identity

DEFAULT_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""A response may set its own in their place, such as another Content-Security-Policy."""
BROWSER_HEADERS = frozenset((b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-mode"))
SCHEMES = ("http://", "https://")


class HostGuard:
    """Wraps ``app``, which gets the path as it was sent, even if the request target was a whole URL."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._on_loopback = is_loopback(settings.http_host)
        self._has_tokens = bool(settings.access_tokens)
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

        known = not self._on_loopback or _names_loopback(scope, authority)
        identity = self._shown_to(scope) if known else Identity()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
                headers[IDENTITY_HEADER] = identity.header
            await send(message)

        await (self._app if known or self._has_tokens else UNKNOWN_HOST)(scope, receive, send_with_headers)

    def _shown_to(self, scope: Scope) -> Identity:
        """Only clients on this machine see the process and its folder; behind a proxy nobody does."""
        client = scope.get("client")
        passed_on = any(name in (b"forwarded", b"x-forwarded-for") for name, _ in scope["headers"])
        return self._identity if client and is_loopback(client[0]) and not passed_on else Identity()


UNKNOWN_HOST = refusal(
    400,
    "without a token this port answers only to names of this machine: use 127.0.0.1, let the proxy send that as "
    "the Host, or set http_token (AUTH_WORKER_HTTP_TOKEN)",
)


def _names_loopback(scope: Scope, authority: str | None) -> bool:
    sent: list[tuple[bytes, bytes]] = scope["headers"]
    if authority is None:
        host = next((value for name, value in sent if name == b"host"), None)
        if host is None:  # HTTP/1.0 has none; each browser sends one
            return scope["http_version"] == "1.0" and not any(name in BROWSER_HEADERS for name, _ in sent)
        authority = host.decode("latin-1")
    if set(authority) & set("/@?#\\"):
        return False
    try:
        found = urlsplit(f"//{authority}")
        _ = found.port  # raises ValueError for an invalid port
    except ValueError:
        return False
    return is_loopback((found.hostname or "").removesuffix("."))
