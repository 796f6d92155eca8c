"""Reads a queue in Redis."""

from __future__ import annotations

import asyncio
from typing import Any

from auth_worker.brokers.redis.decode import DEAD_LETTER_FIELD
from auth_worker.brokers.redis.queue_summary import LISTS, next_of_priorities, read_summary, settings_of
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.brokers.redis.scripts.loader import builders
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.batch import execute_all
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.coercion import stored_number
from auth_worker.core.keys import key_prefix
from auth_worker.core.ports.values import STATES, QueueSettings, QueueSummary, SchedulerReading

_NEWEST_FIRST = ("completed", "failed", "waiting-children")


class QueueView:
    """Reads ``queue``: a ``QueueReader``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self.queue = queue
        self._link = link
        self._prefix = prefix
        self._key_prefix = key_prefix(prefix, queue)
        self._scripts: Any = builders(prefix, queue, link.call)

    async def exists(self) -> bool:
        """Whether a job was ever added to a queue of this name. Raises ``BrokerError``."""
        return bool(await self._link.execute("EXISTS", *(self._key_prefix + name for name in ("meta", *STATES))))

    async def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state. Source: getCounts-1.lua. Raises ``BrokerError``."""
        return dict(zip(STATES, map(int, await self._scripts.getCounts(STATES)), strict=True))

    async def settings(self) -> QueueSettings:
        """Return whether the queue is paused, its global concurrency and rate limit. Raises ``BrokerError``."""
        meta, limited = await execute_all(
            self._link,
            [
                ("HMGET", f"{self._key_prefix}meta", "paused", "concurrency", "max", "duration"),
                ("PTTL", f"{self._key_prefix}limiter"),
            ],
        )
        return settings_of(meta, limited)

    async def summary(self, now: int) -> QueueSummary:
        """Return what an overview shows of the queue at ``now`` (epoch ms). Raises ``BrokerError``."""
        return await read_summary(self._link, self._key_prefix, now)

    async def oldest_waiting(self) -> int | None:
        """Return when the oldest of the jobs next in line was added (epoch ms); None if none waits.

        These are the next job of each list, and the next one of each of the first ten priorities. Raises
        ``BrokerError``.
        """
        ids = [*await self._next_in_lists(), *await next_of_priorities(self._link, self._key_prefix)]
        stamps = await asyncio.gather(*(self._number_of(job_id, "timestamp") for job_id in ids))
        return min((stamp for stamp in stamps if stamp is not None), default=None)

    async def ids(self, state: str, offset: int, limit: int) -> list[str]:
        """Return ``limit`` ids of a state from ``offset`` on: next to run, or last finished, first.

        Bytes that are not UTF-8 become surrogates. Raises ``BrokerError``.
        """
        return [exact_text(job_id) for job_id in await self._ids(state, offset, limit)]

    async def count_finished_before(self, state: str, before: int) -> int:
        """Return how many completed or failed jobs finished by then (epoch ms). Raises ``BrokerError``."""
        return int(await self._link.execute("ZCOUNT", self._key_prefix + state, "-inf", before))

    async def unlocked(self, limit: int) -> list[tuple[str, int | None]]:
        """Return those of the next ``limit`` active jobs without a lock, and when their runs started (epoch ms).

        Raises ``BrokerError``.
        """
        ids = await self._ids("active", 0, limit)
        if not ids:
            return []
        prefix = self._key_prefix.encode()
        locks = await self._link.execute("MGET", *(prefix + job_id + b":lock" for job_id in ids))
        free = [job_id for job_id, lock in zip(ids, locks, strict=True) if lock is None]
        began = await asyncio.gather(*(self._number_of(job_id, "processedOn") for job_id in free))
        return [(job_id.decode(errors="replace"), at) for job_id, at in zip(free, began, strict=True)]

    async def dead_letter_marks(self, limit: int) -> list[tuple[str | None, int | None]]:
        """Return for the newest ``limit`` failed jobs the id of the dead letter, if any, and when they finished.

        Raises ``BrokerError``.
        """
        key = self._key_prefix.encode()
        ids = await self._ids("failed", 0, limit)
        found = await asyncio.gather(
            *(self._link.execute("HMGET", key + job_id, DEAD_LETTER_FIELD, "finishedOn") for job_id in ids)
        )
        return [
            (None if mark is None else mark.decode(errors="replace"), stored_number(finished))
            for mark, finished in found
        ]

    async def schedulers(self, limit: int, stopped_before: int) -> SchedulerReading:
        """Read at most ``limit`` job schedulers. One whose iteration was due by then (epoch ms) has stopped.

        Raises ``BrokerError``.
        """
        schedulers = Schedulers(self._link, self._prefix, self.queue)
        count = 0
        sound: set[str] = set()
        unreadable: dict[str, str] = {}
        async for found in schedulers.stored(most=limit + 1):
            count += 1
            if count > limit:
                break
            try:
                found.check()
            except ValueError as error:
                unreadable[found.scheduler_id] = str(error)
            else:
                sound.add(found.scheduler_id)
        if not sound:
            return SchedulerReading(count, unreadable, [])
        stopped = [
            found.scheduler_id
            async for found, _ in schedulers.stopped()
            if found.scheduler_id in sound and found.due < stopped_before and not found.ended()
        ]
        return SchedulerReading(count, unreadable, stopped)

    async def _ids(self, state: str, offset: int, limit: int) -> list[bytes]:
        key, last = self._key_prefix + state, offset + limit - 1
        if state in LISTS:
            tail: list[bytes] = await self._link.execute("LRANGE", key, -last - 1, -offset - 1)
            return tail[::-1]
        command = "ZREVRANGE" if state in _NEWEST_FIRST else "ZRANGE"
        found: list[bytes] = await self._link.execute(command, key, offset, last)
        return found

    async def _next_in_lists(self) -> list[bytes]:
        found = await asyncio.gather(
            *(self._link.execute("LINDEX", self._key_prefix + name, -1) for name in ("wait", "paused"))
        )
        return [job_id for job_id in found if job_id is not None]

    async def _number_of(self, job_id: bytes, field: str) -> int | None:
        return stored_number(await self._link.execute("HGET", self._key_prefix.encode() + job_id, field))
