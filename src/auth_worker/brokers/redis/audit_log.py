"""The audit log in Redis: a list, the newest entry first."""

from __future__ import annotations

import asyncio

from auth_worker.brokers.redis.wire.link import Link


class RedisAuditLog:
    """An ``AuditLogStore``. ``key_prefix`` begins the keys that all queues share."""

    def __init__(self, link: Link, key_prefix: str) -> None:
        self._link = link
        self._key = f"{key_prefix}:auth-worker-changes"

    async def append(self, entry: str, most: int) -> None:
        """As in ``AuditLogStore``. May raise ``BrokerError``."""
        await asyncio.gather(
            self._link.execute("LPUSH", self._key, entry), self._link.execute("LTRIM", self._key, 0, most - 1)
        )

    async def count(self) -> int:
        """As in ``AuditLogStore``. May raise ``BrokerError``."""
        return int(await self._link.execute("LLEN", self._key))

    async def read(self, offset: int, limit: int) -> list[str]:
        """As in ``AuditLogStore``. May raise ``BrokerError``."""
        found = await self._link.execute("LRANGE", self._key, offset, offset + limit - 1)
        return [entry.decode(errors="replace") for entry in found]
