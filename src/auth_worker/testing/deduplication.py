"""Which jobs keep others with the same deduplication id out."""

from __future__ import annotations

from typing import NamedTuple

from auth_worker.core.job_options import Deduplication
from auth_worker.testing.clock import Clock
from auth_worker.testing.stored_jobs import MemoryJob


class _Entry(NamedTuple):
    job: MemoryJob
    until: int | None


class Deduplications:
    """The deduplication ids that are taken: for a ``ttl``, or while their job has not finished."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}

    def hit(self, queue: str, wanted: Deduplication) -> MemoryJob | None:
        """Return the job that keeps another one out, and extend its time where that is wanted."""
        job = self.job_of(queue, wanted.id)
        if job is not None and wanted.extend and wanted.ttl:
            self.note(queue, wanted, job)
        return job

    def note(self, queue: str, wanted: Deduplication, job: MemoryJob) -> None:
        """Let ``job`` keep others out."""
        until = self._clock.now + wanted.ttl if wanted.ttl else None
        self._entries[queue, wanted.id] = _Entry(job, until)

    def release(self, job: MemoryJob) -> None:
        """The job has finished: what it alone kept out may come."""
        for place, entry in list(self._entries.items()):
            if entry.job is job and entry.until is None:
                del self._entries[place]

    def job_of(self, queue: str, deduplication_id: str) -> MemoryJob | None:
        """Return the job for which others with this id are not added; None if there is none."""
        entry = self._entries.get((queue, deduplication_id))
        if entry is None or (entry.until is not None and entry.until <= self._clock.now):
            return None
        return entry.job

    def remove(self, queue: str, deduplication_id: str) -> bool:
        """Forget an id, and return whether it was taken."""
        taken = self.job_of(queue, deduplication_id) is not None
        self._entries.pop((queue, deduplication_id), None)
        return taken
