"""Moves jobs to a dead-letter queue for operators: fails those that wait, and adds the dead letter at once.

The failure and the dead letter are two steps. If the second is interrupted, the job stands among the failed ones,
and another call adds its dead letter.
"""

from __future__ import annotations

from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.brokers.redis.dead_letters import DeadLetterWriters
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.reconciliation import Reconciliation
from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.config import WorkerConfig
from auth_worker.core.ports.values import ChangeResult


class DeadLettering:
    """Moves jobs of ``queue`` to the dead-letter queue ``to``."""

    def __init__(self, link: Link, prefix: str, queue: str, to: str) -> None:
        config = WorkerConfig(dead_letter_cancelled=True)
        writers = DeadLetterWriters(prefix, config, to)
        self._view = JobView(link, prefix, queue)
        self._cancellations = Cancellations(link, prefix, queue)
        self._letters = Reconciliation(link, prefix, queue, writers, config, worker="an operator")

    async def move(self, job_id: str, reason: str) -> ChangeResult:
        """Fail a job that does not run for ``reason``, and add its dead letter.

        A failed job keeps its own reason. The failed job is kept, whatever its retention says. Raises
        ``BrokerError``.
        """
        state = await self._view.state(job_id)
        match state:
            case "completed":
                return ChangeResult.WRONG_STATE
            case "unknown":
                return ChangeResult.NO_JOB
            case "failed":
                pass
            case _:
                result = await self._cancellations.cancel(job_id, reason, for_dead_letter=True)
                if result is not ChangeResult.DONE:
                    return result
        added = await self._letters.add_missing(stored_bytes(job_id))
        return ChangeResult.DONE if added or state != "failed" else ChangeResult.HAS_DEAD_LETTER
