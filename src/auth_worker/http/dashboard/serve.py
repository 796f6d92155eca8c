"""The dashboard at an HTTP port of its own, without a service."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from auth_worker.config import Settings
from auth_worker.core.error_text import error_text
from auth_worker.http.api.bridge import Bridge
from auth_worker.http.dashboard.own_host import OwnHost
from auth_worker.http.host_guard import HostGuard
from auth_worker.http.probes import probe_response
from auth_worker.http.refusals import refusal
from auth_worker.http.server import DESCRIPTOR_REMEDY, QuietServer
from auth_worker.messages import WORKER_ERRORS
from auth_worker.system.forks import detach_in_child

PROBES = frozenset(("/livez", "/readyz"))


async def serve_dashboard(listener: socket.socket, settings: Settings, log: Any, base_path: str = "") -> None:
    """Serve on ``listener`` until cancelled. ``base_path`` is the path in front of all pages."""
    detach_in_child(listener)
    bridge = Bridge(partial(OwnHost, None, settings, log), settings.max_payload_bytes)
    server = QuietServer(
        HostGuard(_Port(bridge.dashboard, base_path, log), settings),
        partial(log.error, WORKER_ERRORS.HTTP_DESCRIPTORS_EXHAUSTED, error=DESCRIPTOR_REMEDY),
    )
    try:
        await bridge.take_duties()
        await server.serve(sockets=[listener])
    finally:
        await bridge.stop()


class _Port:
    """Serves the pages under ``base_path``, and the probes. Reports to ``log`` what breaks off a response."""

    def __init__(self, pages: ASGIApp, base_path: str, log: Any) -> None:
        self._pages = pages
        self._base_path = base_path
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in PROBES:
            await probe_response([])(scope, receive, send)
        elif path == self._base_path or path.startswith(f"{self._base_path}/"):
            try:
                await self._pages({**scope, "root_path": self._base_path}, receive, send)
            except Exception as error:
                detail = f"{path}: {type(error).__name__}: {error_text(error)}"
                self._log.error(WORKER_ERRORS.HTTP_REQUEST_FAILED, error=detail)
                raise
        else:
            reason = f"there is no such page: the dashboard is at {self._base_path}/"
            await refusal(404, reason)(scope, receive, send)
