"""Knows which jobs keep others with the same deduplication id out."""

from __future__ import annotations

from typing import NamedTuple

from auth_worker.core.job_options import Deduplication
from auth_worker.testing.clock import Clock
from auth_worker.testing.stored_jobs import MemoryJob


class _Entry(NamedTuple):
    job: MemoryJob
    until: int | None


class Deduplications:
    """The deduplication ids that jobs hold: for a ``ttl``, or until their job has finished."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}

    def holder(self, queue: str, wanted: Deduplication) -> MemoryJob | None:
        """Return the job that holds the ``wanted`` id, if any. Extends its time if ``wanted`` says so."""
        job = self.job_of(queue, wanted.id)
        if job is not None and wanted.extend and wanted.ttl:
            self.hold(queue, wanted, job)
        return job

    def hold(self, queue: str, wanted: Deduplication, job: MemoryJob) -> None:
        """Let ``job`` hold the ``wanted`` id."""
        until = self._clock.now + wanted.ttl if wanted.ttl else None
        self._entries[queue, wanted.id] = _Entry(job, until)

    def release(self, job: MemoryJob) -> None:
        """Release the ids that ``job``, which has finished, held without a ``ttl``."""
        for place, entry in list(self._entries.items()):
            if entry.job is job and entry.until is None:
                del self._entries[place]

    def job_of(self, queue: str, deduplication_id: str) -> MemoryJob | None:
        """Return the job that holds this id; None if there is none."""
        entry = self._entries.get((queue, deduplication_id))
        if entry is None or (entry.until is not None and entry.until <= self._clock.now):
            return None
        return entry.job

    def remove(self, queue: str, deduplication_id: str) -> bool:
        """Release an id, and return whether a job held it."""
        was_held = self.job_of(queue, deduplication_id) is not None
        self._entries.pop((queue, deduplication_id), None)
        return was_held
