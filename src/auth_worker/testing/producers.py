"""The producer's ports in memory: the broker of a ``JobQueue`` in a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from auth_worker.config import Settings
from auth_worker.core.job_data import encode_job_data
from auth_worker.core.ports.producer import AddedJob, Ended, JobRequest
from auth_worker.core.ports.queue_changes import MOST_SCHEDULERS, SchedulerRecord
from auth_worker.core.ports.values import ChangeResult, LargeField, StoredChildren, StoredJob, StoredKind
from auth_worker.errors import ConfigurationError
from auth_worker.testing.schedulers import Schedulers
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob

AfterAdd = Callable[[], Awaitable[None]]


class MemoryProducer:
    """Implements ``ProducerBroker`` for one queue.

    ``after_add`` is awaited after each addition, ``on_wait`` before somebody waits for the end of a job.
    """

    is_connected = True

    def __init__(
        self,
        store: JobStore,
        schedulers: Schedulers,
        queue: str,
        settings: Settings,
        defaults: Mapping[str, Any],
        after_add: AfterAdd,
        on_wait: Callable[[MemoryJob], Awaitable[None]],
    ) -> None:
        self._store = store
        self._schedulers = schedulers
        self._queue = queue
        self._most = settings.max_payload_bytes
        self._defaults = defaults
        self._after_add = after_add
        self._on_wait = on_wait

    async def connect(self) -> None:
        """Nothing to connect."""

    async def add(self, job: JobRequest, trace: str | None = None) -> AddedJob:
        """As in ``ProducerBroker``."""
        added = self._store.add(self._store.prepare(self._queue, job, self._defaults, self._most))
        await self._after_add()
        return added

    async def add_many(self, jobs: Iterable[JobRequest], trace: str | None = None) -> list[AddedJob]:
        """As in ``ProducerBroker``."""
        new = []
        for number, job in enumerate(jobs):
            try:
                new.append(self._store.prepare(self._queue, job, self._defaults, self._most))
            except ConfigurationError as error:
                raise ConfigurationError(f"jobs[{number}]: {error}") from error
        with self._store.lock:
            added = [self._store.add(each) for each in new]
        await self._after_add()
        return added

    async def upsert_scheduler(
        self, scheduler_id: str, repeat: Mapping[str, Any], template: JobRequest
    ) -> str | None:
        """As in ``ProducerBroker``."""
        name, data, given = template
        job = name, {} if data is None else data, given
        new = self._store.prepare(self._queue, job, self._defaults, self._most)
        added = self._schedulers.upsert(scheduler_id, repeat, new)
        await self._after_add()
        return added

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``ProducerBroker``."""
        return self._schedulers.remove(self._queue, scheduler_id)

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """As in ``ProducerBroker``."""
        return self._store.cancel(self._queue, job_id, reason)

    def jobs(self) -> MemoryJobs:
        """As in ``ProducerBroker``."""
        return MemoryJobs(self._store, self._queue)

    def changes(self) -> MemoryQueueChanges:
        """As in ``ProducerBroker``."""
        return MemoryQueueChanges(self._store, self._schedulers, self._queue)

    async def update_data(self, job_id: str, data: Any) -> bool:
        """As in ``ProducerBroker``."""
        text = encode_job_data(job_id, data, self._most, self._most)
        return await self.changes().update_data(job_id, text)

    async def wait_for(self, job_id: str) -> Ended | None:
        """As in ``ProducerBroker``."""
        with self._store.lock:
            found = [job for job in self._store.added if (job.queue, job.id) == (self._queue, job_id)]
            if not found:
                return None
            ended = found[-1].when_ended()
        await self._on_wait(found[-1])
        return await asyncio.wrap_future(ended)

    async def enter(self) -> None:
        """Nothing to count."""

    async def leave(self) -> None:
        """Nothing to count."""

    async def close(self) -> None:
        """Nothing to disconnect."""


