"""The HTTP port: opened before anything else of the service, served in a thread of its own, closed last."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn

from auth_worker.admin.api.door import Door
from auth_worker.admin.http import build_app
from auth_worker.admin.listener import Listener
from auth_worker.admin.subject import Subject
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.events import Problem
from auth_worker.forks import withhold
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.watch import WatchLoop

NEIGHBOURS = 10
"""How many workers with the default port one machine has room for: each takes the next one that is free."""
CLOSE_S = 1
DESCRIPTOR_REMEDY = "raise the limit of the process (ulimit -n, LimitNOFILE), or find what keeps them open"


def open_port(subject: Subject, log: Any) -> int | None:
    """Open the port of the settings, and serve it for as long as the watch loop turns; returns its number.

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
    """Serve on ``listener`` for as long as the watch loop turns. Call it from the work loop.

    A unix socket is the parent's own: what that says of where a request comes from is believed.
    """
    withhold(listener)
    work_loop = asyncio.get_running_loop()

    def report() -> None:
        subject.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_DESCRIPTORS_EXHAUSTED, "", DESCRIPTOR_REMEDY))

    async def run() -> None:
        api = Door(subject, work_loop)
        behind_parent = listener.family == getattr(socket, "AF_UNIX", None)  # Windows has none
        server = QuietServer(build_app(subject, work_loop, api), report, believes_forwarded=behind_parent)
        try:
            await server.serve(sockets=[listener])
        finally:
            await api.stop()

    subject.runtime.watch.keep(run_apart(run, subject.runtime.report))


async def run_apart(part: Callable[[], Coroutine[Any, Any, None]], on_error: Callable[[Exception], None]) -> None:
    """Run ``part`` in a thread and event loop of its own until cancelled; if it raises, report and begin it anew.

    So nothing that happens at the port holds up what keeps leases.
    """
    loop = WatchLoop("auth-worker-http")
    await asyncio.to_thread(loop.start)
    try:
        loop.keep_going(part, on_error)
        await asyncio.Event().wait()
    finally:
        await loop.stop()


class QuietServer(uvicorn.Server):
    """Uvicorn with a listener of our own, without signal handlers, clock ticks and log lines.

    ``on_exhausted`` is called when file descriptors have run out, once an episode.
    ``believes_forwarded``: whether the header X-Forwarded-For tells who asks; else it is the socket alone.
    """

    def __init__(self, app: Any, on_exhausted: Callable[[], None], *, believes_forwarded: bool = False) -> None:
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).addFilter(_is_not_ours)
        self._on_exhausted = on_exhausted
        self._listener: Listener
        self._accepting: asyncio.Task[None]
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
                timeout_graceful_shutdown=CLOSE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the service, or for the parent of several."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on the one of ``sockets``, bounded as uvicorn's own server does not."""
        assert sockets is not None  # noqa: S101 - see serve
        self.servers = []
        self._listener = Listener(sockets[0], lambda: (self.config, self.server_state, {}), self._on_exhausted)
        self._accepting = asyncio.create_task(self._listener.run(), name="http accept")
        self.started = True

    async def main_loop(self) -> None:
        """Accept until cancelled; uvicorn's own loop wakes up ten times a second, for nothing we use."""
        with contextlib.suppress(asyncio.CancelledError):  # the shutdown follows, as after uvicorn's own loop
            await self._accepting

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, let answers under way end within ``CLOSE_S``, then close every connection."""
        self._accepting.cancel()
        await asyncio.wait({self._accepting})
        await super().shutdown(sockets)
        self._listener.close()


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is from a server of the application's: ours runs in a thread of ours."""
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
