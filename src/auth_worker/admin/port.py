"""Where the service opens its HTTP port."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.admin.subject import Subject

_given: list[socket.socket] = []


def open_http_port(subject: Subject, log: Any) -> int | None:
    """Open the port of the settings; returns its number, None without one. See ``server.open_port``.

    Raises ``ConfigurationError`` for an address that strangers can reach where there is no token.
    """
    if _given:
        from auth_worker.admin.server import serve

        serve(subject, _given.pop())
        return None
    if subject.settings.http_port is None:
        return None
    _check_reach(subject.settings)
    from auth_worker.admin.server import open_port  # who wants no port pays for no web framework

    return open_port(subject, log)


def listen(settings: Settings, log: Any) -> socket.socket | None:
    """Listen on the port of the settings, for who serves it himself; None without one. See ``server.open_port``.

    Raises ``ConfigurationError`` as ``open_http_port`` does.
    """
    if settings.http_port is None:
        return None
    _check_reach(settings)
    from auth_worker.admin.server import listen_as

    return listen_as(settings, log)


def serve_on(listener: socket.socket) -> None:
    """Let the service of this process serve on ``listener``, which its parent watches, and open no port."""
    _given.append(listener)


def _check_reach(settings: Settings) -> None:
    if not is_loopback(settings.http_host) and not settings.access_tokens:
        raise ConfigurationError(
            f"http_host {settings.http_host!r} can be reached from other machines: set http_token "
            "(AUTH_WORKER_HTTP_TOKEN), or bind to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``, a name or an address without brackets."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
