"""Connections: what the queues of one Redis share. In a cluster, each hash tag may live on another node.

::

    commands   work loop    every command of every slot, pipelined
    doorbell   work loop    one blocking wait for all queues
    presence   work loop    one a queue, for BullMQ's worker lists
    watch      watch loop   leases, stalled checks, dead letters
"""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.broker.address import Address
from auth_worker.broker.doorbell import BLOCK_S, Doorbell
from auth_worker.broker.link import SILENCE_LIMIT, Link
from auth_worker.broker.presence import Presence
from auth_worker.broker.server_facts import OLDEST_VERSION, SAFE_POLICY, server_facts
from auth_worker.broker.store import worker_scripts
from auth_worker.config import Settings
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.events import BrokerChanged, EventBus, Problem
from auth_worker.lease import LeaseRenewer
from auth_worker.messages import WORKER_ERRORS
from auth_worker.watch import WatchLoop


class Connections:
    """Made in the work loop, once the watch loop turns."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        *,
        worker_name: str,
        watch: WatchLoop,
        bus: EventBus,
        report: Callable[[Exception], None],
    ) -> None:
        self._address = address
        self._worker_name = worker_name
        self._watch = watch
        self._bus = bus
        self._report = report
        self._on_up: list[Callable[[], None]] = []
        self.commands = self._link("commands")
        self._bell = self._link("doorbell", scripted=False, silence_limit=BLOCK_S + 3)
        self.doorbell = Doorbell(self._bell, self.commands)
        self.presence = Presence(address, settings.prefix, settings.startup_timeout)
        self.watch_link = self._link("watch", scripted=False)
        self.leases = LeaseRenewer(self.watch_link, settings.prefix, bus)

    @property
    def links(self) -> list[Link]:
        """The connections that work needs. For any thread to look whether they are up."""
        return [self.commands, self._bell, self.watch_link]

    async def start(self, timeout: float) -> None:
        """Connect.

        Raises ``BrokerError`` after ``timeout`` s, ``ConfigurationError`` where the server is too old.
        """
        await self.commands.start(timeout)
        await self._examine_server()
        await self._bell.start(timeout)
        await self._watch.call(self.watch_link.start(timeout))
        self.doorbell.start()
        self._watch.keep_going(self.leases.run, self._report)

    async def stop(self) -> None:
        """Close every connection, doorbell first; those that were never opened, too."""
        await self.doorbell.stop()
        await self._bell.stop()
        await self.presence.stop()
        if self._watch.is_running:
            await self._watch.call(self.watch_link.stop())
        await self.commands.stop()

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the work loop each time the command connection has come back."""
        self._on_up.append(callback)

    async def _examine_server(self) -> None:
        try:
            facts = await server_facts(self.commands)
        except BrokerError:  # an ACL may refuse INFO; doctor says more
            return
        if facts.version and facts.version < OLDEST_VERSION:
            oldest = ".".join(map(str, OLDEST_VERSION))
            raise ConfigurationError(
                f"{self._address} is {facts.software}, which is too old: use Redis {oldest} or newer, or Valkey"
            )
        if facts.policy not in ("", SAFE_POLICY):
            self._bus.emit(Problem(WORKER_ERRORS.UNSAFE_EVICTION_POLICY, "", f"it is {facts.policy}"))

    def _link(self, name: str, *, scripted: bool = True, silence_limit: float = SILENCE_LIMIT) -> Link:
        return Link(
            self._address,
            name=f"{name} {self._address.tag}".strip(),
            client_name=f"auth-worker:{self._worker_name}:{name}",
            scripts=worker_scripts() if scripted else (),
            on_change=self._changed,
            silence_limit=silence_limit,
        )

    def _changed(self, event: BrokerChanged) -> None:
        """Told by each link in its own loop."""
        self._bus.emit(event)
        if not event.up:
            return
        if event.connection == self._bell.name:  # it always waits for an answer, so it notices a fail-over first
            self.commands.leave_unless_at(self._bell.place)
        if event.connection == self.commands.name:
            for callback in self._on_up:
                callback()
