"""Serves HTTP on a listening socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from auth_worker.config import Settings
from auth_worker.events import Problem
from auth_worker.http.api.bridge import Bridge
from auth_worker.http.app import build_app
from auth_worker.http.listener import Listener
from auth_worker.http.service_view import ServiceView
from auth_worker.messages import WORKER_ERRORS
from auth_worker.system.forks import detach_in_child
from auth_worker.system.loop_thread import LoopThread

if TYPE_CHECKING:
    from auth_worker.http.api.context import ApiContext

CLOSE_S = 1
"""How long (s) responses may go on at shutdown."""
FIRST_DUTY_S = 30.0
"""How long (s) after the start this process begins to record the history."""
DESCRIPTOR_REMEDY = "raise the limit of the process (ulimit -n, LimitNOFILE), or find what keeps them open"


def serve(service: ServiceView, listener: socket.socket, settings: Settings) -> None:
    """Serve on ``listener`` for as long as the watch loop runs. Call it from the work loop.

    Behind a unix socket is a proxy of ours or the operator's, whose X-Forwarded-For is trusted.
    """
    detach_in_child(listener)
    work_loop = asyncio.get_running_loop()

    def report() -> None:
        service.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_DESCRIPTORS_EXHAUSTED, "", DESCRIPTOR_REMEDY))

    async def run() -> None:
        api = Bridge(partial(_make_context, service, work_loop), settings.max_payload_bytes)
        behind_parent = listener.family == getattr(socket, "AF_UNIX", None)  # Windows has none
        server = QuietServer(
            build_app(service, settings, work_loop, api, api.dashboard),
            report,
            believes_forwarded=behind_parent,
        )
        duties = asyncio.create_task(_take_duties_later(api, settings))
        try:
            await server.serve(sockets=[listener])
        finally:
            duties.cancel()
            await api.stop()

    service.runtime.watch_loop.keep(run_apart(run, service.runtime.report))


async def _take_duties_later(api: Bridge, settings: Settings) -> None:
    """Take the duties from the first minute on: a service that stops sooner starts no thread for them."""
    await asyncio.sleep(FIRST_DUTY_S)
    if settings.dashboard or settings.alerts.thresholds:
        await api.take_duties(history=settings.dashboard)


def _make_context(service: ServiceView, work_loop: asyncio.AbstractEventLoop) -> ApiContext:
    from auth_worker.http.api.context import ApiContext  # a service whose API nobody calls does not load it

    return ApiContext(service, work_loop)


async def run_apart(part: Callable[[], Coroutine[Any, Any, None]], on_error: Callable[[Exception], None]) -> None:
    """Run ``part`` in a thread and event loop of its own until cancelled. If it raises, report it and restart it.

    So nothing that happens at the port delays the renewal of leases.
    """
    loop = LoopThread("auth-worker-http")
    await asyncio.to_thread(loop.start)
    try:
        loop.keep_going(part, on_error)
        await asyncio.Event().wait()
    finally:
        await loop.stop()


class QuietServer(uvicorn.Server):
    """Uvicorn with our own ``Listener``, and without signal handlers, clock ticks and log lines.

    ``on_exhausted`` is called when file descriptors have run out, once an episode.
    ``believes_forwarded``: whether X-Forwarded-For names the client; otherwise its socket does.
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
        """Capture none: the service or its parent handles them. Uvicorn serves within this block."""
        _here.serves = True
        try:
            yield
        finally:
            _here.serves = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on the only one of ``sockets``."""
        assert sockets is not None  # noqa: S101 - see serve
        self.servers = []
        self._listener = Listener(sockets[0], lambda: (self.config, self.server_state, {}), self._on_exhausted)
        self._accepting = asyncio.create_task(self._listener.run(), name="http accept")
        self.started = True

    async def main_loop(self) -> None:
        """Accept until cancelled. Uvicorn's own loop would wake up ten times a second, for nothing that we use."""
        with contextlib.suppress(asyncio.CancelledError):  # the shutdown follows, as after uvicorn's own loop
            await self._accepting

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, let responses end within ``CLOSE_S``, then close every connection."""
        self._accepting.cancel()
        await asyncio.wait({self._accepting})
        await super().shutdown(sockets)
        self._listener.close()


_here = threading.local()


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether uvicorn logs for a server of the application's, which runs in another thread than ours."""
    return not getattr(_here, "serves", False)
