"""What the processors of one process share: connections, the watch loop, the quarantine, the event bus."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from auth_worker.brokers.worker_brokers import WorkerBrokers
from auth_worker.config import Settings
from auth_worker.core.error_text import error_text
from auth_worker.core.ports.connections import WorkerConnections
from auth_worker.core.ports.operator import BrokerView, ConnectionState
from auth_worker.core.run import Perform, Run
from auth_worker.engine.perform import perform
from auth_worker.engine.quarantine import Quarantine
from auth_worker.errors import ConfigurationError
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.failure_hooks import FailureHooks
from auth_worker.observability.sentry import open_sentry
from auth_worker.observability.telemetry import open_telemetry
from auth_worker.process.connecting import connect_all
from auth_worker.process.heartbeats import Heartbeats
from auth_worker.process.lag import LagMonitor
from auth_worker.system.forks import reset_in_child
from auth_worker.system.loop_thread import LoopThread
from auth_worker.system.loops import check_loop
from auth_worker.version import __version__


class Runtime:
    """The shared parts of a process. Started before the first processor, stopped after the last one.

    ``connection`` is what the user passed. None means the settings' URL, and without one the embedded broker.
    """

    def __init__(self, connection: Any = None, settings: Settings | None = None) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigurationError(f"settings must be a Settings, not {type(settings).__name__}")
        self.given = connection, settings
        """The broker's connection and the settings it was made with; what is None is as the environment says."""
        self.settings = settings or Settings()
        self.bus = EventBus()
        self.brokers = WorkerBrokers(connection, self.settings, self.bus)
        self.quarantine = Quarantine()
        self.failures = FailureHooks(self.bus)
        self.watch_loop = LoopThread("auth-worker-watch")
        self.perform: Perform = perform
        self.heartbeats = Heartbeats(
            lambda: [connections.heartbeats for connections in self.brokers.connections],
            lambda: self.lag.lag_s,
            self.settings.app_version or __version__,
        )
        self.started = False
        self._runs: list[Callable[[], Iterable[Run]]] = []
        self.lag: LagMonitor
        self._loop: asyncio.AbstractEventLoop | None = None
        reset_in_child(self)

    @property
    def worker_name(self) -> str:
        """The name from the settings, or one made of host name and process id."""
        return self.settings.name or f"{socket.gethostname()}-{os.getpid()}"

    def after_fork(self) -> None:
        """Forget, in a forked child, what runs in the parent."""
        self.started = False
        self._loop = None

    def check_loop(self, what: str) -> None:
        """Raise ``ConfigurationError`` if ``what`` was started in another event loop than the running one."""
        if self._loop is not None:
            check_loop(self._loop, what)

    @property
    def links(self) -> list[ConnectionState]:
        """The connections that work needs; none before ``start``. Any thread may read whether they are up."""
        return [link for connections in self.brokers.connections for link in connections.links]

    @property
    def broker_views(self) -> list[BrokerView]:
        """The broker as seen from the watch loop; in a cluster, once for each hash tag."""
        return [connections.view for connections in self.brokers.connections]

    def open(self) -> None:
        """Start the watch loop, and let it watch the caller's loop. ``start`` calls this if nobody has."""
        if not self.watch_loop.is_running:
            self.watch_loop.start()
            self._loop = asyncio.get_running_loop()
            self.lag = LagMonitor(self._loop, self.bus, self._running_ids)
            self.watch_loop.keep_going(self.lag.run, self.report)
            self._observe()

    async def start(self) -> None:
        """Connect.

        Raises ``BrokerError`` if Redis cannot be reached within the settings' startup_timeout, and
        ``ConfigurationError`` if it is not suitable.
        """
        self.open()
        try:
            await self._connect()
        except BaseException:
            await self.stop()
            raise
        self.watch_loop.keep_going(self.heartbeats.run, self.report)
        self.started = True

    async def stop(self) -> None:
        """Close every connection, release the embedded broker, and finally stop the watch loop."""
        was_started, self.started = self.started, False
        self._loop = None
        if was_started:
            await self.watch_loop.call(self.heartbeats.withdraw())
        await asyncio.gather(*(self._disconnect(connections) for connections in self.brokers.connections))
        await self.brokers.close()
        await self.failures.stop()
        await self.watch_loop.stop()

    def report(self, error: Exception) -> None:
        """Report that a part of the watch loop failed and is started again."""
        self.bus.emit(
            Problem(WORKER_ERRORS.MAINTENANCE_FAILED, "", f"{type(error).__name__}: {error_text(error)}")
        )

    def add_runs(self, runs: Callable[[], Iterable[Run]]) -> None:
        """Add a function that returns running jobs, which the report of a blocked loop names."""
        self._runs.append(runs)

    def _observe(self) -> None:
        """Attach telemetry and Sentry.

        This is done at the start, so that the application can set them up before.
        """
        telemetry = open_telemetry(self.settings, self.worker_name)
        if telemetry is not None:
            telemetry.attach(self.bus)
            self.perform = telemetry.traced(perform)
        sentry = open_sentry(self.settings)
        if sentry is not None:
            self.failures.add(sentry)

    async def _connect(self) -> None:
        await self.brokers.open(self.worker_name)
        await connect_all(self.brokers.connections, self.watch_loop, self.settings.startup_timeout)
        await self.brokers.register()

    async def _disconnect(self, connections: WorkerConnections) -> None:
        await connections.stop()
        if self.watch_loop.is_running:
            await self.watch_loop.call(connections.stop_watching())

    def _running_ids(self) -> list[str]:
        return [f"{run.job.queue_name}:{run.job.id}" for runs in self._runs for run in list(runs())]
