"""Where the service opens its HTTP port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth_worker.admin.subject import Subject


def open_http_port(subject: Subject, log: Any) -> int | None:
    """Open the port of the settings; returns its number, None without one. See ``server.open_port``."""
    if subject.settings.http_port is None:
        return None
    from auth_worker.admin.server import open_port  # who wants no port pays for no web framework

    return open_port(subject, log)
