"""Heartbeats in a cluster whose queues are on several nodes: each process writes them where its queues are."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from auth_worker.brokers.partitions.answers import find_answer, read_available
from auth_worker.brokers.redis.heartbeats import RedisHeartbeats
from auth_worker.core.ports.heartbeats import StoredHeartbeat


class SpreadHeartbeats:
    """A ``HeartbeatReader`` over those that ``find`` returns. What is on nodes that are away is left out."""

    def __init__(self, find: Callable[[], Awaitable[Sequence[RedisHeartbeats]]]) -> None:
        self._find = find

    async def heartbeats(self) -> list[StoredHeartbeat]:
        """As in ``HeartbeatReader``: the latest of each process. May raise ``BrokerError``."""
        latest: dict[str, StoredHeartbeat] = {}
        for found in await read_available(await self._find(), lambda each: each.heartbeats()):
            for each in found:
                process = _process_of(each)
                if process not in latest or each.age_ms < latest[process].age_ms:
                    latest[process] = each
        return list(latest.values())

    async def request(self, process_id: str, action: str) -> bool:
        """As in ``HeartbeatReader``. May raise ``BrokerError``."""
        return bool(await find_answer(await self._find(), lambda each: each.request(process_id, action)))


def _process_of(heartbeat: StoredHeartbeat) -> str:
    try:
        return str(json.loads(heartbeat.record)["id"])
    except (ValueError, KeyError, TypeError):
        return heartbeat.record
