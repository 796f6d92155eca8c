"""Reads a queue with partitions as one: what is counted is the sum over those whose nodes can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from auth_worker.brokers.partitions.answers import read_available, read_page
from auth_worker.core.ports.operator import QueueReader
from auth_worker.core.ports.values import STATES, QueueSettings, QueueSummary, SchedulerReading


class PartitionedQueueReader:
    """A ``QueueReader`` for ``queue`` over those of its partitions."""

    def __init__(self, queue: str, parts: Sequence[QueueReader]) -> None:
        self.queue = queue
        self._parts = parts

    async def exists(self) -> bool:
        """As in ``QueueReader``."""
        return any(await read_available(self._parts, lambda part: part.exists()))

    async def counts(self) -> dict[str, int]:
        """As in ``QueueReader``."""
        return _sums(await read_available(self._parts, lambda part: part.counts()))

    async def settings(self) -> QueueSettings:
        """As in ``QueueReader``."""
        return _merged(await read_available(self._parts, lambda part: part.settings()))

    async def summary(self, now: int) -> QueueSummary:
        """As in ``QueueReader``."""
        found = await read_available(self._parts, lambda part: part.summary(now))
        return QueueSummary(
            counts=_sums([each.counts for each in found]),
            settings=_merged([each.settings for each in found]),
            oldest_waiting=_earliest(each.oldest_waiting for each in found),
            done_per_minute=sum(each.done_per_minute for each in found),
            failed_per_minute=sum(each.failed_per_minute for each in found),
            dead_letters=sum(each.dead_letters for each in found),
        )

    async def oldest_waiting(self) -> int | None:
        """As in ``QueueReader``."""
        return _earliest(await read_available(self._parts, lambda part: part.oldest_waiting()))

    async def ids(self, state: str, offset: int, limit: int) -> list[str]:
        """As in ``QueueReader``, in the order of each partition."""

        async def count(part: QueueReader) -> int:
            return (await part.counts())[state]

        return await read_page(
            self._parts, lambda part, start, most: part.ids(state, start, most), count, offset, limit
        )

    async def count_finished_before(self, state: str, before: int) -> int:
        """As in ``QueueReader``."""
        return sum(await read_available(self._parts, lambda part: part.count_finished_before(state, before)))

    async def unlocked(self, limit: int) -> list[tuple[str, int | None]]:
        """As in ``QueueReader``."""
        found = await read_available(self._parts, lambda part: part.unlocked(limit))
        return [each for some in found for each in some][:limit]

    async def dead_letter_marks(self, limit: int) -> list[tuple[str | None, int | None]]:
        """As in ``QueueReader``."""
        found = await read_available(self._parts, lambda part: part.dead_letter_marks(limit))
        return sorted((each for some in found for each in some), key=lambda mark: -(mark[1] or 0))[:limit]

    async def schedulers(self, limit: int, stopped_before: int) -> SchedulerReading:
        """As in ``QueueReader``."""
        found = await read_available(self._parts, lambda part: part.schedulers(limit, stopped_before))
        return SchedulerReading(
            seen=sum(each.seen for each in found),
            unreadable={one: problem for each in found for one, problem in each.unreadable.items()},
            stopped=[one for each in found for one in each.stopped],
        )


def _sums(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {state: sum(each[state] for each in counts) for state in STATES}


def _earliest(times: Iterable[int | None]) -> int | None:
    return min((each for each in times if each is not None), default=None)


def _merged(settings: Sequence[QueueSettings]) -> QueueSettings:
    """Return the settings of all partitions together: their limits add up, where each has one."""
    concurrencies = [each.concurrency for each in settings if each.concurrency is not None]
    limits = [each.rate_limit for each in settings if each.rate_limit is not None]
    return QueueSettings(
        paused=all(each.paused for each in settings),
        concurrency=sum(concurrencies) if len(concurrencies) == len(settings) else None,
        limited_ms=min(each.limited_ms for each in settings),
        rate_limit=(sum(most for most, _ in limits), limits[0][1]) if len(limits) == len(settings) else None,
    )
