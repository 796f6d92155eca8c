"""The state of the alerts in Redis: one text, and the key of whoever evaluates the rules."""

from __future__ import annotations

from auth_worker.brokers.redis.election import elect, resign
from auth_worker.brokers.redis.wire.link import Link


class RedisAlerts:
    """An ``AlertStore``. ``key_prefix`` begins the keys that the queues share."""

    def __init__(self, link: Link, key_prefix: str) -> None:
        self._link = link
        self._key = f"{key_prefix}:auth-worker-alerts"

    async def elect(self, owner: str, lease_ms: int) -> bool:
        """As in ``AlertStore``. May raise ``BrokerError``."""
        return await elect(self._link, f"{self._key}:elected", owner, lease_ms)

    async def resign(self, owner: str) -> None:
        """As in ``AlertStore``. May raise ``BrokerError``."""
        await resign(self._link, f"{self._key}:elected", owner)

    async def read(self) -> str | None:
        """As in ``AlertStore``. May raise ``BrokerError``."""
        found = await self._link.execute("GET", self._key)
        return None if found is None else str(found.decode(errors="replace"))

    async def write(self, state: str, ttl_ms: int) -> None:
        """As in ``AlertStore``. May raise ``BrokerError``."""
        await self._link.execute("SET", self._key, state, "PX", ttl_ms)
