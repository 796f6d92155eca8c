"""Changes a queue as a whole: sets its limits, releases deduplication ids, obliterates it."""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.models import Change, Deduplication
from auth_worker.core.ports.operator import OperatorBroker


class QueueSettingsOperations:
    """Reads and changes the settings of the queues of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker, record: Callable[[Change], None]) -> None:
        self._broker = broker
        self._record = record

    async def set_concurrency(self, queue: str, concurrency: int | None) -> None:
        """Limit how many jobs of the queue all workers together run at a time. None removes the limit."""
        await self._broker.queue_changes(queue).set_concurrency(concurrency)
        self._record(Change(action="set concurrency", queue=queue, target=queue))

    async def set_rate_limit(self, queue: str, limit: tuple[int, int] | None) -> None:
        """Limit how many jobs all workers together start per period, as ``(jobs, ms)``; None: no limit."""
        await self._broker.queue_changes(queue).set_rate_limit(limit)
        self._record(Change(action="set rate limit", queue=queue, target=queue))

    async def deduplication(self, queue: str, deduplication_id: str) -> Deduplication:
        """Return the job that holds this deduplication id, which keeps other jobs out.

        Raises ``NotFoundError``.
        """
        job_id = await self._broker.queue_changes(queue).deduplication(deduplication_id)
        if job_id is None:
            raise _no_key(queue, deduplication_id)
        return Deduplication(queue=queue, id=deduplication_id, job_id=job_id)

    async def remove_deduplication(self, queue: str, deduplication_id: str) -> None:
        """Release a deduplication id, so that the next job with it is added. Raises ``NotFoundError``."""
        if not await self._broker.queue_changes(queue).remove_deduplication(deduplication_id):
            raise _no_key(queue, deduplication_id)
        self._record(Change(action="remove deduplication", queue=queue, target=deduplication_id))

    async def obliterate(self, queue: str, *, force: bool = False) -> None:
        """Remove the queue with all its jobs.

        Raises ``RefusedError`` if jobs are running, unless ``force`` is set.
        """
        if not await self._broker.queue_changes(queue).obliterate(force):
            raise RefusedError(f"queue {queue} has running jobs: wait for them, or remove them too with force")
        self._record(Change(action="obliterate", queue=queue, target="all"))


def _no_key(queue: str, deduplication_id: str) -> NotFoundError:
    return NotFoundError(f"queue {queue} has no deduplication with the id {deduplication_id}")
