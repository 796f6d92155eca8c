"""Job schedulers in memory, which compute the same times as BullMQ's by the clock of the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth_worker.core.cron import RepeatStrategy
from auth_worker.core.job_options import JobOptions
from auth_worker.core.json_codec import encode_json
from auth_worker.core.keys import iteration_id
from auth_worker.core.ports.queue_changes import SchedulerRecord
from auth_worker.core.repetition import new_repetition
from auth_worker.errors import ConfigurationError
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob, NewJob


@dataclass
class _Scheduler:
    template: NewJob
    repeat: dict[str, Any]
    count: int = 0
    due: int | None = None
    job: MemoryJob | None = None


class Schedulers:
    """The job schedulers of all queues."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._schedulers: dict[tuple[str, str], _Scheduler] = {}

    def upsert(self, scheduler_id: str, repeat: Mapping[str, Any], template: NewJob) -> str | None:
        """Create or replace a scheduler, as in ``ProducerBroker``. Raises ``ConfigurationError``."""
        place = template.queue, scheduler_id
        with self._store.lock:
            try:
                scheduler = _Scheduler(template, new_repetition(repeat))
                due = self._first(scheduler_id, scheduler.repeat)
            except ValueError as error:
                raise ConfigurationError(f"job scheduler {scheduler_id!r}: {error}") from error
            self.remove(*place)
            self._schedulers[place] = scheduler
            scheduler.repeat.pop("immediately", None)
            return self._add_iteration(scheduler_id, scheduler, due)

    def remove(self, queue: str, scheduler_id: str) -> bool:
        """Remove a scheduler and its next job, and return whether there was one."""
        with self._store.lock:
            scheduler = self._schedulers.pop((queue, scheduler_id), None)
            if scheduler is not None and scheduler.job is not None and scheduler.job.state in ("delayed", "wait"):
                self._store.remove(scheduler.job)
            return scheduler is not None

    def advance(self, job: MemoryJob) -> None:
        """Create the next iteration of the scheduler of ``job``, which begins to run."""
        with self._store.lock:
            scheduler = self._schedulers.get((job.queue, job.scheduler_id))
            if scheduler is not None and scheduler.job is job and scheduler.due is not None:
                self._add_iteration(job.scheduler_id, scheduler, self._next(job.scheduler_id, scheduler))

    def stored(self, queue: str, limit: int) -> list[SchedulerRecord]:
        """Return the schedulers of a queue, as in ``QueueChanger``."""
        found = [
            SchedulerRecord(
                id=scheduler_id,
                name=each.template.name,
                due=each.due or 0,
                repeat={**each.repeat, "count": each.count},
                data=each.template.data,
                opts=encode_json(each.template.options.wire()).decode(),
                problem=None,
                job="" if each.job is None else each.job.id,
            )
            for (owner, scheduler_id), each in self._schedulers.items()
            if owner == queue
        ]
        return sorted(found, key=lambda each: each.due)[:limit]

    def _first(self, scheduler_id: str, repeat: Mapping[str, Any]) -> int | None:
        now, every, offset = self._store.clock.now, repeat.get("every"), repeat.get("offset", 0)
        if every is None:
            return now if repeat.get("immediately") else RepeatStrategy(scheduler_id)(now, repeat)
        if "startDate" in repeat:
            return max(int(repeat["startDate"]), now)
        return self._aligned(now, every, offset) if offset else now

    def _next(self, scheduler_id: str, scheduler: _Scheduler) -> int | None:
        """Source: JobScheduler of the official package, and getJobSchedulerEveryNextMillis."""
        now, repeat = self._store.clock.now, scheduler.repeat
        previous, every = scheduler.due or now, repeat.get("every")
        if every is None:
            return RepeatStrategy(scheduler_id)(max(now, previous), repeat)
        following = previous + every
        return following if following >= now else self._aligned(now, every, repeat.get("offset", 0))

    @staticmethod
    def _aligned(now: int, every: int, offset: int) -> int:
        slot: int = now // every * every + offset
        return slot if slot > now else slot + every

    def _add_iteration(self, scheduler_id: str, scheduler: _Scheduler, due: int | None) -> str | None:
        repeat, now = scheduler.repeat, self._store.clock.now
        over = scheduler.count >= repeat.get("limit", scheduler.count + 1) or now > repeat.get("endDate", now)
        if over or due is None:
            scheduler.job = None
            return None
        scheduler.count += 1
        scheduler.due = due
        options: JobOptions = scheduler.template.options.model_copy(update={"delay": max(0, due - now) or None})
        extra = {"repeat": {**repeat, "count": scheduler.count}, "prevMillis": due}
        job_id = iteration_id(scheduler_id, due)
        job = self._store.insert(scheduler.template._replace(id=job_id, options=options, extra=extra))
        job.scheduler_id, scheduler.job = scheduler_id, job
        return job_id
