"""What gauges and probes read of a queue with partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from auth_worker.brokers.partitions.dead_letters import PartitionedDeadLetterStore
from auth_worker.brokers.partitions.queues import PartitionedQueueReader
from auth_worker.core.partitions import partition_names
from auth_worker.core.ports.operator import BrokerView


class PartitionedBrokerView:
    """A ``BrokerView`` for the queue ``family`` and its dead letters, over those of its partitions, by number."""

    def __init__(self, family: str, parts: Sequence[BrokerView]) -> None:
        self._family = family
        self._parts = parts

    @property
    def is_up(self) -> bool:
        """As in ``BrokerView``: whether all of them are."""
        return all(part.is_up for part in self._parts)

    async def ping(self) -> None:
        """As in ``BrokerView``."""
        await asyncio.gather(*(part.ping() for part in self._parts))

    def queue(self, name: str) -> PartitionedQueueReader:
        """As in ``BrokerView``."""
        return PartitionedQueueReader(name, [part.queue(each) for part, each in self._named(name)])

    def dead_letters(self, queue: str) -> PartitionedDeadLetterStore:
        """As in ``BrokerView``."""
        return PartitionedDeadLetterStore([part.dead_letters(each) for part, each in self._named(queue)])

    def _named(self, queue: str) -> list[tuple[BrokerView, str]]:
        names = partition_names(queue, len(self._parts), self._family)
        return list(zip(self._parts, names, strict=True))
