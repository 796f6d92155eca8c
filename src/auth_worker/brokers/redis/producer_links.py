"""Opens the connections of a queue's producers."""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.brokers.opening import BrokerSource
from auth_worker.brokers.redis.additions import add_scripts
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link


class ProducerLinks:
    """Opens connections for producers of ``queue`` to the broker of ``source``. Thread-safe.

    ``timeout`` (s) bounds connecting. Raises ``ConfigurationError`` if a cluster needs other names.
    """

    def __init__(self, source: BrokerSource, *, prefix: str, queue: str, timeout: float) -> None:
        source.address.serving(prefix, queue)
        self._source = source
        self._prefix = prefix
        self._queue = queue
        self._timeout = timeout

    async def address(self) -> Address:
        """Return the queue's address once a server is running. Raises as ``BrokerSource.start``."""
        return (await self._source.start()).serving(self._prefix, self._queue)

    async def open(self) -> Link:
        """Connect. Raises ``BrokerError`` after ``timeout`` s, and ``ConfigurationError``."""
        link = Link(
            await self.address(),
            name=f"producer {self._queue}",
            client_name=f"auth-worker:producer:{self._queue}",
            scripts=add_scripts(),
        )
        await link.start(self._timeout)
        return link

    async def release(self, is_unused: Callable[[], bool]) -> None:
        """Stop the embedded broker, if there is one and no producer uses it."""
        await self._source.stop(is_unused)
