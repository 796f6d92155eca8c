"""Changes the jobs of a queue with partitions, each in the partition that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from auth_worker.brokers.partitions.jobs import PartitionedJobReader
from auth_worker.core.ports.operator import JobChanger
from auth_worker.core.ports.values import ChangeResult

LetterNames = Callable[[str], Sequence[str]]
"""Returns the names in the broker, by partition, of a dead-letter queue."""


class PartitionedJobChanger:
    """A ``JobChanger`` over those of the partitions, by number. ``jobs`` says which of them has a job."""

    def __init__(self, parts: Sequence[JobChanger], jobs: PartitionedJobReader, letter_names: LetterNames) -> None:
        self._parts = parts
        self._jobs = jobs
        self._letter_names = letter_names

    async def retry(self, ids: Sequence[str], dead_letter_queues: Collection[str]) -> list[ChangeResult]:
        """As in ``JobChanger``."""
        holders = await asyncio.gather(*map(self._jobs.holder_of, ids))
        results: dict[str, ChangeResult] = {}
        for number in sorted(set(holders)):
            some = [one for one, holder in zip(ids, holders, strict=True) if holder == number]
            letters = [self._letter_names(each)[number] for each in dead_letter_queues]
            results.update(zip(some, await self._parts[number].retry(some, letters), strict=True))
        return [results[one] for one in ids]

    async def promote(self, job_id: str) -> ChangeResult:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).promote(job_id)

    async def remove(self, job_id: str, children: bool = False) -> ChangeResult:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).remove(job_id, children)

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).cancel(job_id, reason)

    async def dead_letter(self, job_id: str, to: str, reason: str) -> ChangeResult:
        """As in ``JobChanger``."""
        number = await self._jobs.holder_of(job_id)
        return await self._parts[number].dead_letter(job_id, self._letter_names(to)[number], reason)

    async def change_priority(self, job_id: str, priority: int) -> ChangeResult:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).change_priority(job_id, priority)

    async def change_delay(self, job_id: str, delay: int) -> ChangeResult:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).change_delay(job_id, delay)

    async def add_log(self, job_id: str, line: str, most: int) -> bool:
        """As in ``JobChanger``."""
        return await (await self._part_of(job_id)).add_log(job_id, line, most)

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """As in ``JobChanger``."""
        await (await self._part_of(job_id)).overwrite_data(job_id, data)

    async def drain_step(self, state: str, count: int) -> None:
        """As in ``JobChanger``, in each partition."""
        await asyncio.gather(*(part.drain_step(state, count) for part in self._parts))

    async def clean_step(self, state: str, before: int, count: int) -> int:
        """As in ``JobChanger``."""
        removed = 0
        for part in self._parts:
            if removed < count:
                removed += await part.clean_step(state, before, count - removed)
        return removed

    async def _part_of(self, job_id: str) -> JobChanger:
        return self._parts[await self._jobs.holder_of(job_id)]
