"""What the processors of one process share: connections, the watch loop, the quarantine, the event bus."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from auth_worker.broker.address import Address
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.broker.link import Link
from auth_worker.config import Settings
from auth_worker.connections import Connections
from auth_worker.error_text import error_text
from auth_worker.errors import ConfigurationError
from auth_worker.events import EventBus, Problem
from auth_worker.failures import FailureHooks
from auth_worker.forks import renew
from auth_worker.loops import check_loop
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observers.sentry import open_sentry
from auth_worker.quarantine import Quarantine
from auth_worker.run import Perform, Run, perform
from auth_worker.telemetry import open_telemetry
from auth_worker.watch import LagWatch, WatchLoop


class Runtime:
    """Started before the first processor, stopped after the last one.

    ``connection`` is what the user gave: None means the settings' URL, and without one the embedded broker.
    """

    def __init__(self, connection: Any = None, settings: Settings | None = None) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigurationError(f"settings must be a Settings, not {type(settings).__name__}")
        self.settings = settings or Settings()
        if connection is None and self.settings.redis_url is not None:
            connection = self.settings.redis_url.get_secret_value()
        self._embedded = EmbeddedBroker(self.settings.state_dir) if connection is None else None
        self._connection = connection
        self.address = Address.of(connection) if connection is not None else Address()
        self.bus = EventBus()
        self.quarantine = Quarantine()
        self.failures = FailureHooks(self.bus)
        self.watch = WatchLoop()
        self.perform: Perform = perform
        self.started = False
        self._runs: list[Callable[[], Iterable[Run]]] = []
        self._served: dict[str, list[str]] = {}
        self._connections: dict[str, Connections] = {}
        self.lag: LagWatch
        self._loop: asyncio.AbstractEventLoop | None = None
        renew(self)

    @property
    def worker_name(self) -> str:
        """The setting's, or one of this process."""
        return self.settings.name or f"{socket.gethostname()}-{os.getpid()}"

    def after_fork(self) -> None:
        """In a forked child: what is started runs in the parent."""
        self.started = False
        self._loop = None

    def check_loop(self, what: str) -> None:
        """Raise ``ConfigurationError`` where ``what`` runs in another event loop than that of the caller."""
        if self._loop is not None:
            check_loop(self._loop, what)

    def serve(self, queue: str, dead_letter_queue: str | None) -> None:
        """Have connections for ``queue`` and its dead letters. Before ``start``.

        Raises ``ConfigurationError`` where they cannot be had: in a cluster that needs other names.
        """
        names = [queue] if dead_letter_queue is None else [queue, dead_letter_queue]
        self.address.serving(self.settings.prefix, *names)
        self._served[queue] = names

    def connections_of(self, queue: str) -> Connections:
        """The connections that ``queue`` works with, after ``start``."""
        return self._connections[self._address_of(queue).tag]

    @property
    def links(self) -> list[Link]:
        """The connections that work needs; none before ``start``. For any thread to look whether they are up."""
        return [link for connections in list(self._connections.values()) for link in connections.links]

    @property
    def watch_links(self) -> list[Link]:
        """Those of them that belong to the watch loop."""
        return [connections.watch_link for connections in list(self._connections.values())]

    def open(self) -> None:
        """Start the watch loop, and have it watch the loop of the caller. ``start`` does so if nobody has."""
        if not self.watch.is_running:
            self.watch.start()
            self._loop = asyncio.get_running_loop()
            self.lag = LagWatch(self._loop, self.bus, self._running_ids)
            self.watch.keep_going(self.lag.run, self.report)
            self._observe()

    async def start(self) -> None:
        """Connect.

        Raises ``BrokerError`` when Redis cannot be reached within the settings' startup_timeout, and
        ``ConfigurationError`` where it will not do.
        """
        self.open()
        try:
            await self._connect()
        except BaseException:
            await self.stop()
            raise
        self.started = True

    async def stop(self) -> None:
        """Close every connection, give up the embedded broker, and last end the watch loop."""
        self.started = False
        self._loop = None
        await asyncio.gather(*(connections.stop() for connections in self._connections.values()))
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.stop)
        await self.failures.stop()
        await self.watch.stop()

    def report(self, error: Exception) -> None:
        """A part of the watch loop broke off, and begins anew."""
        self.bus.emit(
            Problem(WORKER_ERRORS.MAINTENANCE_FAILED, "", f"{type(error).__name__}: {error_text(error)}")
        )

    def add_runs(self, runs: Callable[[], Iterable[Run]]) -> None:
        """Tell who runs, so that a blocked loop can be blamed on somebody."""
        self._runs.append(runs)

    def _observe(self) -> None:
        """Attach what watches from outside. Not before the start: until then the application may set it up."""
        telemetry = open_telemetry(self.settings, self.worker_name)
        if telemetry is not None:
            telemetry.attach(self.bus)
            self.perform = telemetry.perform
        sentry = open_sentry(self.settings)
        if sentry is not None:
            self.failures.add(sentry)

    async def _connect(self) -> None:
        if self._embedded is not None:
            self.address = Address.of(await asyncio.to_thread(self._embedded.start))
        addresses = [self._address_of(queue) for queue in self._served] or [
            self.address.serving(self.settings.prefix)
        ]
        for address in addresses:
            if address.tag not in self._connections:
                self._connections[address.tag] = Connections(
                    address,
                    self.settings,
                    worker_name=self.worker_name,
                    watch=self.watch,
                    bus=self.bus,
                    report=self.report,
                )
        for connections in self._connections.values():
            await connections.start(self.settings.startup_timeout)

    def _address_of(self, queue: str) -> Address:
        return self.address.serving(self.settings.prefix, *self._served[queue])

    def _running_ids(self) -> list[str]:
        return [f"{run.job.queue_name}:{run.job.id}" for runs in self._runs for run in list(runs())]
