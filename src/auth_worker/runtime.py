"""What the processors of one process share: connections, the watch loop, the quarantine, the event bus."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from auth_worker.broker.address import Address
from auth_worker.broker.doorbell import BLOCK_S, Doorbell
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.broker.link import SILENCE_LIMIT, Link
from auth_worker.broker.presence import Presence
from auth_worker.broker.server_facts import unsafe_eviction_policy
from auth_worker.broker.store import worker_scripts
from auth_worker.config import Settings
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.events import BrokerChanged, EventBus, Problem
from auth_worker.failures import FailureHooks
from auth_worker.lease import LeaseRenewer
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
        self.address = self.address.serving(self.settings.prefix)
        self.bus = EventBus()
        self.worker_name = self.settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self.quarantine = Quarantine()
        self.failures = FailureHooks(self.bus)
        self.watch = WatchLoop()
        self.perform: Perform = perform
        self.started = False
        self._runs: list[Callable[[], Iterable[Run]]] = []
        self._on_up: list[Callable[[], None]] = []
        self.commands: Link
        self.doorbell: Doorbell
        self.presence: Presence
        self.watch_link: Link
        self.leases: LeaseRenewer
        self.lag: LagWatch
        self._bell: Link

    @property
    def links(self) -> list[Link]:
        """The connections that work needs; none before ``start``. For any thread to look whether they are up."""
        names = ("commands", "_bell", "watch_link")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def open(self) -> None:
        """Start the watch loop, and have it watch the loop of the caller. ``start`` does so if nobody has."""
        if not self.watch.is_running:
            self.watch.start()
            self.lag = LagWatch(asyncio.get_running_loop(), self.bus, self._running_ids)
            self.watch.keep_going(self.lag.run, self.report)
            self._observe()

    async def start(self) -> None:
        """Connect. Raises ``BrokerError`` when Redis cannot be reached within the settings' startup_timeout."""
        self.open()
        try:
            await self._connect(self.settings.startup_timeout)
        except BaseException:
            await self.stop()
            raise
        self.doorbell.start()
        self.watch.keep_going(self.leases.run, self.report)
        await self._warn_of_eviction()
        self.started = True

    async def stop(self) -> None:
        """Close every connection, doorbell first, give up the embedded broker, and last end the watch loop."""
        self.started = False
        if hasattr(self, "doorbell"):
            await self.doorbell.stop()
            await self._bell.stop()
            await self.presence.stop()
        if hasattr(self, "watch_link") and self.watch.is_running:
            await self.watch.call(self.watch_link.stop())
        if hasattr(self, "commands"):
            await self.commands.stop()
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.stop)
        await self.failures.stop()
        await self.watch.stop()

    def report(self, error: Exception) -> None:
        """A part of the watch loop broke off, and begins anew."""
        self.bus.emit(Problem(WORKER_ERRORS.MAINTENANCE_FAILED, "", repr(error)))

    def on_broker_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the work loop each time the command connection has come back."""
        self._on_up.append(callback)

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

    async def _warn_of_eviction(self) -> None:
        with contextlib.suppress(BrokerError):  # an ACL may refuse INFO; doctor says more
            policy = await unsafe_eviction_policy(self.commands)
            if policy is not None:
                self.bus.emit(Problem(WORKER_ERRORS.UNSAFE_EVICTION_POLICY, "", f"it is {policy}"))

    async def _connect(self, timeout: float) -> None:
        if self._embedded is not None:
            self.address = Address.of(await asyncio.to_thread(self._embedded.start))
        self.commands = self._link("commands", on_change=self._commands_changed)
        self._bell = self._link("doorbell", scripted=False, silence_limit=BLOCK_S + 3)
        self.doorbell = Doorbell(self._bell, self.commands)
        self.presence = Presence(self.address, self.settings.prefix)
        await self.commands.start(timeout)
        await self._bell.start(timeout)
        await self.watch.call(self._connect_watch(timeout))

    async def _connect_watch(self, timeout: float) -> None:
        self.watch_link = self._link("watch", scripted=False)
        self.leases = LeaseRenewer(self.watch_link, self.settings.prefix, self.bus)
        await self.watch_link.start(timeout)

    def _running_ids(self) -> list[str]:
        return [f"{run.job.queue_name}:{run.job.id}" for runs in self._runs for run in list(runs())]

    def _link(
        self,
        name: str,
        *,
        scripted: bool = True,
        silence_limit: float = SILENCE_LIMIT,
        on_change: Callable[[BrokerChanged], None] | None = None,
    ) -> Link:
        return Link(
            self.address,
            name=name,
            client_name=f"auth-worker:{self.worker_name}:{name}",
            scripts=worker_scripts() if scripted else (),
            on_change=on_change or self.bus.emit,
            silence_limit=silence_limit,
        )

    def _commands_changed(self, event: BrokerChanged) -> None:
        self.bus.emit(event)
        if event.up:
            for callback in self._on_up:
                callback()
