"""Changes a queue with partitions as a whole. Its limits are divided among them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from auth_worker.brokers.partitions.answers import find_answer, read_available
from auth_worker.core.partitions import partition_of_id
from auth_worker.core.ports.operator import QueueReader
from auth_worker.core.ports.queue_changes import QueueChanger, SchedulerRecord
from auth_worker.errors import ConfigurationError


class PartitionedQueueChanger:
    """A ``QueueChanger`` over those of the partitions, by number. ``reader`` reads the whole queue."""

    def __init__(self, parts: Sequence[QueueChanger], reader: QueueReader) -> None:
        self._parts = parts
        self._reader = reader

    async def set_paused(self, paused: bool) -> None:
        """As in ``QueueChanger``."""
        await asyncio.gather(*(part.set_paused(paused) for part in self._parts))

    async def set_concurrency(self, limit: int | None) -> None:
        """As in ``QueueChanger``. Raises ``ConfigurationError`` for a limit below the number of partitions."""
        shares = self._shares("concurrency", limit)
        await asyncio.gather(
            *(part.set_concurrency(share) for part, share in zip(self._parts, shares, strict=True))
        )

    async def set_rate_limit(self, limit: tuple[int, int] | None) -> None:
        """As in ``QueueChanger``. Raises ``ConfigurationError`` for a limit below the number of partitions."""
        most, duration = limit or (None, 0)
        shares = [None if share is None else (share, duration) for share in self._shares("the rate limit", most)]
        await asyncio.gather(
            *(part.set_rate_limit(share) for part, share in zip(self._parts, shares, strict=True))
        )

    async def job_schedulers(self, limit: int) -> list[SchedulerRecord]:
        """As in ``QueueChanger``."""
        found = await read_available(self._parts, lambda part: part.job_schedulers(limit))
        return sorted((each for some in found for each in some), key=lambda stored: stored.due)[:limit]

    async def last_iterations(self, among: int) -> dict[str, str]:
        """As in ``QueueChanger``."""
        found = await read_available(self._parts, lambda part: part.last_iterations(among))
        return {scheduler: job for some in found for scheduler, job in some.items()}

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``QueueChanger``."""
        return any(await asyncio.gather(*(part.remove_scheduler(scheduler_id) for part in self._parts)))

    async def job_scheduler(self, scheduler_id: str) -> SchedulerRecord | None:
        """As in ``QueueChanger``."""
        return await find_answer(self._parts, lambda part: part.job_scheduler(scheduler_id))

    async def deduplication(self, deduplication_id: str) -> str | None:
        """As in ``QueueChanger``."""
        return await find_answer(self._parts, lambda part: part.deduplication(deduplication_id))

    async def remove_deduplication(self, deduplication_id: str) -> bool:
        """As in ``QueueChanger``."""
        return any(await asyncio.gather(*(part.remove_deduplication(deduplication_id) for part in self._parts)))

    async def update_data(self, job_id: str, data: bytes) -> bool:
        """As in ``QueueChanger``."""
        likely = partition_of_id(job_id, len(self._parts))
        parts = (self._parts[likely], *self._parts[:likely], *self._parts[likely + 1 :])
        return bool(await find_answer(parts, lambda part: part.update_data(job_id, data)))

    async def obliterate(self, force: bool) -> bool:
        """As in ``QueueChanger``. If a job starts meanwhile, the partitions that were removed before stay so."""
        if not force and (await self._reader.counts())["active"]:
            return False
        return all([await part.obliterate(force) for part in self._parts])

    def _shares(self, what: str, limit: int | None) -> list[int | None]:
        """Divide ``limit`` as evenly as whole numbers permit."""
        parts = len(self._parts)
        if limit is None:
            return [None] * parts
        if limit < parts:
            raise ConfigurationError(f"{what} must be at least {parts}: it is divided among {parts} partitions")
        return [limit // parts + (number < limit % parts) for number in range(parts)]
