"""The brokers that a process's workers use: one for all queues, or in a cluster one for each hash tag.

Their adapter is imported by ``open``: a worker process whose consumer's module makes the service does not need it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from auth_worker.brokers.opening import BrokerSource
from auth_worker.brokers.partitions.connections import PartitionedConnections
from auth_worker.config import Settings
from auth_worker.core.partitions import check_partitions, partition_names
from auth_worker.core.ports.connections import QueueConnections, WorkerConnections
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus
from auth_worker.system.main_reimport import is_loading_consumer

if TYPE_CHECKING:
    from auth_worker.brokers.redis.connections import Connections
    from auth_worker.brokers.redis.wire.address import Address


class WorkerBrokers:
    """Connections for the queues named with ``serve``, to the broker that ``BrokerSource`` chooses.

    Raises ``ConfigurationError`` for an invalid ``connection``.
    """

    def __init__(self, connection: Any, settings: Settings, bus: EventBus) -> None:
        self.source = BrokerSource(connection, settings)
        self._settings = settings
        self._bus = bus
        self._queues: dict[str, list[tuple[str, ...]]] = {}
        """The names of each queue and of its dead-letter queues, once for each partition."""
        self._letters: dict[str, Sequence[str]] = {}
        self._connections: dict[str, Connections] = {}

    @property
    def address(self) -> Address:
        """Where the broker is. That of the embedded one is known once it was started."""
        return self.source.address

    def serve(self, queue: str, dead_letter_queues: Sequence[str], partitions: int = 1) -> None:
        """Provide connections for ``queue`` and its dead letters. Call it before ``open``.

        Raises ``ConfigurationError`` if that is impossible: in a cluster that requires other names.
        """
        check_partitions(queue, partitions, self._settings.prefix)
        names = [partition_names(each, partitions, queue) for each in (queue, *dead_letter_queues)]
        parts = list(zip(*names, strict=True))
        if not is_loading_consumer():
            for each in parts:
                self._serving(*each)
        self._queues[queue] = parts
        self._letters[queue] = dead_letter_queues

    async def open(self, worker_name: str) -> None:
        """Start the embedded broker, if it is used, and create the connections, which are started later.

        Raises ``ConfigurationError`` and ``BrokerUnavailableError``.
        """
        from auth_worker.brokers.redis.connections import Connections

        await self.source.start()
        parts = [part for parts in self._queues.values() for part in parts]
        for address in [self._serving(*part) for part in parts] or [self._serving()]:
            if address.tag not in self._connections:
                self._connections[address.tag] = Connections(
                    address, self._settings, worker_name=worker_name, bus=self._bus
                )

    async def register(self) -> None:
        """Register the queues with partitions, so that operators find them, once the connections are started.

        Where that fails the names of their partitions still say it.
        """
        from auth_worker.brokers.redis.partition_registry import Registered, register_partitions

        entries = [
            Registered(each, queue, len(parts))
            for queue, parts in self._queues.items()
            if len(parts) > 1
            for each in (queue, *self._letters[queue])
        ]
        if entries:
            with contextlib.suppress(BrokerError):
                await register_partitions(self.address, self._settings.prefix, entries)

    def connections_of(self, queue: str) -> QueueConnections:
        """Return the connections that ``queue`` uses, after ``open``."""
        parts = [self._connections[self._serving(*part).tag] for part in self._queues[queue]]
        return parts[0] if len(parts) == 1 else PartitionedConnections(queue, parts)

    @property
    def connections(self) -> list[WorkerConnections]:
        """All connections; none before ``open``. Any thread may read it."""
        return list(self._connections.values())

    async def close(self) -> None:
        """Release the embedded broker, once the connections are stopped."""
        await self.source.stop()

    def _serving(self, *queues: str) -> Address:
        return self.address.serving(self._settings.prefix, *queues)
