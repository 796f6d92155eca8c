"""Bulk operations in Redis: a hash for each, a key that says that it runs, and a sorted set of their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.ports.bulk_operations import StoredBulkOperation


class RedisBulkOperations:
    """A ``BulkOperationStore``. ``key_prefix`` begins the keys that the queues share."""

    def __init__(self, link: Link, key_prefix: str) -> None:
        self._link = link
        self._index = f"{key_prefix}:auth-worker-bulk"

    async def add(self, operation_id: str, record: str) -> bool:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        return bool(await self._link.execute("HSETNX", self._key(operation_id), "record", record))

    async def write(self, operation_id: str, record: str, started_at: int, ttl_ms: int) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        key = self._key(operation_id)
        await asyncio.gather(
            self._link.execute("HSET", key, "record", record),
            self._link.execute("PEXPIRE", key, ttl_ms),
            self._link.execute("ZADD", self._index, started_at, operation_id),
        )

    async def write_request(self, operation_id: str, request: str) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        await self._link.execute("HSET", self._key(operation_id), "request", request)

    async def read_request(self, operation_id: str) -> str | None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        found = await self._link.execute("HGET", self._key(operation_id), "request")
        return None if found is None else _text(found)

    async def read(self, operation_id: str) -> StoredBulkOperation | None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        key = self._key(operation_id)
        # whether it runs is asked first: an end that is written meanwhile is then read
        alive, (record, asked, again) = await asyncio.gather(
            self._link.execute("EXISTS", self._running(operation_id)),
            self._link.execute("HMGET", key, "record", "stop", "again"),
        )
        return (
            None if record is None else StoredBulkOperation(_text(record), bool(alive), _text(asked), _text(again))
        )

    async def ids(self, most: int) -> list[str]:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        return [_text(each) for each in await self._link.execute("ZREVRANGE", self._index, 0, most - 1)]

    async def ids_beyond(self, most: int) -> list[str]:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        return [_text(each) for each in await self._link.execute("ZRANGE", self._index, 0, -most - 1)]

    async def forget(self, operation_ids: Sequence[str]) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        if operation_ids:
            await asyncio.gather(
                self._link.execute("DEL", *map(self._key, operation_ids)),
                self._link.execute("ZREM", self._index, *operation_ids),
            )

    async def show_alive(self, operation_id: str, ttl_ms: int) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        key = self._running(operation_id)
        await self._link.execute(*(("SET", key, "1", "PX", ttl_ms) if ttl_ms else ("DEL", key)))

    async def ask_to_stop(self, operation_id: str, who: str) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        await self._link.execute("HSET", self._key(operation_id), "stop", who)

    async def stop_asked_by(self, operation_id: str) -> str:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        return _text(await self._link.execute("HGET", self._key(operation_id), "stop"))

    async def mark_begun_again(self, operation_id: str, as_id: str) -> None:
        """As in ``BulkOperationStore``. May raise ``BrokerError``."""
        await self._link.execute("HSET", self._key(operation_id), "again", as_id)

    def _key(self, operation_id: str) -> str:
        return f"{self._index}:{operation_id}"

    def _running(self, operation_id: str) -> str:
        return f"{self._index}:{operation_id}:running"


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")
