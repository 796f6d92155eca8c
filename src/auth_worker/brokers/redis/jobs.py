"""Reads the jobs of one queue, as rows of a list or one of them in full."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from auth_worker.brokers.redis.decode import DEAD_LETTER_FIELD, RawJob
from auth_worker.brokers.redis.scripts.loader import builders, script
from auth_worker.brokers.redis.text_codec import shown_text, stored_bytes
from auth_worker.brokers.redis.wire.batch import execute_all
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.coercion import stored_number
from auth_worker.core.keys import key_prefix
from auth_worker.core.names import RESERVED_IDS
from auth_worker.core.ports.values import LargeField, StoredChildren, StoredJob, StoredKind

ROW_FIELDS = (
    *("name", "timestamp", "delay", "priority", "atm", "stc", "opts", "processedOn", "finishedOn"),
    *("failedReason", "pb", "parentKey", DEAD_LETTER_FIELD),
)
"""The fields of a row in a list. The data, which may be large, is not one of them."""
FILTER_FIELDS = ("name", "timestamp", "opts", "finishedOn", "failedReason", "pb")
"""Those that a filter looks at, beside large ones."""
_STATE_KEYS = ("completed", "failed", "delayed", "active", "wait", "paused", "waiting-children", "prioritized")
_FIELD_OF: dict[LargeField, str] = {"data": "data", "return_value": "returnvalue"}
_SOME = 20
_OF_JOBS_ALONE = ("timestamp", "delay", "atm")
"""Fields that no other hash of a queue (its meta, its metrics, its schedulers) has."""
LARGEST_FIELD = 16 * 1024 * 1024
"""A longer field is not read; its length is shown instead."""
LONGEST_TRACE = 64 * 1024
"""The longest stack trace (bytes) in a row of a list."""


class JobView:
    """Reads the jobs of ``queue``: a ``JobReader``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self.queue = queue
        self._link = link
        self._key_prefix = key_prefix(prefix, queue).encode()
        self._scripts: Any = builders(prefix, queue, link.call)

    async def rows(
        self, ids: Sequence[str], large: Collection[LargeField] = (), *, brief: bool = False
    ) -> list[StoredJob | None]:
        """As in ``JobReader``. A stack trace of more than ``LONGEST_TRACE`` bytes is left out.

        Raises ``BrokerError``.
        """
        small = FILTER_FIELDS if brief else ROW_FIELDS
        fields = (*small, *(_FIELD_OF[field] for field in large if field in _FIELD_OF))
        names = [field.encode() for field in fields]
        keys = [self._key(job_id) for job_id in ids]
        found = await execute_all(self._link, [("HMGET", key, *fields) for key in keys])
        sized = [] if brief else keys
        lengths = await execute_all(self._link, [("HSTRLEN", key, "data") for key in sized]) or [0] * len(keys)
        raws = [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for values in found
        ]
        if "stacktrace" in large:
            await self._add_traces({key: raw for key, raw in zip(keys, raws, strict=True) if raw})
        return [
            stored_job(job_id, raw, length) if raw else None
            for job_id, raw, length in zip(ids, raws, lengths, strict=True)
        ]

    async def _add_traces(self, raws: Mapping[bytes, dict[bytes, bytes]]) -> None:
        """Add the stack trace to each of these jobs, by key, unless it is too long."""
        lengths = await execute_all(self._link, [("HSTRLEN", key, "stacktrace") for key in raws])
        short = [key for key, length in zip(raws, lengths, strict=True) if length <= LONGEST_TRACE]
        traces = await execute_all(self._link, [("HGET", key, "stacktrace") for key in short])
        for key, trace in zip(short, traces, strict=True):
            raws[key][b"stacktrace"] = trace or b""

    async def due(self, job_id: str) -> int | None:
        """Return when a delayed job becomes ready (epoch ms). Raises ``BrokerError``."""
        score = await self._link.execute("ZSCORE", self._key_prefix + b"delayed", stored_bytes(job_id))
        due = stored_number(score)
        return None if due is None else due // 0x1000

    async def kind(self, job_id: str) -> StoredKind:
        """Return what is stored at the key of a job with this id. ``meta`` and ``1:lock`` exist, but are no jobs.

        A reserved id is ``other`` even if nothing is stored there, since the queue may create that key at any
        moment. Raises ``BrokerError``.
        """
        key = self._key(job_id)
        kind = await self._link.execute("TYPE", key)
        if kind != b"hash":
            return "none" if kind == b"none" and job_id not in RESERVED_IDS else "other"
        return "job" if any(await self._link.execute("HMGET", key, *_OF_JOBS_ALONE)) else "other"

    async def whole(self, job_id: str) -> StoredJob | None:
        """Return a job in full; None if there is none. Raises ``BrokerError``."""
        if await self.kind(job_id) != "job":
            return None
        key = self._key(job_id)
        names = await self._link.execute("HKEYS", key)
        lengths = await asyncio.gather(*(self._link.execute("HSTRLEN", key, name) for name in names))
        small = [name for name, length in zip(names, lengths, strict=True) if length <= LARGEST_FIELD]
        values = await self._link.execute("HMGET", key, *small) if small else []
        raw = {name: value for name, value in zip(small, values, strict=True) if value is not None}
        found = dict(zip(names, lengths, strict=True))
        large = {name: b'"<%d bytes, too many to show>"' % found[name] for name in found.keys() - set(small)}
        return stored_job(job_id, raw | large, found.get(b"data", 0)) if raw or large else None

    async def state(self, job_id: str) -> str:
        """Return the state of a job, ``unknown`` for none. Source: getStateV2-8.lua. Raises ``BrokerError``."""
        keys = self._scripts.getKeys(_STATE_KEYS)
        reply = await self._link.call(script("getStateV2"), keys, [job_id, self._scripts.toKey(job_id)])
        state = reply.decode() if isinstance(reply, bytes) else str(reply)
        return "wait" if state == "waiting" else state

    async def logs(self, job_id: str, limit: int) -> tuple[list[str], int]:
        """Return the last ``limit`` lines that a job has logged, and the number of all. Raises ``BrokerError``."""
        key = self._key(job_id) + b":logs"
        lines, count = await asyncio.gather(
            self._link.execute("LRANGE", key, -limit, -1) if limit else _nothing(),
            self._link.execute("LLEN", key),
        )
        return [shown_text(line) for line in lines], int(count)

    async def lock(self, job_id: str) -> tuple[str | None, int]:
        """Return the token that holds the job's lock, and how long (ms) it still does. Raises ``BrokerError``."""
        key = self._key(job_id) + b":lock"
        token, left = await asyncio.gather(self._link.execute("GET", key), self._link.execute("PTTL", key))
        return None if token is None else shown_text(token), max(int(left), 0)

    async def children(self, job_id: str, some: int = _SOME) -> StoredChildren:
        """Return the number of the job's children by kind, and the keys of ``some`` of each.

        Raises ``BrokerError``.
        """
        key = self._key(job_id)
        pending, processed, ignored, failed = await asyncio.gather(
            self._link.execute("SCARD", key + b":dependencies"),
            self._link.execute("HLEN", key + b":processed"),
            self._link.execute("HLEN", key + b":failed"),
            self._link.execute("ZCARD", key + b":unsuccessful"),
        )
        counts = (int(pending), int(processed), int(ignored), int(failed))
        keys = await self._some_children(key, some) if any(counts) else []
        return StoredChildren(*counts, [shown_text(child) for child in keys])

    def _key(self, job_id: str) -> bytes:
        return self._key_prefix + stored_bytes(job_id)

    async def _some_children(self, key: bytes, some: int) -> list[bytes]:
        pending, processed, ignored, failed = await asyncio.gather(
            self._link.execute("SSCAN", key + b":dependencies", 0, "COUNT", some),
            self._link.execute("HSCAN", key + b":processed", 0, "COUNT", some),
            self._link.execute("HSCAN", key + b":failed", 0, "COUNT", some),
            self._link.execute("ZRANGE", key + b":unsuccessful", 0, some - 1),
        )
        return [*pending[1][:some], *processed[1][::2][:some], *ignored[1][::2][:some], *failed]


