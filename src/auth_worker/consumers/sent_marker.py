"""Marks a job whose side effect is done, so that a further attempt does not repeat it.

The marker is the job's BullMQ progress, which stays in the job's hash between attempts: ``{"sent": id}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS


def is_marked_sent(job: Job, sent_id: str) -> bool:
    """Whether an earlier attempt of the job marked ``sent_id`` as sent."""
    return isinstance(job.progress, Mapping) and job.progress.get("sent") == sent_id


async def mark_sent(job: Job, sent_id: str, logger: Any) -> None:
    """Mark ``sent_id`` as sent. Never raises: the mail is out, and failing now would only send it again."""
    try:
        await job.update_progress({"sent": sent_id})
    except Exception as error:
        logger.error(
            WORKER_ERRORS.SENT_NOT_MARKED,
            queue=job.queue_name,
            job_id=job.id,
            attempt=job.attempt,
            reason=type(error).__name__,
        )
