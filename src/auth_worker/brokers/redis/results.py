"""Waits for the ends of the jobs of one queue. ``event_reader.py`` reads the events of all queues.

An event is a hint, the job's hash is the truth: it is read when a caller starts to wait, after the queue's events
are followed, and again whenever one may have been missed. A job that is already gone is searched for among the
events that are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set

from auth_worker.brokers.redis.decode import earlier_traces
from auth_worker.brokers.redis.event_reader import (
    CLOSED,
    PAGE,
    PAUSE_S,
    EventReader,
    EventReaders,
    Fields,
    event_readers,
)
from auth_worker.brokers.redis.text_codec import exact_text, stored_bytes
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.core.ports.producer import Ended
from auth_worker.errors import BrokerError, BrokerUnavailableError
from auth_worker.system.loops import discard_task

_FIELDS = ("finishedOn", "returnvalue", "failedReason")


class ResultWaits:
    """The callers that wait for jobs of one queue in one event loop: a ``Follower``.

    ``find_address`` says where the queue is. ``timeout`` (s) bounds connecting.
    """

    def __init__(self, find_address: Callable[[], Awaitable[Address]], key_prefix: str, timeout: float) -> None:
        self._find_address = find_address
        self._key_prefix = key_prefix.encode()
        self._events = self._key_prefix + b"events"
        self._timeout = timeout
        self._waiting: dict[str, asyncio.Future[Ended | None]] = {}
        self._users: dict[str, int] = {}
        self._readers: EventReaders | None = None
        self._reader: EventReader | None = None
        self._link: Link
        self._doubtful: set[str] = set()
        """The jobs to look at, since they may have ended."""
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_waiting(self) -> bool:
        """As in ``Follower``."""
        return bool(self._waiting)

    async def wait(self, link: Link, job_id: str) -> Ended | None:
        """Wait for the end of a job; None if there is no such job. ``link`` is used for reading it.

        Raises ``BrokerError`` if there is no connection at first, or when the queue is closed.
        """
        self._link = link
        future = self._waiting.get(job_id)
        if future is None:
            future = self._waiting[job_id] = asyncio.get_running_loop().create_future()
        self._users[job_id] = self._users.get(job_id, 0) + 1
        try:
            await (await self._attached()).follow(self._events, self, link, self._timeout)
            if not future.done():
                await self._look(link, [job_id])
            ended = await asyncio.shield(future)
            return ended if ended is None or ended.failure is None else await self._with_trace(link, job_id, ended)
        finally:
            self._users[job_id] -= 1
            if not self._users[job_id]:
                del self._users[job_id], self._waiting[job_id]

    def handle(self, events: Sequence[Fields]) -> None:
        """As in ``Follower``."""
        for fields in events:
            event = fields.get(b"event")
            if event == b"removed":
                self._look_soon([exact_text(fields.get(b"jobId", b""))])
            elif event == b"cleaned":  # it does not say which jobs
                self.missed()
            else:
                self._report(fields)

    def missed(self) -> None:
        """As in ``Follower``."""
        self._look_soon(self._waiting)

    async def close(self) -> None:
        """End the waits: their callers get an error that the queue was closed."""
        self._is_closed = True
        try:
            if self._looking is not None:
                self._looking.cancel()
                await asyncio.wait({self._looking})
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(BrokerUnavailableError(CLOSED))
                    future.exception()  # whoever waited may be gone
            reader, self._reader = self._reader, None
            if reader is not None and self._readers is not None:
                await self._readers.detach(reader, self)

    def discard(self) -> None:
        """Release everything without the event loop."""
        discard_task(self._looking)
        if self._reader is not None and self._readers is not None:
            self._readers.abandon(self._reader, self)

    async def _attached(self) -> EventReader:
        if self._reader is None:
            address = await self._find_address()
            if self._is_closed:
                raise BrokerUnavailableError(CLOSED)
            if self._reader is None:
                self._readers = event_readers.get()
                self._reader = self._readers.attach(address, self)
        return self._reader

    async def _with_trace(self, link: Link, job_id: str, ended: Ended) -> Ended:
        try:
            traces = await link.execute("HGET", self._key_prefix + stored_bytes(job_id), "stacktrace")
        except BrokerError:
            return ended
        found = earlier_traces({b"stacktrace": traces} if traces else {})
        return ended._replace(trace=found[-1] if found else None)

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

    def _look_soon(self, job_ids: Iterable[str]) -> None:
        self._doubtful.update(filter(self._is_awaited, job_ids))
        if self._doubtful and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look_at_doubtful(), name="results look")

    async def _look_at_doubtful(self) -> None:
        while job_ids := [job_id for job_id in self._doubtful if self._is_awaited(job_id)]:
            self._doubtful.clear()
            try:
                await self._link.wait_up()
                await self._look(self._link, job_ids)
            except BrokerError:
                self._doubtful.update(job_ids)
                await asyncio.sleep(PAUSE_S)

    async def _look(self, link: Link, job_ids: Sequence[str]) -> None:
        gone = await asyncio.gather(*(self._is_gone(link, job_id) for job_id in job_ids))
        if any(gone):
            await self._search(link, {job_id for job_id, is_gone in zip(job_ids, gone, strict=True) if is_gone})

    async def _is_gone(self, link: Link, job_id: str) -> bool:
        """Report how a job has ended, if it has. Returns whether it is gone."""
        key = self._key_prefix + stored_bytes(job_id)
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
                fields = pairs_of(flat)
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
