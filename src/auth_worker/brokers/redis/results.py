"""Waits for the ends of jobs, with one reader of the queue's events for all callers.

An event is a hint, the job's hash is the truth: it is read when a caller starts to wait, after the reader has
taken its place in the stream, and again whenever an event may have been missed. A job that is already gone is
searched for among the events that are left.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence, Set
from typing import Any

from auth_worker.brokers.redis.decode import earlier_traces
from auth_worker.brokers.redis.texts import exact_text, stored_bytes
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.ports.producer import Ended
from auth_worker.errors import BrokerError
from auth_worker.system.loops import discard_task

BLOCK_S = 5.0
PAGE = 1000
LOOK_AGAIN_S = 30.0
PAUSE_S = 0.2
_FIELDS = ("finishedOn", "returnvalue", "failedReason")
Fields = dict[bytes, bytes]


class ResultReader:
    """The callers that wait for jobs of one queue in one event loop. ``open_link`` connects; the link blocks."""

    def __init__(self, open_link: Callable[[], Coroutine[Any, Any, Link]], key_prefix: str) -> None:
        self._open_link = open_link
        self._key_prefix = key_prefix
        self._events = f"{key_prefix}events"
        self._waiting: dict[str, asyncio.Future[Ended | None]] = {}
        self._users: dict[str, int] = {}
        self._opening: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._last: bytes | str = "0-0"
        self._looked = 0.0

    async def wait(self, link: Link, job_id: str) -> Ended | None:
        """Wait for the end of a job; None if there is no such job. ``link`` is used for reading it.

        Raises ``BrokerError`` if there is no connection at first.
        """
        if self._opening is None or (self._opening.done() and self._link is None):
            self._opening = asyncio.get_running_loop().create_task(self._open(link))
        await asyncio.shield(self._opening)
        future = self._waiting.get(job_id)
        if future is None:
            future = self._waiting[job_id] = asyncio.get_running_loop().create_future()
        self._users[job_id] = self._users.get(job_id, 0) + 1
        try:
            if not future.done():
                await self._look(link, [job_id])
            ended = await asyncio.shield(future)
            return ended if ended is None or ended.failure is None else await self._with_trace(link, job_id, ended)
        finally:
            self._users[job_id] -= 1
            if not self._users[job_id]:
                del self._users[job_id], self._waiting[job_id]

    async def _with_trace(self, link: Link, job_id: str, ended: Ended) -> Ended:
        try:
            traces = await link.execute("HGET", self._key_prefix.encode() + stored_bytes(job_id), "stacktrace")
        except BrokerError:
            return ended
        found = earlier_traces({b"stacktrace": traces} if traces else {})
        return ended._replace(trace=found[-1] if found else None)

    async def close(self) -> None:
        """Disconnect. Callers that still wait get an error that the connection ended."""
        try:
            for task in (self._opening, self._reading):
                if task is not None:
                    task.cancel()
                    await asyncio.wait({task})
        finally:
            if self._link is not None:
                await self._link.stop()
            for future in self._waiting.values():
                if not future.done():
                    future.cancel()

    def discard(self) -> None:
        """Release the connection without the event loop."""
        discard_task(self._opening)
        discard_task(self._reading)
        if self._link is not None:
            self._link.discard()

    async def _open(self, asking: Link) -> None:
        link = await self._open_link()
        self._link = link
        self._last = await self._newest(link)
        self._looked = time.monotonic()
        self._reading = asyncio.get_running_loop().create_task(self._read(link, asking), name="results")

    async def _newest(self, link: Link) -> bytes | str:
        newest = await link.execute("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        return newest[0][0] if newest else "0-0"

    async def _read(self, link: Link, asking: Link) -> None:
        is_behind = False
        while True:
            await link.wait_up()
            try:
                block = round(BLOCK_S * 1000)
                read = await link.execute(
                    "XREAD", "COUNT", PAGE, "BLOCK", block, "STREAMS", self._events, self._last
                )
                entries = read[0][1] if read else ()
                removed = []
                for self._last, flat in entries:
                    fields = dict(zip(flat[::2], flat[1::2], strict=True))
                    if not self._report(fields) and fields.get(b"event") == b"removed":
                        removed.append(exact_text(fields.get(b"jobId", b"")))
                if awaited := [job_id for job_id in removed if self._is_awaited(job_id)]:
                    await self._look(asking, awaited)
                was_behind, is_behind = is_behind, len(entries) == PAGE
                if (was_behind and not is_behind) or time.monotonic() - self._looked > LOOK_AGAIN_S:
                    await self._look_at_all(asking)  # once it has caught up: to look at each page costs the square
            except BrokerError:
                await asyncio.sleep(PAUSE_S)
                with contextlib.suppress(BrokerError):
                    await asyncio.gather(link.wait_up(), asking.wait_up())
                    self._last = await self._newest(link)  # after a restart its ids may be lower
                    await self._look_at_all(asking)

    def _report(self, fields: Fields) -> bool:
        """Report the event to the callers that wait for the job. Returns whether it is the job's end."""
        event = fields.get(b"event")
        if event not in (b"completed", b"failed"):
            return False
        job_id = exact_text(fields.get(b"jobId", b""))
        if job_id in self._waiting:
            self._resolve(job_id, _ended(fields, is_completed=event == b"completed"))
        return True

    def _is_awaited(self, job_id: str) -> bool:
        future = self._waiting.get(job_id)
        return future is not None and not future.done()

    async def _look_at_all(self, asking: Link) -> None:
        self._looked = time.monotonic()
        await self._look(asking, list(filter(self._is_awaited, self._waiting)))

    async def _look(self, link: Link, job_ids: Sequence[str]) -> None:
        gone = await asyncio.gather(*(self._is_gone(link, job_id) for job_id in job_ids))
        if any(gone):
            await self._search(link, {job_id for job_id, is_gone in zip(job_ids, gone, strict=True) if is_gone})

    async def _is_gone(self, link: Link, job_id: str) -> bool:
        """Report how a job has ended, if it has. Returns whether it is gone."""
        key = self._key_prefix.encode() + stored_bytes(job_id)
        finished, value, reason = await link.execute("HMGET", key, *_FIELDS)
        if finished is None:
            return not await link.execute("EXISTS", key)
        fields = {b"returnvalue": value or b"null", b"failedReason": reason or b""}
        self._resolve(job_id, _ended(fields, is_completed=reason is None or value is not None))
        return False

    async def _search(self, link: Link, gone: Set[str]) -> None:
        """Search for the ends of jobs that are gone among the events that are left, the newest first."""
        wanted = {stored_bytes(job_id) for job_id in gone}
        before: bytes | str = "+"
        while wanted and (entries := await link.execute("XREVRANGE", self._events, before, "-", "COUNT", PAGE)):
            for _, flat in entries:
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                if (job_id := fields.get(b"jobId")) in wanted and self._report(fields):
                    wanted.discard(job_id)
            if len(entries) < PAGE:
                break
            before = b"(" + entries[-1][0]
        for each in gone:
            self._resolve(each, None)

    def _resolve(self, job_id: str, ended: Ended | None) -> None:
        if self._is_awaited(job_id):
            self._waiting[job_id].set_result(ended)


def _ended(fields: Fields, *, is_completed: bool) -> Ended:
    if is_completed:
        return Ended(fields.get(b"returnvalue", b"null").decode(errors="replace"), None)
    return Ended("", fields.get(b"failedReason", b"").decode(errors="replace"))
