"""Knows which queues of Redis a name stands for: itself, or the partitions of a logical queue, or both.

Workers and producers register the partitions of their queues, so that one command finds them. Where none is
registered, the names of the queues that exist say it.
"""

from __future__ import annotations

import time

from auth_worker.brokers.partitions.answers import read_available
from auth_worker.brokers.redis.operator_links import OperatorLinks
from auth_worker.brokers.redis.partition_registry import Registered, read_registered
from auth_worker.brokers.redis.queue_finder import QueueFinder
from auth_worker.brokers.redis.queues import QueueView
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.partitions import partition_names, partition_of_name
from auth_worker.errors import BrokerUnavailableError

KEPT_S = 10.0
"""How long (s) what a name stands for is kept."""
FIND_S = 2.0
"""How long (s) to look for the queues that exist."""


class LogicalQueues:
    """The queues under ``prefix`` as operators see them. Belongs to one event loop."""

    def __init__(self, links: OperatorLinks, prefix: str) -> None:
        self._links = links
        self._prefix = prefix
        self._finder = QueueFinder(links.to_each_node, prefix)
        self._kept: dict[str, tuple[float, list[str]]] = {}
        self._registered: tuple[float, list[Registered]] | None = None

    async def find(self, budget_s: float) -> tuple[list[str], bool]:
        """As ``QueueFinder.find``, with one name for all partitions of a queue. Raises ``BrokerError``."""
        found, complete = await self._finder.find(budget_s)
        members: dict[str, list[str]] = {}
        for name in found:
            if (partition := partition_of_name(name)) is None:
                members.setdefault(name, []).append(name)
                continue
            whole = members.setdefault(partition.queue, [])
            if name not in whole:
                whole += partition_names(partition.queue, partition.partitions, partition.family)
        self._kept |= {name: (time.monotonic(), names) for name, names in members.items()}
        return sorted(members), complete

    async def members(self) -> dict[str, list[str]]:
        """Return the names in Redis of each queue that is found. Raises ``BrokerError``."""
        names, _ = await self.find(FIND_S)
        return {name: self._kept[name][1] for name in names}

    def known(self, queue: str) -> list[str] | None:
        """Return the names in Redis of ``queue``, if they were looked up lately."""
        if partition_of_name(queue) is not None:
            return [queue]
        kept = self._kept.get(queue)
        return kept[1] if kept is not None and time.monotonic() - kept[0] < KEPT_S else None

    async def names_of(self, queue: str) -> list[str]:
        """Return the names in Redis of ``queue``. Raises ``BrokerError`` and ``ConfigurationError``."""
        if (known := self.known(queue)) is not None:
            return known
        names = await self._itself(queue)
        registered = await self._registered_of(queue)
        for partitions, family in registered:
            some = partition_names(queue, partitions, family)
            if (partitions, family) == registered[-1] or await self._may_exist(some):
                names += some
        if not names:
            await self.find(FIND_S)
            return self.known(queue) or [queue]
        self._kept[queue] = time.monotonic(), names
        return names

    async def partitions_of(self, queue: str) -> int:
        """Return how many partitions ``queue`` has by the latest number; 1 if none. Raises ``BrokerError``."""
        names = await self.names_of(queue)
        if registered := await self._registered_of(queue):
            return registered[-1][0]
        return max((each.partitions for each in map(partition_of_name, names) if each is not None), default=1)

    async def addresses(self) -> list[Link]:
        """Return a connection for each hash tag of a queue. Raises ``BrokerError``."""
        if not any(time.monotonic() - at < KEPT_S for at, _ in self._kept.values()):
            await self.find(FIND_S)
        names = [name for _, some in self._kept.values() for name in some if "{" in name]
        return list({id(link): link for link in (self._links.of(name).link for name in names)}.values())

    def forget(self) -> None:
        """Forget what was found, since a queue was removed."""
        self._finder.forget()
        self._kept.clear()
        self._registered = None

    async def _itself(self, queue: str) -> list[str]:
        """Return the queue, if it exists by itself. In a cluster it needs a hash tag for that."""
        if self._links.is_spread and "{" not in queue:
            return []
        exists = await QueueView(self._links.of(queue).link, self._prefix, queue).exists()
        return [queue] if exists else []

    async def _may_exist(self, names: list[str]) -> bool:
        """Return whether one of the queues exists, or the nodes of all are away."""
        views = [QueueView(self._links.of(name).link, self._prefix, name) for name in names]
        try:
            return any(await read_available(views, lambda view: view.exists()))
        except BrokerUnavailableError:
            return True

    async def _registered_of(self, queue: str) -> list[tuple[int, str]]:
        """Return the registered numbers of partitions of ``queue``, each with the family, the latest last."""
        if self._registered is None or time.monotonic() - self._registered[0] > KEPT_S:
            try:
                found = await read_registered(self._links.main, self._prefix)
            except BrokerUnavailableError:
                if not self._links.is_spread:
                    raise
                return []  # its node is away, but the others say what they have
            self._registered = time.monotonic(), found
        return [(partitions, family) for name, family, partitions in self._registered[1] if name == queue]