class MemoryJobs(NamedTuple):
    """Implements ``JobReader``."""

    store: JobStore
    queue: str

    async def rows(
        self, ids: Sequence[str], large: Collection[LargeField] = (), *, brief: bool = False
    ) -> list[StoredJob | None]:
        """As in ``JobReader``."""
        return [await self.whole(job_id) for job_id in ids]

    async def whole(self, job_id: str) -> StoredJob | None:
        """As in ``JobReader``."""
        job = self.store.find(self.queue, job_id)
        return None if job is None else job.stored

    async def kind(self, job_id: str) -> StoredKind:
        """As in ``JobReader``."""
        return "none" if self.store.find(self.queue, job_id) is None else "job"

    async def state(self, job_id: str) -> str:
        """As in ``JobReader``."""
        job = self.store.find(self.queue, job_id)
        return "unknown" if job is None else job.state

    async def due(self, job_id: str) -> int | None:
        """As in ``JobReader``."""
        job = self.store.find(self.queue, job_id)
        return job.due if job is not None and job.state == "delayed" else None

    async def logs(self, job_id: str, limit: int) -> tuple[list[str], int]:
        """As in ``JobReader``."""
        job = self.store.find(self.queue, job_id)
        logs = [] if job is None else job.logs
        return logs[-limit:], len(logs)

    async def lock(self, job_id: str) -> tuple[str | None, int]:
        """No worker holds it."""
        return None, 0

    async def children(self, job_id: str) -> StoredChildren:
        """As in ``JobReader``."""
        job = self.store.find(self.queue, job_id)
        if job is None:
            return StoredChildren(0, 0, 0, 0, [])
        return StoredChildren(len(job.pending), len(job.values), len(job.failures), 0, list(job.children))


class MemoryQueueChanges(NamedTuple):
    """Implements ``QueueChanger``. Limits and pauses are accepted but have no effect."""

    store: JobStore
    schedulers: Schedulers
    queue: str

    async def set_paused(self, paused: bool) -> None:
        """No worker but the test takes jobs."""

    async def set_concurrency(self, limit: int | None) -> None:
        """Jobs of a test run one after another anyway."""

    async def set_rate_limit(self, limit: tuple[int, int] | None) -> None:
        """No job of a test waits for a rate limit."""

    async def job_schedulers(self, limit: int) -> list[SchedulerRecord]:
        """As in ``QueueChanger``."""
        return self.schedulers.stored(self.queue, limit)

    async def last_iterations(self, among: int) -> dict[str, str]:
        """As in ``QueueChanger``."""
        finished = [job for job in self.store.of([self.queue]) if job.scheduler_id and job.is_finished]
        return {job.scheduler_id: job.id for job in finished[-among:]}

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``QueueChanger``."""
        return self.schedulers.remove(self.queue, scheduler_id)

    async def job_scheduler(self, scheduler_id: str) -> SchedulerRecord | None:
        """As in ``QueueChanger``."""
        found = self.schedulers.stored(self.queue, MOST_SCHEDULERS)
        return next((each for each in found if each.id == scheduler_id), None)

    async def deduplication(self, deduplication_id: str) -> str | None:
        """As in ``QueueChanger``."""
        job = self.store.deduplications.job_of(self.queue, deduplication_id)
        return None if job is None else job.id

    async def remove_deduplication(self, deduplication_id: str) -> bool:
        """As in ``QueueChanger``."""
        return self.store.deduplications.remove(self.queue, deduplication_id)

    async def update_data(self, job_id: str, data: bytes) -> bool:
        """As in ``QueueChanger``."""
        job = self.store.find(self.queue, job_id)
        if job is not None:
            job.data = data.decode()
        return job is not None

    async def obliterate(self, force: bool) -> bool:
        """As in ``QueueChanger``."""
        with self.store.lock:
            jobs = self.store.of([self.queue])
            if not force and any(job.state == "active" for job in jobs):
                return False
            for job in jobs:
                self.store.remove(job)
            return True
