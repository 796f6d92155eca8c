"""TaskScheduler: enqueues calls of a task repeatedly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from typing_extensions import TypedDict

from auth_worker.core.job_options import OF_SCHEDULERS

if TYPE_CHECKING:
    from auth_worker.tasks.task import Enqueuer

P = ParamSpec("P")
"""What the task takes."""


class Repeat(TypedDict, total=False):
    """When a job scheduler adds its jobs, as in ``JobQueue.upsert_job_scheduler``.

    ``every`` and ``offset`` are in ms, or a ``timedelta``.
    """

    every: int | timedelta
    pattern: str
    tz: str | float
    limit: int
    offset: int | timedelta
    immediately: bool
    start_date: int | str
    end_date: int | str


class TaskScheduler(Generic[P]):
    """The job scheduler ``scheduler_id`` of a task's queue. Made by ``task.scheduler(...)``."""

    def __init__(self, enqueuer: Enqueuer[P, Any], scheduler_id: str, repeat: Repeat) -> None:
        self._enqueuer = enqueuer
        self._id = scheduler_id
        self._repeat = repeat

    async def upsert(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Create or replace it, so that each of its jobs calls the task with these arguments.

        Returns the id of the next job, None if none is left to come. Each worker may call it at its start: an
        unchanged schedule continues.

        Raises ``InvalidJobDataError``, ``TypeError``, ``ConfigurationError`` and ``BrokerError``.
        """
        task = self._enqueuer.task
        data = task.definition.encode(args, kwargs)
        options: Any = {
            name: value for name, value in self._enqueuer.job_options.items() if name not in OF_SCHEDULERS
        }
        return await task.queue.jobs.upsert_job_scheduler(
            self._id, name=task.name, data=data, **self._repeat, **options
        )

    async def remove(self) -> bool:
        """Remove it and its next job, and return whether there was one. Raises ``BrokerError``."""
        return await self._enqueuer.task.queue.jobs.remove_job_scheduler(self._id)
