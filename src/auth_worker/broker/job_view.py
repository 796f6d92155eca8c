"""JobView: reads the jobs of one queue, as rows of a list or one of them whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import builders, script
from auth_worker.coercion import stored_number
from auth_worker.dead_letter import MARK
from auth_worker.names import RESERVED_IDS
from auth_worker.payload import RawJob

ROW_FIELDS = (
    *("name", "timestamp", "delay", "priority", "atm", "stc", "opts", "processedOn", "finishedOn"),
    *("failedReason", "pb", MARK),
)
"""What a row of a list needs; the data, which may be large, is not among it."""
_STATE_KEYS = ("completed", "failed", "delayed", "active", "wait", "paused", "waiting-children", "prioritized")
_SOME = 20
_OF_JOBS_ALONE = ("timestamp", "delay", "atm")
"""What no other hash of a queue (its meta, its metrics, its schedulers) has."""
LARGEST_FIELD = 16 * 1024 * 1024
"""A longer field is not read: its length is told in its place."""


class Flow(NamedTuple):
    """A parent's children: pending, processed, failed but ignored, failed; and the keys of some."""

    counts: tuple[int, int, int, int]
    keys: list[bytes]


class JobView:
    """The jobs of the queue ``queue``. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self.queue = queue
        self._link = link
        self._key_prefix = f"{prefix}:{queue}:".encode()
        self._builders: Any = builders(prefix, queue, link.call)

    async def rows(self, ids: Sequence[bytes], more: Sequence[str] = ()) -> list[RawJob]:
        """The row fields of each job, and those of ``more``; {} for an id without a job.

        The field ``bytes`` of the answer is the length of the data, the field ``due`` the score among the delayed.
        """
        fields = (*ROW_FIELDS, *more)
        names = [field.encode() for field in fields]

        async def one(job_id: bytes) -> RawJob:
            key = self._key_prefix + job_id
            values, length = await asyncio.gather(
                self._link.execute("HMGET", key, *fields), self._link.execute("HSTRLEN", key, "data")
            )
            raw = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            return raw | {b"bytes": b"%d" % length} if raw else {}

        return list(await asyncio.gather(*(one(job_id) for job_id in ids)))

    async def due(self, job_id: str) -> int | None:
        """When a delayed job becomes ready (epoch ms)."""
        score = await self._link.execute("ZSCORE", self._key_prefix + b"delayed", job_id)
        due = stored_number(score)
        return None if due is None else due // 0x1000

    async def kind(self, job_id: str) -> Literal["job", "other", "none"]:
        """What stands at the key a job of this id has: ``meta`` and ``1:lock`` are no jobs, but are there.

        A reserved id is ``other`` also while nothing is there: the queue may make that key at any moment.
        """
        key = self._key_prefix + job_id.encode()
        kind = await self._link.execute("TYPE", key)
        if kind != b"hash":
            return "none" if kind == b"none" and job_id not in RESERVED_IDS else "other"
        return "job" if any(await self._link.execute("HMGET", key, *_OF_JOBS_ALONE)) else "other"

    async def whole(self, job_id: str) -> RawJob:
        """All fields of a job, and ``bytes`` as in ``rows``; {} if there is none."""
        if await self.kind(job_id) != "job":
            return {}
        key = self._key_prefix + job_id.encode()
        names = await self._link.execute("HKEYS", key)
        lengths = await asyncio.gather(*(self._link.execute("HSTRLEN", key, name) for name in names))
        small = [name for name, length in zip(names, lengths, strict=True) if length <= LARGEST_FIELD]
        values = await self._link.execute("HMGET", key, *small) if small else []
        raw = {name: value for name, value in zip(small, values, strict=True) if value is not None}
        found = dict(zip(names, lengths, strict=True))
        large = {name: b'"<%d bytes, too many to show>"' % found[name] for name in found.keys() - set(small)}
        return raw | large | {b"bytes": b"%d" % found.get(b"data", 0)}

    async def state(self, job_id: str) -> str:
        """The state a job is in, ``unknown`` if in none. Source: getStateV2-8.lua."""
        keys = self._builders.getKeys(_STATE_KEYS)
        reply = await self._link.call(script("getStateV2"), keys, [job_id, self._builders.toKey(job_id)])
        state = reply.decode() if isinstance(reply, bytes) else str(reply)
        return "wait" if state == "waiting" else state

    async def finished_as(self, job_id: str) -> str | None:
        """``completed`` or ``failed``; None for a job that has not finished."""
        scores = await asyncio.gather(
            *(self._link.execute("ZSCORE", self._key_prefix + name.encode(), job_id) for name in _STATE_KEYS[:2])
        )
        return next((name for name, score in zip(_STATE_KEYS, scores, strict=False) if score is not None), None)

    async def logs(self, job_id: str, limit: int) -> tuple[list[bytes], int]:
        """The last ``limit`` lines a job has logged, and how many there are."""
        key = self._key_prefix + job_id.encode() + b":logs"
        lines, count = await asyncio.gather(
            self._link.execute("LRANGE", key, -limit, -1) if limit else _nothing(),
            self._link.execute("LLEN", key),
        )
        return lines, int(count)

    async def lock(self, job_id: str) -> tuple[bytes | None, int]:
        """The token that holds the job's lock, and for how many ms still."""
        key = self._key_prefix + job_id.encode() + b":lock"
        token, rest = await asyncio.gather(self._link.execute("GET", key), self._link.execute("PTTL", key))
        return token, max(int(rest), 0)

    async def flow(self, job_id: str) -> Flow:
        """The job's children."""
        key = self._key_prefix + job_id.encode()
        pending, processed, ignored, failed = await asyncio.gather(
            self._link.execute("SCARD", key + b":dependencies"),
            self._link.execute("HLEN", key + b":processed"),
            self._link.execute("HLEN", key + b":failed"),
            self._link.execute("ZCARD", key + b":unsuccessful"),
        )
        counts = (int(pending), int(processed), int(ignored), int(failed))
        return Flow(counts, await self._some_children(key) if any(counts) else [])

    async def _some_children(self, key: bytes) -> list[bytes]:
        pending, processed, ignored, failed = await asyncio.gather(
            self._link.execute("SSCAN", key + b":dependencies", 0, "COUNT", _SOME),
            self._link.execute("HSCAN", key + b":processed", 0, "COUNT", _SOME),
            self._link.execute("HSCAN", key + b":failed", 0, "COUNT", _SOME),
            self._link.execute("ZRANGE", key + b":unsuccessful", 0, _SOME - 1),
        )
        return [*pending[1][:_SOME], *processed[1][::2][:_SOME], *ignored[1][::2][:_SOME], *failed]


async def _nothing() -> list[bytes]:
    return []
