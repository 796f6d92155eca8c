"""Presence: lets BullMQ's worker lists see us.

``Queue.getWorkers()`` reads the names of Redis's clients, one queue a name, so every queue needs a connection
named after it. They do nothing else; beyond ``MOST`` queues the others are left out, as connections are dearer
than a badge.
"""

from __future__ import annotations

import base64

from auth_worker.broker.address import Address
from auth_worker.broker.link import Link

MOST = 64


class Presence:
    """The named connections of one process."""

    def __init__(self, address: Address, prefix: str, timeout: float) -> None:
        self._address = address
        self._prefix = prefix
        self._timeout = timeout
        self._links: dict[str, Link] = {}

    async def announce(self, queue: str, worker: str) -> None:
        """Show ``worker`` in the list of ``queue``. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        if queue in self._links or len(self._links) >= MOST:
            return
        name = f"{self._prefix}:{base64.b64encode(queue.encode()).decode()}:w:{worker}"
        link = self._links[queue] = Link(self._address, name=f"presence {queue}", client_name=name)
        await link.start(self._timeout)

    async def withdraw(self, queue: str) -> None:
        """Take the queue's worker off the list."""
        link = self._links.pop(queue, None)
        if link is not None:
            await link.stop()

    async def stop(self) -> None:
        """Take all off."""
        for queue in list(self._links):
            await self.withdraw(queue)
