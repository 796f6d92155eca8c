"""Reads the jobs of a queue with partitions. The id says where a job is; if it is not there, all are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from auth_worker.brokers.partitions.answers import read_available
from auth_worker.core.partitions import partition_of_id
from auth_worker.core.ports.operator import JobReader
from auth_worker.core.ports.values import LargeField, StoredChildren, StoredJob, StoredKind
from auth_worker.errors import BrokerUnavailableError


class PartitionedJobReader:
    """A ``JobReader`` for ``queue`` over those of its partitions, by number."""

    def __init__(self, queue: str, parts: Sequence[JobReader]) -> None:
        self.queue = queue
        self._parts = parts

    async def holder_of(self, job_id: str) -> int:
        """Return the number of the partition that has the job, or would have it.

        Jobs of flows and job schedulers, and those that Node has added, may be in another one than their ids say.
        Raises ``BrokerUnavailableError`` if it is not found, and the node is away where its id says it is.
        """
        likely = partition_of_id(job_id, len(self._parts))
        away: BrokerUnavailableError | None = None
        try:
            if await self._parts[likely].kind(job_id) == "job":
                return likely
        except BrokerUnavailableError as error:
            away = error

        async def kind(number: int) -> tuple[StoredKind, int]:
            return await self._parts[number].kind(job_id), number

        others = (number for number in range(len(self._parts)) if number != likely)
        found = dict(await read_available(others, kind))
        if away is not None and "job" not in found:
            raise away
        return found.get("job", likely)

    async def rows(
        self, ids: Sequence[str], large: Collection[LargeField] = (), *, brief: bool = False
    ) -> list[StoredJob | None]:
        """As in ``JobReader``."""
        found: dict[str, StoredJob] = {}
        likely = [
            [one for one in ids if partition_of_id(one, len(self._parts)) == number]
            for number in range(len(self._parts))
        ]
        unread = await self._read_rows(found, likely, large, brief)
        missing = [one for one in ids if one not in found]
        await self._read_rows(found, [missing] * len(self._parts), large, brief)
        for one, error in unread.items():
            if one not in found:
                raise error
        return [found.get(one) for one in ids]

    async def whole(self, job_id: str) -> StoredJob | None:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).whole(job_id)

    async def kind(self, job_id: str) -> StoredKind:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).kind(job_id)

    async def state(self, job_id: str) -> str:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).state(job_id)

    async def due(self, job_id: str) -> int | None:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).due(job_id)

    async def logs(self, job_id: str, limit: int) -> tuple[list[str], int]:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).logs(job_id, limit)

    async def lock(self, job_id: str) -> tuple[str | None, int]:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).lock(job_id)

    async def children(self, job_id: str) -> StoredChildren:
        """As in ``JobReader``."""
        return await (await self._part_of(job_id)).children(job_id)

    async def _part_of(self, job_id: str) -> JobReader:
        return self._parts[await self.holder_of(job_id)]

    async def _read_rows(
        self,
        found: dict[str, StoredJob],
        wanted: Sequence[Sequence[str]],
        large: Collection[LargeField],
        brief: bool,
    ) -> dict[str, BrokerUnavailableError]:
        """Read the ``wanted`` jobs of each partition, and put those that exist into ``found``.

        Returns those of partitions whose nodes are away, each with the error.
        """
        asked = [(part, ids) for part, ids in zip(self._parts, wanted, strict=True) if ids]
        reads = (part.rows(ids, large, brief=brief) for part, ids in asked)
        unread: dict[str, BrokerUnavailableError] = {}
        for (_, ids), rows in zip(asked, await asyncio.gather(*reads, return_exceptions=True), strict=True):
            if isinstance(rows, BrokerUnavailableError):
                unread |= dict.fromkeys(ids, rows)
            elif isinstance(rows, BaseException):
                raise rows
            else:
                found.update((one, row) for one, row in zip(ids, rows, strict=True) if row is not None)
        return unread
