"""Reads what the overview shows of a queue, in few commands: what is empty is not asked about further.

A script would cost Redis more than its commands do.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from auth_worker.brokers.redis.wire.batch import execute_all
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.coercion import stored_number
from auth_worker.core.dead_letter import is_dead_letter_id
from auth_worker.core.ports.values import STATES, QueueSettings, QueueSummary

LISTS = ("wait", "paused", "active")
FINISHED = ("completed", "failed")
PRIORITY = 2**32
"""A priority's share of the scores of ``prioritized``."""
_MOST_PRIORITIES = 10
_MINUTE = 60_000
_MANY = 100
"""How many jobs retention must keep of less than a minute to compute a rate."""
_MARKER = b"0:"
"""What begins the marker that BullMQ before 5 left at the end of a list. It is no job."""


class _Ends(NamedTuple):
    """The newest job of a list, the next one, and the size without a marker."""

    newest: bytes | None
    next: bytes | None
    size: int


async def read_summary(link: Link, key_prefix: str, now: int) -> QueueSummary:
    """Return the summary of the queue under ``key_prefix`` at ``now`` (epoch ms). Raises ``BrokerError``."""
    *sizes, meta, limited, done, failed = await execute_all(
        link,
        [
            *(("LLEN" if state in LISTS else "ZCARD", key_prefix + state) for state in STATES),
            ("HMGET", f"{key_prefix}meta", "paused", "concurrency", "max", "duration"),
            ("PTTL", f"{key_prefix}limiter"),
            *(("HMGET", f"{key_prefix}metrics:{state}", "count", "prevTS", "prevCount") for state in FINISHED),
        ],
    )
    counts = dict(zip(STATES, map(int, sizes), strict=True))
    wait, paused, priorities, done_rate, failed_rate = await asyncio.gather(
        _ends(link, f"{key_prefix}wait", counts["wait"]),
        _ends(link, f"{key_prefix}paused", counts["paused"]),
        next_of_priorities(link, key_prefix) if counts["prioritized"] else _nothing(),
        _finish_rate(link, key_prefix, "completed", counts["completed"], done, now),
        _finish_rate(link, key_prefix, "failed", counts["failed"], failed, now),
    )
    ids = [each for each in (wait.next, paused.next, *priorities) if each is not None]
    stamps = await execute_all(link, [("HGET", key_prefix.encode() + each, "timestamp") for each in ids])
    return QueueSummary(
        counts={**counts, "wait": wait.size, "paused": paused.size},
        settings=settings_of(meta, limited),
        oldest_waiting=min((at for at in map(stored_number, stamps) if at is not None), default=None),
        done_per_minute=done_rate,
        failed_per_minute=failed_rate,
        dead_letters=wait.size if any(map(_is_letter, (wait.newest, wait.next))) else 0,
    )


def settings_of(meta: list[bytes | None], limited: int) -> QueueSettings:
    """Return the settings in these fields of the ``meta`` of a queue that is limited for so long (ms)."""
    paused, concurrency, *rate = meta
    most, duration = map(stored_number, rate)
    rate_limit = None if most is None or duration is None else (most, duration)
    return QueueSettings(paused is not None, stored_number(concurrency), max(int(limited), 0), rate_limit)


async def next_of_priorities(link: Link, key_prefix: str) -> list[bytes]:
    """Return the next job of each of the first priorities. Raises ``BrokerError``."""
    found: list[bytes] = []
    lowest = "-inf"
    for _ in range(_MOST_PRIORITIES):
        page = await link.execute(
            "ZRANGEBYSCORE", f"{key_prefix}prioritized", lowest, "+inf", "WITHSCORES", "LIMIT", 0, 1
        )
        if not page:
            break
        found.append(page[0])
        score = stored_number(page[1])
        if score is None:
            break
        lowest = str((score // PRIORITY + 1) * PRIORITY)
    return found


async def _ends(link: Link, key: str, count: int) -> _Ends:
    if not count:
        return _Ends(None, None, 0)
    newest, last = await execute_all(link, [("LINDEX", key, 0), ("LINDEX", key, -1)])
    if last is not None and last.startswith(_MARKER):
        last = await link.execute("LINDEX", key, -2)
        count -= 1
    return _Ends(newest, last, count)


async def _finish_rate(
    link: Link, key_prefix: str, state: str, count: int, counter: list[bytes | None], now: int
) -> int:
    """Return how many jobs a minute ended in this state lately, as ``QueueSummary`` has it."""
    kept, measured = 0, 0
    if count:
        recent = int(await link.execute("ZCOUNT", key_prefix + state, now - _MINUTE, "+inf"))
        oldest: list[bytes] = []
        if recent >= _MANY:
            oldest = await link.execute("ZRANGE", key_prefix + state, 0, 0, "WITHSCORES")
        kept = _rate_of_kept(recent, float(oldest[1]) if oldest else 0.0, now)
    numbers = [stored_number(value) or 0 for value in counter]
    if numbers[1] and now // _MINUTE - numbers[1] // _MINUTE <= 1:
        before = await link.execute("LINDEX", f"{key_prefix}metrics:{state}:data", 0)
        measured = _rate_of_metrics(numbers, stored_number(before) or 0, now)
    return max(kept, measured)


def _rate_of_kept(recent: int, oldest: float, now: int) -> int:
    """Return the rate a minute of the retained jobs, if they are many and span less than a minute."""
    since = max(oldest, now - _MINUTE) if recent >= _MANY else now - _MINUTE
    return round(recent * _MINUTE / max(now - since, 1000))


def _rate_of_metrics(counter: list[int], before: int, now: int) -> int:
    """Return the rate of this minute so far and the one before. Source: collectMetrics in moveToFinished-14.lua.

    ``prevTS`` is the first job of a minute, ``prevCount`` the count before it, ``before`` the minute before that.
    """
    count, begun, count_before = counter
    ago, elapsed = now // _MINUTE - begun // _MINUTE, now % _MINUTE
    if not begun or ago > 1:
        return 0
    jobs = count - count_before + (before if ago < 1 else 0)
    return round(jobs * _MINUTE / (_MINUTE + elapsed))


def _is_letter(job_id: bytes | None) -> bool:
    return job_id is not None and is_dead_letter_id(job_id.decode(errors="replace"))


async def _nothing() -> list[Any]:
    return []
