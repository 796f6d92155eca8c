"""Connections that the queues of one Redis share. In a cluster, each hash tag may be on another node.

::

    commands   work loop    every command of every slot, pipelined
    doorbell   work loop    one blocking wait for all queues
    presence   work loop    one for each queue, for BullMQ's worker lists
    watch      watch loop   leases, stalled checks, dead letters, heartbeats
"""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.brokers.redis.doorbell import BLOCK_S, Doorbell
from auth_worker.brokers.redis.heartbeats import RedisHeartbeats
from auth_worker.brokers.redis.operator import RedisBrokerView
from auth_worker.brokers.redis.presence import Presence
from auth_worker.brokers.redis.server import OLDEST_VERSION, SAFE_POLICY, server_facts
from auth_worker.brokers.redis.shared_keys import shared_key_prefix
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import SILENCE_LIMIT, Link
from auth_worker.brokers.redis.worker import RedisWorkerBroker, worker_scripts
from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.ports.connections import OnCancelledIn
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.events import BrokerChanged, EventBus, Problem
from auth_worker.messages import WORKER_ERRORS


class Connections:
    """The connections to one Redis.

    Belongs to the work loop; ``start_watching`` and ``stop_watching`` to the watch loop.
    """

    def __init__(
        self,
        address: Address,
        settings: Settings,
        *,
        worker_name: str,
        bus: EventBus,
    ) -> None:
        self._address = address
        self._settings = settings
        self._worker_name = worker_name
        self._bus = bus
        self._on_up: list[Callable[[], None]] = []
        self.commands = self._link("commands")
        self._bell = self._link("doorbell", scripted=False, silence_limit=BLOCK_S + 3)
        self.doorbell = Doorbell(self._bell, self.commands)
        self._presence = Presence(address, settings.prefix, settings.startup_timeout)
        self.watch_link = self._link("watch", scripted=False)
        self.view = RedisBrokerView(self.watch_link, settings.prefix)
        self.heartbeats = RedisHeartbeats(self.watch_link, shared_key_prefix(settings.prefix, address))

    @property
    def links(self) -> list[Link]:
        """The connections that work needs. Any thread may read whether they are up."""
        return [self.commands, self._bell, self.watch_link]

    async def start(self, timeout: float) -> None:
        """Connect what the work loop needs.

        Raises ``BrokerError`` after ``timeout`` s, ``ConfigurationError`` if the server is too old.
        """
        await self.commands.start(timeout)
        await self._examine_server()
        await self._bell.start(timeout)
        self.doorbell.start()

    def begin(self) -> None:
        """As ``start``, without waiting for a node that is away."""
        self.commands.begin()
        self._bell.begin()
        self.doorbell.start()

    async def start_watching(self, timeout: float) -> None:
        """Connect what the watch loop needs. Raises ``BrokerError`` after ``timeout`` s."""
        await self.watch_link.start(timeout)

    async def begin_watching(self) -> None:
        """As ``start_watching``, without waiting for a node that is away."""
        self.watch_link.begin()

    async def stop_watching(self) -> None:
        """Close what ``start_watching`` has opened."""
        await self.watch_link.stop()

    async def stop(self) -> None:
        """Close the connections of the work loop, doorbell first, including those that were never opened."""
        await self.doorbell.stop()
        await self._bell.stop()
        await self._presence.stop()
        await self.commands.stop()

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the work loop after each reconnect of the command connection."""
        self._on_up.append(callback)

    def worker_broker(
        self, queue: str, config: WorkerConfig, *, name: str, dead_letter_queue: str | None
    ) -> RedisWorkerBroker:
        """Return the broker for the worker ``name`` of ``queue``."""
        return RedisWorkerBroker(
            self.commands,
            self.watch_link,
            self.doorbell,
            queue=queue,
            config=config,
            settings=self._settings,
            name=name,
            dead_letter_queue=dead_letter_queue,
            bus=self._bus,
            subscribe=self.on_up,
        )

    async def announce(self, queue: str, worker: str, on_cancelled: OnCancelledIn) -> None:
        """Show ``worker`` in the list of ``queue``, and pass requests to cancel on to it.

        Raises ``BrokerError``.
        """
        await self._presence.announce(queue, worker, on_cancelled, is_up=self.commands.is_up)

    async def withdraw(self, queue: str) -> None:
        """Remove the queue's worker from the list."""
        await self._presence.withdraw(queue)

    async def _examine_server(self) -> None:
        try:
            facts = await server_facts(self.commands)
        except BrokerError:  # an ACL may refuse INFO; doctor says more
            return
        if facts.is_too_old:
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
        """Handle a change of a link, which is reported in the link's own loop."""
        self._bus.emit(event)
        if not event.up:
            return
        if event.connection == self._bell.name:  # it always waits for an answer, so it notices a fail-over first
            self.commands.leave_unless_at(self._bell.place)
        if event.connection == self.commands.name:
            for callback in self._on_up:
                callback()
