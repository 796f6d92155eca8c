"""The producer for code without an event loop: ``JobQueue.sync``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from auth_worker.core.job_info import JobInfo
from auth_worker.core.job_options_dict import BulkJob, JobOptionsDict
from auth_worker.core.ports.producer import AddedJob
from auth_worker.queue.sync_calls import SLACK_S, SyncCalls

if TYPE_CHECKING:
    from datetime import timedelta

    from auth_worker.queue.commands import JobScheduler
    from auth_worker.queue.job_queue import JobQueue


class SyncJobQueue(SyncCalls):
    """What ``JobQueue`` does, for Flask, Django and scripts. Each method blocks until it is done.

    Any thread and any forked child may use it. All of them share one event loop and one connection per process,
    which begin with the first call and end with the process. In an ``async def`` use the ``JobQueue`` itself:
    these methods would block the event loop. Errors are those of ``JobQueue``; ``BrokerUnavailableError`` comes
    after the ``sync_timeout``.
    """

    def __init__(self, queue: JobQueue) -> None:
        """Wrap ``queue``, which nobody else uses and whose timeout is that of these calls."""
        super().__init__(f"queue {queue.name}", queue.timeout, queue.close)
        self._queue = queue

    def add(self, name: str, data: Any = None, **options: Unpack[JobOptionsDict]) -> AddedJob:
        """As ``JobQueue.add``."""
        return self.run(self._queue.add(name, data, **options))

    def add_bulk(self, jobs: Iterable[BulkJob]) -> list[AddedJob]:
        """As ``JobQueue.add_bulk``. Its timeout counts for each thousand jobs."""
        jobs = list(jobs)
        return self.run(self._queue.add_bulk(jobs), self.timeout * (1 + len(jobs) // 1000))

    def upsert_job_scheduler(self, scheduler_id: str, **scheduler: Any) -> str | None:
        """As ``JobQueue.upsert_job_scheduler``."""
        return self.run(self._queue.upsert_job_scheduler(scheduler_id, **scheduler))

    def remove_job_scheduler(self, scheduler_id: str) -> bool:
        """As ``JobQueue.remove_job_scheduler``."""
        return self.run(self._queue.remove_job_scheduler(scheduler_id))

    def job_schedulers(self) -> list[JobScheduler]:
        """As ``JobQueue.job_schedulers``."""
        return self.run(self._queue.job_schedulers())

    def get_job_scheduler(self, scheduler_id: str) -> JobScheduler | None:
        """As ``JobQueue.get_job_scheduler``."""
        return self.run(self._queue.get_job_scheduler(scheduler_id))

    def run_job_scheduler(self, scheduler_id: str) -> AddedJob | None:
        """As ``JobQueue.run_job_scheduler``."""
        return self.run(self._queue.run_job_scheduler(scheduler_id))

    def cancel(self, job_id: str, reason: str = "") -> bool:
        """As ``JobQueue.cancel``."""
        return self.run(self._queue.cancel(job_id, reason))

    def get(self, job_id: str) -> JobInfo | None:
        """As ``JobQueue.get``."""
        return self.run(self._queue.get(job_id))

    def update_data(self, job_id: str, data: Any) -> bool:
        """As ``JobQueue.update_data``."""
        return self.run(self._queue.update_data(job_id, data))

    def set_global_concurrency(self, concurrency: int) -> None:
        """As ``JobQueue.set_global_concurrency``."""
        self.run(self._queue.set_global_concurrency(concurrency))

    def remove_global_concurrency(self) -> None:
        """As ``JobQueue.remove_global_concurrency``."""
        self.run(self._queue.remove_global_concurrency())

    def set_global_rate_limit(self, most: int, duration: int | timedelta) -> None:
        """As ``JobQueue.set_global_rate_limit``."""
        self.run(self._queue.set_global_rate_limit(most, duration))

    def remove_global_rate_limit(self) -> None:
        """As ``JobQueue.remove_global_rate_limit``."""
        self.run(self._queue.remove_global_rate_limit())

    def deduplication_job_id(self, deduplication_id: str) -> str | None:
        """As ``JobQueue.deduplication_job_id``."""
        return self.run(self._queue.deduplication_job_id(deduplication_id))

    def remove_deduplication_key(self, deduplication_id: str) -> bool:
        """As ``JobQueue.remove_deduplication_key``."""
        return self.run(self._queue.remove_deduplication_key(deduplication_id))

    def obliterate(self, *, force: bool = False) -> bool:
        """As ``JobQueue.obliterate``."""
        return self.run_within(self._queue.obliterate(force=force), None)

    def result(self, job_id: str, timeout: float) -> Any:
        """As ``JobQueue.result``."""
        return self.run_within(self._queue.result(job_id, timeout), timeout + SLACK_S)
