"""Heartbeats in Redis: a hash with a record for each process, a sorted set of when each came, and requests.

Redis's clock counts, so that those of the machines need not agree.
"""

from __future__ import annotations

import asyncio
from typing import Any

from auth_worker.brokers.redis.scripts.loader import own_script
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.core.ports.heartbeats import StoredHeartbeat

_BEAT = own_script(
    "beat",
    """
local time = redis.call("TIME")
local now, lifetime = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[3])
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
redis.call("ZADD", KEYS[2], now, ARGV[1])
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], 0, now - lifetime)) do
  redis.call("HDEL", KEYS[1], id)
  redis.call("ZREM", KEYS[2], id)
end
local request = redis.call("HGET", KEYS[3], ARGV[1])
if request then redis.call("HDEL", KEYS[3], ARGV[1]) end
redis.call("PEXPIRE", KEYS[1], lifetime)
redis.call("PEXPIRE", KEYS[2], lifetime)
return request or ""
""",
)
_REQUEST = own_script(
    "requestOfWorker",
    """
if redis.call("HEXISTS", KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call("HSET", KEYS[2], ARGV[1], ARGV[2])
redis.call("PEXPIRE", KEYS[2], 60000)
return 1
""",
)


class RedisHeartbeats:
    """A ``HeartbeatWriter`` and a ``HeartbeatReader``. ``key_prefix`` begins the keys that the queues share."""

    def __init__(self, link: Link, key_prefix: str) -> None:
        self._link = link
        self._records = f"{key_prefix}:auth-worker-heartbeats"
        self._times = f"{self._records}:times"
        self._requests = f"{self._records}:requests"

    async def beat(self, process_id: str, record: str, lifetime_ms: int) -> str:
        """As in ``HeartbeatWriter``. May raise ``BrokerError``."""
        keys: list[Any] = [self._records, self._times, self._requests]
        found = await self._link.call(_BEAT, keys, [process_id, record, lifetime_ms])
        return str(found.decode(errors="replace"))

    async def withdraw(self, process_id: str) -> None:
        """As in ``HeartbeatWriter``. May raise ``BrokerError``."""
        await asyncio.gather(
            self._link.execute("HDEL", self._records, process_id),
            self._link.execute("ZREM", self._times, process_id),
            self._link.execute("HDEL", self._requests, process_id),
        )

    async def heartbeats(self) -> list[StoredHeartbeat]:
        """As in ``HeartbeatReader``. May raise ``BrokerError``."""
        records, times, (seconds, micros) = await asyncio.gather(
            self._link.execute("HGETALL", self._records),
            self._link.execute("ZRANGE", self._times, 0, -1, "WITHSCORES"),
            self._link.execute("TIME"),
        )
        now = int(seconds) * 1000 + int(micros) // 1000
        came = pairs_of(times)
        return [
            StoredHeartbeat(record.decode(errors="replace"), max(now - int(float(came[one])), 0))
            for one, record in pairs_of(records).items()
            if one in came
        ]

    async def request(self, process_id: str, action: str) -> bool:
        """As in ``HeartbeatReader``. May raise ``BrokerError``."""
        return bool(await self._link.call(_REQUEST, [self._records, self._requests], [process_id, action]))
