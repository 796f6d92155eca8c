"""The keys of queues and jobs, which BullMQ shows to users: a job's parent and children are named by them."""

from __future__ import annotations

import re

_ITERATION = re.compile(r"repeat:(.+):([0-9]{1,15})", re.DOTALL)


def key_prefix(prefix: str, queue: str) -> str:
    """Return what the keys of ``queue`` start with, up to the last colon. ``prefix`` is BullMQ's."""
    return f"{prefix}:{queue}:"


def queue_key(prefix: str, queue: str) -> str:
    """Return the key of ``queue``, as it is in a job's ``parent``."""
    return f"{prefix}:{queue}"


def job_key(prefix: str, queue: str, job_id: str) -> str:
    """Return the key of a job, as it is among the children of its parent."""
    return f"{prefix}:{queue}:{job_id}"


def place_of(key: str, prefix: str) -> tuple[str, str] | None:
    """Return the queue and the id of the job with this ``key``, or None if the key has another prefix."""
    rest = key.removeprefix(f"{prefix}:")
    queue, _, job_id = rest.partition(":")
    return (queue, job_id) if job_id and rest != key else None


def iteration_id(scheduler_id: str, due: int) -> str:
    """Return the id of the job that a job scheduler makes for its iteration that is ``due`` then (epoch ms)."""
    return f"repeat:{scheduler_id}:{due}"


def iteration_of(job_id: str) -> tuple[str, int] | None:
    """Return the scheduler's id and when it was due, of a job with such an id; None for any other job."""
    found = _ITERATION.fullmatch(job_id)
    return None if found is None else (found[1], int(found[2]))
