"""JobHandle: an enqueued job, to be awaited, cancelled or inspected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from auth_worker.core.job_info import JobInfo

if TYPE_CHECKING:
    from auth_worker.tasks.task import Task

R = TypeVar("R")
"""What a job results in."""


@dataclass(frozen=True, slots=True)
class JobHandle(Generic[R]):
    """A job that was enqueued: its ``id`` in the queue ``queue_name``. ``R`` is the type of its result.

    ``created`` is False if the job existed already, so that none was added, and for a handle from ``task.handle``.
    """

    id: str
    queue_name: str
    created: bool
    _task: Task[..., R, ..., Any] = field(repr=False, compare=False)

    async def result(self, timeout: float | None = None) -> R:
        """Wait ``timeout`` s (None: forever) for the job to end, and return its result, of the declared type.

        Raises ``JobFailedError``, ``JobCancelledError``, ``TimeoutError``, ``JobNotFoundError``, ``BrokerError``,
        and ``InvalidJobDataError`` for a result of another type.
        """
        value = await self._task.queue.jobs.result(self.id, timeout)
        return self._decoded(value)

    def result_sync(self, timeout: float) -> R:
        """As ``result``, for code without an event loop."""
        return self._decoded(self._task.queue.jobs.sync.result(self.id, timeout))

    async def cancel(self, reason: str = "") -> bool:
        """Cancel the job, and return whether it had not finished, as ``JobQueue.cancel``."""
        return await self._task.queue.jobs.cancel(self.id, reason)

    def cancel_sync(self, reason: str = "") -> bool:
        """As ``cancel``, for code without an event loop."""
        return self._task.queue.jobs.sync.cancel(self.id, reason)

    async def info(self) -> JobInfo | None:
        """Read the job, as ``JobQueue.get``; None if it has been removed."""
        return await self._task.queue.jobs.get(self.id)

    def info_sync(self) -> JobInfo | None:
        """As ``info``, for code without an event loop."""
        return self._task.queue.jobs.sync.get(self.id)

    def _decoded(self, value: Any) -> R:
        return self._task.read_result(value)
