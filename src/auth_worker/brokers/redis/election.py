"""Elects one process of many for a duty: the one that sets a key first, as long as it renews it in time."""

from __future__ import annotations

from auth_worker.brokers.redis.wire.link import Link


async def elect(link: Link, key: str, owner: str, lease_ms: int) -> bool:
    """Return whether ``owner`` has the duty of ``key`` for the next ``lease_ms``. Raises ``BrokerError``."""
    if await link.execute("SET", key, owner, "NX", "PX", lease_ms) is not None:
        return True
    if await link.execute("GET", key) != owner.encode():
        return False
    return bool(await link.execute("PEXPIRE", key, lease_ms))


async def resign(link: Link, key: str, owner: str) -> None:
    """Let another be elected at once, if ``owner`` has the duty of ``key``. Raises ``BrokerError``."""
    if await link.execute("GET", key) == owner.encode():
        await link.execute("DEL", key)
