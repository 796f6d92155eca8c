"""The HTTP port: opened before anything else of the service, served in the watch loop, closed when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from auth_worker.admin.api.door import Door
from auth_worker.admin.http import build_app
from auth_worker.admin.subject import Subject
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.forks import withhold
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES

NEIGHBOURS = 10
"""How many workers with the default port one machine has room for: each takes the next one that is free."""
CLOSE_S = 1
MOST_CONNECTIONS = 100


def open_port(subject: Subject, log: Any) -> int | None:
    """Open the port of the settings, and serve it in the watch loop for as long as that turns; returns its number.

    Call it from the work loop. A port that the settings name must be free. The default one may be taken by
    another worker: then the next free one of the ten from there is used, and if there is none the service goes on
    without, returning None. Raises ``ConfigurationError`` naming the setting.
    """
    settings = subject.settings
    listener = listen_as(settings, log)
    if listener is None:
        return None
    number = int(listener.getsockname()[1])
    serve(subject, listener)
    log.info(WORKER_MESSAGES.HTTP_PORT_OPEN, host=settings.http_host, port=number)
    return number


def listen_as(settings: Settings, log: Any) -> socket.socket | None:
    """A listening socket; None, and a warning, where only the default port was wanted and all are taken.

    Raises ``ConfigurationError`` naming the setting.
    """
    listener = _listen(settings)
    if listener is None:
        log.warning(WORKER_ERRORS.HTTP_PORT_TAKEN, host=settings.http_host, port=settings.http_port)
    return listener


def serve(subject: Subject, listener: socket.socket) -> None:
    """Serve on ``listener`` in the watch loop for as long as that turns. Call it from the work loop.

    A unix socket is the parent's own: what that says of where a request comes from is believed.
    """
    withhold(listener)
    work_loop = asyncio.get_running_loop()
    api = Door(subject, work_loop)
    behind_parent = listener.family == socket.AF_UNIX
    server = QuietServer(build_app(subject, work_loop, api), believes_forwarded=behind_parent)
    subject.runtime.watch.keep(_serve(server, listener, api))


async def _serve(server: QuietServer, listener: socket.socket, api: Door) -> None:
    try:
        await server.serve(sockets=[listener])
    finally:
        await api.stop()


class QuietServer(uvicorn.Server):
    """Uvicorn, without signal handlers, clock ticks and log lines.

    ``believes_forwarded``: whether the header X-Forwarded-For tells who asks; else it is the socket alone.
    """

    def __init__(self, app: Any, *, believes_forwarded: bool = False) -> None:
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).addFilter(_is_not_ours)
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                server_header=False,
                proxy_headers=believes_forwarded,
                forwarded_allow_ips="*",
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the service, or for the parent of several."""
        yield

    async def main_loop(self) -> None:
        """Wait for the loop's end; uvicorn's own loop wakes up ten times a second, for nothing we use."""
        with contextlib.suppress(asyncio.CancelledError):  # the shutdown follows, as after uvicorn's own loop
            await asyncio.Event().wait()


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is from a server of the application's: ours runs in the watch loop's thread."""
    return not (record.threadName or "").startswith("auth-worker")


def _listen(settings: Settings) -> socket.socket | None:
    """A listening socket; None where only the default port was wanted and all neighbours are taken."""
    first = settings.http_port or 0
    chosen = "http_port" in settings.model_fields_set
    for port in range(first, first + (1 if chosen else NEIGHBOURS)):
        try:
            return _bind(settings.http_host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"http_host {settings.http_host!r}, http_port {port}: cannot listen there "
                    f"({error.strerror or error}); choose others (AUTH_WORKER_HTTP_HOST, AUTH_WORKER_HTTP_PORT)"
                ) from error
            if chosen:
                raise ConfigurationError(
                    f"http_port {port} of {settings.http_host} is taken, perhaps by another worker: choose "
                    "another (AUTH_WORKER_HTTP_PORT), or 0 for any free one"
                ) from error
    return None


def _bind(host: str, port: int) -> socket.socket:
    """Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    dual = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, dualstack_ipv6=dual)
