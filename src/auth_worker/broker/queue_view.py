"""QueueView: looks at one queue from outside, without taking part in its work."""

from __future__ import annotations

import json
from typing import Any

from auth_worker.broker.link import Link

_LISTS = ("wait", "paused", "active")
_SETS = ("prioritized", "delayed", "waiting-children", "completed", "failed")


class QueueView:
    """The queue ``queue`` as it stands in Redis. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._key_prefix = f"{prefix}:{queue}:"

    async def counts(self) -> dict[str, int]:
        """How many jobs there are in each state, by BullMQ's name of the state."""
        counts = {name: await self._link.execute("LLEN", self._key_prefix + name) for name in _LISTS}
        for name in _SETS:
            counts[name] = await self._link.execute("ZCARD", self._key_prefix + name)
        return counts

    async def waiting_data(self, limit: int) -> list[Any]:
        """The data of the next ``limit`` waiting jobs, the oldest first."""
        ids: list[bytes] = await self._link.execute("LRANGE", f"{self._key_prefix}wait", -limit, -1)
        texts = [await self._link.execute("HGET", self._key_prefix.encode() + job_id, "data") for job_id in ids]
        return [json.loads(text) for text in reversed(texts) if text is not None]

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """Replace the stored data of a job, unchecked: as a broken producer would, to try what comes of it."""
        await self._link.execute("HSET", self._key_prefix + job_id, "data", data)
