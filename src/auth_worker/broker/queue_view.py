"""QueueView: looks at one queue from outside, without taking part in its work."""

from __future__ import annotations

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

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """Replace the stored data of a job, unchecked: as a broken producer would, to try what comes of it."""
        await self._link.execute("HSET", self._key_prefix + job_id, "data", data)