def stored_job(job_id: str, raw: RawJob, data_bytes: int = 0) -> StoredJob:
    """Convert the fields of a job's hash to values, whoever wrote them."""

    def text(field: bytes) -> str | None:
        value = raw.get(field)
        return None if value is None else shown_text(value)

    def number(field: bytes) -> int | None:
        return stored_number(raw.get(field))

    return StoredJob(
        id=job_id,
        name=text(b"name") or "",
        timestamp=number(b"timestamp"),
        delay=number(b"delay"),
        priority=number(b"priority"),
        attempts_made=number(b"atm"),
        attempts_started=number(b"ats"),
        stalled=number(b"stc"),
        processed_on=number(b"processedOn"),
        finished_on=number(b"finishedOn"),
        failed_reason=text(b"failedReason"),
        worker=text(b"pb"),
        opts=text(b"opts"),
        data=text(b"data"),
        data_bytes=data_bytes,
        return_value=text(b"returnvalue"),
        progress=text(b"progress"),
        stacktrace=text(b"stacktrace"),
        parent=text(b"parentKey"),
        deferred_failure=text(b"defa"),
        deduplication_id=text(b"deid"),
        scheduler=text(b"rjk"),
        dead_letter=text(DEAD_LETTER_FIELD.encode()),
    )


async def _nothing() -> list[bytes]:
    return []
