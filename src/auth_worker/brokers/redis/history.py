"""The history of a queue in Redis: a hash for each span, with a field for each bucket of its ring.

Since when which version of the workers has been running is a sorted set, of all queues together.
"""

from __future__ import annotations

from collections.abc import Mapping

from auth_worker.brokers.redis.election import elect, resign
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.core.history import Span, VersionMark


class RedisHistory:
    """The history of one queue, or of several: a ``HistoryStore``. ``key_prefix`` begins its keys."""

    def __init__(self, link: Link, key_prefix: str) -> None:
        self._link = link
        self._key = f"{key_prefix}:auth-worker-history"

    async def elect(self, owner: str, lease_ms: int) -> bool:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        return await elect(self._link, f"{self._key}:recorder", owner, lease_ms)

    async def resign(self, owner: str) -> None:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        await resign(self._link, f"{self._key}:recorder", owner)

    async def marks(self) -> list[VersionMark]:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        found = await self._link.execute("ZRANGE", f"{self._key}:versions", 0, -1)
        parted = [member.decode(errors="replace").partition(":") for member in found]
        return [VersionMark(int(at), version) for at, _, version in parted if at.isdecimal() and at.isascii()]

    async def mark(self, mark: VersionMark, most: int) -> None:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        key = f"{self._key}:versions"
        await self._link.execute("ZADD", key, mark.at, f"{mark.at}:{mark.version}")
        await self._link.execute("ZREMRANGEBYRANK", key, 0, -most - 1)

    async def read(self, span: Span) -> dict[int, str]:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        found = await self._link.execute("HGETALL", f"{self._key}:{span.name}")
        return {
            int(slot): text.decode(errors="replace") for slot, text in pairs_of(found).items() if slot.isdigit()
        }

    async def read_slot(self, span: Span, slot: int) -> str:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        found = await self._link.execute("HGET", f"{self._key}:{span.name}", slot)
        return "" if found is None else str(found.decode(errors="replace"))

    async def write(self, span: Span, buckets: Mapping[int, str]) -> None:
        """As in ``HistoryStore``. May raise ``BrokerError``."""
        key = f"{self._key}:{span.name}"
        await self._link.execute("HSET", key, *(part for pair in buckets.items() for part in pair))
        await self._link.execute("PEXPIRE", key, 2 * span.length_ms)
