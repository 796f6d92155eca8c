"""Reads the queues once for all open pages, and notifies the pages which have changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from auth_worker.admin.batches import read_each
from auth_worker.admin.dead_letter_summaries import SinceDeploy, count_since_deploy
from auth_worker.admin.error_groups import SharedErrorGroups, shared_groups
from auth_worker.admin.models import Diagnosis, QueueList, QueueOverview
from auth_worker.admin.selection import ALL
from auth_worker.admin.workers import WorkerList
from auth_worker.core.error_text import error_text
from auth_worker.core.history import SPANS
from auth_worker.errors import BrokerError
from auth_worker.http.caching import TimedCache
from auth_worker.http.dashboard.host import Host

INTERVAL_S = 2.0
SHARE = 20
"""Reading takes at most 1/20 of the time."""
DIAGNOSIS_S = 60.0
DIAGNOSIS_WAIT_S = 0.5
"""How long (s) a page waits for a diagnosis before it is shown without one."""
LIFETIME_S = 2.0
"""How long (s) the pages share a reading. Those that load anew since a queue has changed share what showed it."""
ERRORS_S = 10.0
HOUR_S = 20.0
MOST_FAILED, LEAST_FAILED = 1000, 10
"""How many failed jobs are grouped in all, and at least of each queue, those with the most failures first."""
MOST_UNREAD = 30
"""How many changes may wait for a page that does not read them. Then the oldest is dropped."""
MOST_OPEN = 4
"""How many pages of a browser may watch. It has six connections to a host, over HTTP/1.1, for all its windows."""
SILENCE_S = 10.0
"""After how long (s) without a read the pages are told so, lest they or a proxy take the connection for dead."""


class Changes(NamedTuple):
    """The names of the queues that changed between two reads, or the ``trouble`` why they could not be read."""

    queues: list[str]
    trouble: str = ""


class Hour(NamedTuple):
    """How many jobs of a queue were ``done`` and ``failed`` in each minute of the last hour."""

    done: list[int]
    failed: list[int]


class Sampler:
    """Reads what the pages of ``host`` show, and keeps it for a moment. Belongs to one event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._overview = TimedCache(self._look, LIFETIME_S)
        self._workers = TimedCache(self._find_workers, LIFETIME_S)
        self._diagnosis = TimedCache(self._examine, DIAGNOSIS_S)
        self._hours: dict[str, tuple[float, Hour]] = {}
        self._errors = TimedCache(self._group_errors, ERRORS_S)
        self._since_deploy = TimedCache(self._count_since_deploy, HOUR_S)
        self._examining: asyncio.Task[Diagnosis] | None = None
        self._watchers: dict[asyncio.Queue[Changes], str] = {}
        self._trouble = ""
        self._watching: asyncio.Task[None] | None = None

    async def overview(self) -> QueueList:
        """Return every queue, at most ``LIFETIME_S`` old. Raises ``BrokerError``."""
        return await self._overview.get()

    def forget(self) -> None:
        """Read everything anew next time but the diagnosis, since something was changed on a page."""
        for kept in (self._overview, self._workers, self._errors):
            kept.forget()

    async def workers(self) -> WorkerList:
        """Return all workers, as they were at most ``LIFETIME_S`` ago. Raises ``BrokerError``."""
        return await self._workers.get()

    async def errors(self) -> SharedErrorGroups:
        """Return the failures of all queues by group, at most ``ERRORS_S`` old. Raises ``BrokerError``."""
        return await self._errors.get()

    async def since_deploy(self) -> SinceDeploy | None:
        """Return which dead letters came since the last deploy, at most ``HOUR_S`` old. Raises ``BrokerError``."""
        return await self._since_deploy.get()

    async def last_hour(self, names: Sequence[str]) -> dict[str, Hour]:
        """Return how many jobs of these queues ended in each minute of the last hour, at most ``HOUR_S`` old.

        May raise ``BrokerError``.
        """
        now = time.monotonic()
        self._hours = {name: known for name, known in self._hours.items() if now - known[0] < HOUR_S}
        missing = [name for name in names if name not in self._hours]
        history = (await self._host.operations()).history
        found = await asyncio.gather(*(history.read(name, SPANS["hour"]) for name in missing))
        for name, buckets in zip(missing, found, strict=True):
            self._hours[name] = (
                now,
                Hour([bucket.done for bucket in buckets], [bucket.failed for bucket in buckets]),
            )
        return {name: self._hours[name][1] for name in names}

    async def diagnosis(self) -> Diagnosis | None:
        """Return what the doctor found within the last minute; None while it examines, or if it failed."""
        if self._examining is None or self._examining.done():
            self._examining = asyncio.create_task(self._diagnosis.get())
        examining = self._examining  # another request may begin the next one meanwhile
        done, _ = await asyncio.wait({examining}, timeout=DIAGNOSIS_WAIT_S)
        if not done or examining.exception() is not None:
            return None
        return examining.result()

    def may_watch(self, browser: str) -> bool:
        """Whether another page of this browser, named by its cookie, may watch."""
        return list(self._watchers.values()).count(browser) < MOST_OPEN

    async def changes(self, browser: str) -> AsyncGenerator[Changes]:
        """Yield what has changed at each read to a page of ``browser``, without end.

        It begins with an empty change, and another one comes after each ``SILENCE_S`` without a read.
        """
        own: asyncio.Queue[Changes] = asyncio.Queue(MOST_UNREAD)
        self._watchers[own] = browser
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="dashboard sampler")
        try:
            yield Changes([])
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        found = await own.get()
                except TimeoutError:
                    found = Changes([], self._trouble)
                yield found
        finally:
            del self._watchers[own]
            if not self._watchers and self._watching is not None:
                self._watching.cancel()
                self._watching = None  # a page that opens before it has ended starts another one

    async def stop(self) -> None:
        """Stop the background reads."""
        for task in (self._examining, self._watching):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, BrokerError):
                    await task

    async def _look(self) -> QueueList:
        return await (await self._host.operations()).queues.overview()

    async def _examine(self) -> Diagnosis:
        return await (await self._host.operations()).doctor.examine()

    async def _count_since_deploy(self) -> SinceDeploy | None:
        operations = await self._host.operations()
        dead = [queue.name for queue in (await self.overview()).queues if queue.dead_letters_of]
        return await count_since_deploy(operations.broker, await operations.history.versions(), dead)

    async def _group_errors(self) -> SharedErrorGroups:
        operations = await self._host.operations()
        found = {queue.name: queue.counts["failed"] for queue in (await self.overview()).queues}
        failing = sorted((name for name in found if found[name]), key=lambda name: -found[name])
        looked_at = failing[: MOST_FAILED // LEAST_FAILED]
        scan = MOST_FAILED // max(len(looked_at), 1)
        found_in = await read_each(looked_at, lambda name: operations.jobs.error_groups(name, ALL, scan))
        groups = shared_groups(found_in)
        return groups.model_copy(update={"total": sum(found.values())})

    async def _find_workers(self) -> WorkerList:
        return await (await self._host.operations()).workers.find()

    async def _watch(self) -> None:
        before: dict[str, QueueOverview] | None = None
        while True:
            began = time.monotonic()
            self._overview.forget()
            try:
                now = {queue.name: _lasting(queue) for queue in (await self.overview()).queues}
                known = now if before is None else before
                changed = sorted(name for name in now.keys() | known.keys() if now.get(name) != known.get(name))
                news, before = Changes(changed), now
            except BrokerError as error:
                news = Changes([], error_text(error, own_words=True))
            self._trouble = news.trouble
            for watcher in self._watchers:
                if watcher.full():  # a page that does not read loses the oldest: it reloads anyway
                    watcher.get_nowait()
                watcher.put_nowait(news)
            await asyncio.sleep(max(INTERVAL_S, SHARE * (time.monotonic() - began)))


def _lasting(queue: QueueOverview) -> QueueOverview:
    """Return the queue without what changes merely because time passes."""
    return queue.model_copy(update={"oldest_waiting_ms": None, "rate_limited_ms": min(queue.rate_limited_ms, 1)})
