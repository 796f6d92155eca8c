"""Presence: makes this process visible in BullMQ's worker lists.

``Queue.getWorkers()`` reads the names of Redis's clients, each of which names one queue, so every queue needs a
connection of its own. Requests to cancel its jobs arrive on it too. Queues beyond ``MOST`` are left out, since
connections cost more than a list entry is worth; their workers see cancellations when they renew leases.
"""

from __future__ import annotations

import base64

from auth_worker.brokers.redis.cancellations import BLOCK_S, CancellationListener
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.ports.connections import OnCancelled

MOST = 64


class Presence:
    """The named connections of one process."""

    def __init__(self, address: Address, prefix: str, timeout: float) -> None:
        self._address = address
        self._prefix = prefix
        self._timeout = timeout
        self._links: dict[str, Link] = {}
        self._listeners: dict[str, CancellationListener] = {}

    async def announce(self, queue: str, worker: str, on_cancelled: OnCancelled, *, is_up: bool) -> None:
        """Show ``worker`` in the list of ``queue``, and pass requests to cancel jobs on to it.

        If its node ``is_up``, raises ``BrokerError`` after ``timeout`` s without Redis; else it is done later.
        """
        if queue in self._links or len(self._links) >= MOST:
            return
        name = f"{self._prefix}:{base64.b64encode(queue.encode()).decode()}:w:{worker}"
        link = self._links[queue] = Link(
            self._address, name=f"presence {queue}", client_name=name, silence_limit=BLOCK_S + 3
        )
        if is_up:
            await link.start(self._timeout)
        else:
            link.begin()
        listener = self._listeners[queue] = CancellationListener(link, self._prefix, queue, on_cancelled)
        listener.start()

    async def withdraw(self, queue: str) -> None:
        """Remove the queue's worker from the list."""
        if (listener := self._listeners.pop(queue, None)) is not None:
            await listener.stop()
        link = self._links.pop(queue, None)
        if link is not None:
            await link.stop()

    async def stop(self) -> None:
        """Remove all of them."""
        for queue in list(self._links):
            await self.withdraw(queue)
