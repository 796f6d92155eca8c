"""Names that end up in Redis keys: refused early where they would break a queue.

A job id shares its key space with the queue's own keys, so that an id like ``wait`` or ``0:x`` bricks a queue or
loses the job. Source: measured against BullMQ's scripts; ids of digits alone are BullMQ's own.
"""

from __future__ import annotations

import re

from auth_worker.errors import ConfigurationError

RESERVED_IDS = frozenset(
    (
        *("active", "wait", "waiting", "waiting-children", "paused", "completed", "failed", "delayed", "repeat"),
        *(
            "stalled",
            "limiter",
            "prioritized",
            "id",
            "stalled-check",
            "meta",
            "pc",
            "events",
            "marker",
            "de",
            "dn",
        ),
        *("metrics", "dead-letter-lease"),
    )
)
QUEUE = r"[A-Za-z0-9_{][A-Za-z0-9._{}@ -]{0,199}"
"""What a queue's name looks like, as a regular expression."""
_QUEUE = re.compile(QUEUE)
_JOB = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+=-]{0,199}")


def check_queue_name(argument: str, name: object) -> str:
    """Return ``name`` if a queue may be called so. Raises ``ConfigurationError`` naming ``argument``."""
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise ConfigurationError(
            f"{argument} must be 1 to 200 ASCII letters, digits, blanks or . _ - @ {{ }}, "
            f"starting with a letter, a digit, _ or {{; "
            f"got {name!r:.80}"
        )
    return str(name)


def check_job_id(job_id: object) -> str:
    """Return ``job_id`` if a producer may choose it. Raises ``ConfigurationError`` saying why not."""
    if not isinstance(job_id, str) or not _JOB.fullmatch(job_id):
        raise ConfigurationError(
            f"job_id must be 1 to 200 letters, digits or . _ @ + = -, starting with a letter or digit; "
            f"got {job_id!r:.80}"
        )
    if job_id.isdigit():
        raise ConfigurationError(
            f"job_id {job_id!r} is all digits: such ids are BullMQ's own; put a letter before it"
        )
    if job_id in RESERVED_IDS:
        raise ConfigurationError(f"job_id {job_id!r} is a key of the queue itself; choose another")
    return job_id
