"""Validates names that become part of Redis keys, and refuses those that would break a queue.

A job id shares its key space with the queue's own keys, so that an id such as ``wait`` or ``0:x`` blocks the queue
or loses the job. Source: measured against BullMQ's scripts. Ids that consist of digits are BullMQ's own.
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
        *("metrics", "dead-letter-lease", "cancellations", "auth-worker-waiting"),
    )
)
RESERVED_ROOTS = frozenset(("repeat", "metrics", "de", "auth-worker-history"))
"""What the first part of an id with colons must not be, since the queue has keys of its own under it."""
LONGEST_NAME = 1000
_CONTROL = r"\x00-\x1f\x7f-\x9f"
QUEUE = rf"[^:{_CONTROL}]{{1,{LONGEST_NAME}}}"
"""The regular expression of a queue's name: anything but a colon and control characters."""
PREFIX = rf"[^{_CONTROL}]{{1,{LONGEST_NAME}}}"
_QUEUE = re.compile(QUEUE)
_JOB = re.compile(PREFIX)
_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_PARTS = 3


def check_queue_name(argument: str, name: object) -> str:
    """Return ``name`` if it can be a queue's. Raises ``ConfigurationError`` naming ``argument``.

    Node accepts any text without a colon; control characters and lone surrogates are refused here.
    """
    if not isinstance(name, str) or not _QUEUE.fullmatch(name) or not _is_utf8(name):
        raise ConfigurationError(
            f"{argument} must be 1 to {LONGEST_NAME} characters, none of them a colon or a control character; "
            f"got {name!r:.80}"
        )
    return str(name)


def check_job_id(job_id: object) -> str:
    """Return ``job_id`` if a producer may choose it. Raises ``ConfigurationError`` saying why not.

    Source: Job.validateOptions of Node BullMQ, which refuses integers, and colons unless there are two.
    """
    if not isinstance(job_id, str) or not _JOB.fullmatch(job_id) or not _is_utf8(job_id):
        raise ConfigurationError(
            f"job_id must be 1 to {LONGEST_NAME} characters, none of them a control character; got {job_id!r:.80}"
        )
    if _INTEGER.fullmatch(job_id):
        raise ConfigurationError(
            f"job_id {job_id!r:.80} is a whole number: such ids are BullMQ's own; put a letter before it"
        )
    root, *others = job_id.split(":")
    if others and len(others) + 1 != _PARTS:
        raise ConfigurationError(f"job_id {job_id!r:.80} has a colon: an id has none, or two")
    if job_id in RESERVED_IDS or (others and root in RESERVED_ROOTS):
        raise ConfigurationError(f"job_id {job_id!r:.80} is a key of the queue itself; choose another")
    return job_id


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
