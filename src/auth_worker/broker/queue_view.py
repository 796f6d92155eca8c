"""QueueView: looks at one queue from outside, without taking part in its work."""

from __future__ import annotations

import asyncio
from typing import Any

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import builders
from auth_worker.coercion import stored_number

LISTS = ("wait", "paused", "active")
SETS = ("prioritized", "delayed", "waiting-children", "completed", "failed")
STATES = LISTS + SETS
WAITING = ("wait", "paused", "prioritized")
"""The states of jobs that could run now."""
_NEWEST_FIRST = ("completed", "failed", "waiting-children")
_PRIORITY = 2**32
"""A priority's share of the scores of ``prioritized``."""
_MOST_PRIORITIES = 10


class QueueView:
    """The queue ``queue`` as it stands in Redis. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self.queue = queue
        self._link = link
        self._key_prefix = f"{prefix}:{queue}:"
        self._builders: Any = builders(prefix, queue, link.call)

    async def exists(self) -> bool:
        """Whether anything was ever put on a queue of this name."""
        return bool(await self._link.execute("EXISTS", *(self._key_prefix + name for name in ("meta", *STATES))))

    async def counts(self) -> dict[str, int]:
        """How many jobs there are in each state, by BullMQ's name of the state. Source: getCounts-1.lua."""
        return dict(zip(STATES, map(int, await self._builders.getCounts(STATES)), strict=True))

    async def settings(self) -> tuple[bool, int | None, int]:
        """Whether the queue is paused, its global concurrency, and for how many ms it still rests."""
        (paused, concurrency), rests = await asyncio.gather(
            self._link.execute("HMGET", f"{self._key_prefix}meta", "paused", "concurrency"),
            self._link.execute("PTTL", f"{self._key_prefix}limiter"),
        )
        return paused is not None, stored_number(concurrency), max(int(rests), 0)

    async def finish_rates(self, now: int) -> tuple[int, int]:
        """How many jobs a minute were completed, and failed, of late; ``now`` in epoch ms.

        The higher of what BullMQ's metrics tell, where the workers write them, and what retention has kept.
        """
        done, failed = await asyncio.gather(*(self._finish_rate(state, now) for state in _FINISHED))
        return done, failed

    async def oldest_waiting(self) -> int | None:
        """When the job was added (epoch ms) that has waited longest of those next in line; None if none waits.

        Looked at are the next job of each list and the next one of each priority, of the first ten priorities.
        """
        ids = [*await self._next_in_lists(), *await self._next_of_priorities()]
        stamps = await asyncio.gather(*(self._added(job_id) for job_id in ids))
        return min((stamp for stamp in stamps if stamp is not None), default=None)

    async def ids(self, state: str, offset: int, limit: int) -> list[bytes]:
        """``limit`` ids of a state from ``offset`` on: the next to run first, of finished ones the newest."""
        key, last = self._key_prefix + state, offset + limit - 1
        if state in LISTS:
            tail: list[bytes] = await self._link.execute("LRANGE", key, -last - 1, -offset - 1)
            return tail[::-1]
        command = "ZREVRANGE" if state in _NEWEST_FIRST else "ZRANGE"
        found: list[bytes] = await self._link.execute(command, key, offset, last)
        return found

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """Replace the stored data of a job, unchecked: as a broken producer would, to try what comes of it."""
        await self._link.execute("HSET", self._key_prefix + job_id, "data", data)

    async def _finish_rate(self, state: str, now: int) -> int:
        key, metrics = self._key_prefix + state, f"{self._key_prefix}metrics:{state}"
        recent, oldest, counter, before = await asyncio.gather(
            self._link.execute("ZCOUNT", key, now - _MINUTE, "+inf"),
            self._link.execute("ZRANGE", key, 0, 0, "WITHSCORES"),
            self._link.execute("HMGET", metrics, "count", "prevTS", "prevCount"),
            self._link.execute("LINDEX", f"{metrics}:data", 0),
        )
        kept = _rate_of_kept(int(recent), float(oldest[1]) if oldest else 0.0, now)
        return max(
            kept,
            _rate_of_metrics([stored_number(value) or 0 for value in counter], stored_number(before) or 0, now),
        )

    async def _next_in_lists(self) -> list[bytes]:
        found = await asyncio.gather(
            *(self._link.execute("LINDEX", self._key_prefix + name, -1) for name in ("wait", "paused"))
        )
        return [job_id for job_id in found if job_id is not None]

    async def _next_of_priorities(self) -> list[bytes]:
        found: list[bytes] = []
        lowest = "-inf"
        for _ in range(_MOST_PRIORITIES):
            page = await self._link.execute(
                "ZRANGEBYSCORE", f"{self._key_prefix}prioritized", lowest, "+inf", "WITHSCORES", "LIMIT", 0, 1
            )
            if not page:
                break
            found.append(page[0])
            score = stored_number(page[1])
            if score is None:
                break
            lowest = str((score // _PRIORITY + 1) * _PRIORITY)
        return found

    async def _added(self, job_id: bytes) -> int | None:
        stamp = await self._link.execute("HGET", self._key_prefix.encode() + job_id, "timestamp")
        return stored_number(stamp)


def _rate_of_kept(recent: int, oldest: float, now: int) -> int:
    """Where retention keeps less than a minute of many jobs, as many a minute as they are in their time."""
    since = max(oldest, now - _MINUTE) if recent >= _MANY else now - _MINUTE
    return round(recent * _MINUTE / max(now - since, 1000))


def _rate_of_metrics(counter: list[int], before: int, now: int) -> int:
    """Over this minute so far and the whole one before it. Source: collectMetrics in moveToFinished-14.lua.

    ``prevTS`` is the first job of a minute, ``prevCount`` the count before it, ``before`` the minute before that.
    """
    count, begun, count_before = counter
    ago, elapsed = now // _MINUTE - begun // _MINUTE, now % _MINUTE
    if not begun or ago > 1:
        return 0
    jobs = count - count_before + (before if ago < 1 else 0)
    return round(jobs * _MINUTE / (_MINUTE + elapsed))


_FINISHED = ("completed", "failed")
_MINUTE = 60_000
_MANY = 100
"""From so many on, what is kept of less than a minute makes a rate."""
