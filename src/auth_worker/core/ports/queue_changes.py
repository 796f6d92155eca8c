"""The port to one queue as a whole: its limits, job schedulers, deduplication keys, and its removal.

Times are epoch ms. Every coroutine may raise ``BrokerError``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

MOST_SCHEDULERS = 1000
"""How many job schedulers of a queue are shown."""


class SchedulerRecord(NamedTuple):
    """A job scheduler as it is stored. ``due`` is when its current iteration is due, 0 if that cannot be read.

    ``repeat`` has BullMQ's repeat options, and ``count``, the iterations so far. ``data`` and ``opts`` of its jobs
    are JSON. ``problem`` says why it cannot go on, if it cannot. ``job`` is the id of its current iteration's job.
    """

    id: str
    name: str
    due: int
    repeat: dict[str, Any]
    data: str | None
    opts: str | None
    problem: str | None
    job: str = ""


class QueueChanger(Protocol):
    """Changes one queue as a whole, and reads its job schedulers."""

    async def set_paused(self, paused: bool) -> None:
        """Pause the queue for all its workers, or resume it."""

    async def set_concurrency(self, limit: int | None) -> None:
        """Limit how many jobs of it all workers together run at a time. None removes the limit."""

    async def set_rate_limit(self, limit: tuple[int, int] | None) -> None:
        """Limit how many jobs of it all workers together start in a time (ms). None removes the limit."""

    async def job_schedulers(self, limit: int) -> list[SchedulerRecord]:
        """Return its job schedulers, at most ``limit``, the next one due first."""

    async def last_iterations(self, among: int) -> dict[str, str]:
        """Return the id of the newest finished job of each job scheduler that has one.

        They are searched for among the newest ``among`` completed and failed jobs.
        """

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """Remove a job scheduler and the job that it has waiting. Returns whether there was one."""

    async def job_scheduler(self, scheduler_id: str) -> SchedulerRecord | None:
        """Return the job scheduler with this id; None if there is none."""

    async def deduplication(self, deduplication_id: str) -> str | None:
        """Return the id of the job that keeps others with this deduplication id out; None without one."""

    async def remove_deduplication(self, deduplication_id: str) -> bool:
        """Permit the next job with this deduplication id. Returns whether a job kept others out."""

    async def update_data(self, job_id: str, data: bytes) -> bool:
        """Replace the data of a job by ``data``, which is JSON. Returns whether the job exists."""

    async def obliterate(self, force: bool) -> bool:
        """Pause the queue and remove it with all its jobs; with ``force`` also those that run.

        Returns False, and leaves it as it was, if jobs run and ``force`` is not set.
        """
