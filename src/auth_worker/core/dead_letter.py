"""Builds dead letters: jobs that record all that is known of a job which failed for good, for any BullMQ consumer.

The id of a dead letter is derived from the queue, the job and the time of its failure. So writing it twice adds
one dead letter, and a second failure after a redrive adds another.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from auth_worker.core.partitions import logical_name
from auth_worker.errors import ConfigurationError

MAX_WHOLE = 150
"""The longest id that contains the job's id. A longer one contains a digest instead."""
MAX_ID = 900
"""The longest id. A queue whose escaped name is longer still is named by its beginning."""
LENGTH_OF_TIME = 13
"""How many digits a time (epoch ms) has, until the year 2286."""
MAX_RAW = 1024 * 1024
_LETTER_ID = re.compile(r"[^@]+@[^@]+@\d{13,}")


class DeadLetter(NamedTuple):
    """A job of a dead-letter queue. ``name`` is the failed job's, ``data`` all that is known of its failure.

    ``queue`` is the dead-letter queue that it is to be added to; empty for one that was read.
    """

    id: str
    name: str
    data: dict[str, Any]
    timestamp: int
    queue: str = ""


def dead_letter_id(queue: str, job_id: str, finished_on: int) -> str:
    """Build the id ``queue@job@time`` from characters that every BullMQ accepts in a job id."""
    name = f"{_plain(queue)}@{_plain(job_id)}@{finished_on}"
    if len(name) <= MAX_WHOLE:
        return name
    digest = sha256(f"{queue}\0{job_id}".encode(errors="surrogateescape")).hexdigest()
    rest = f"@{digest}@{finished_on}"
    return _plain(queue)[: MAX_ID - len(rest)] + rest


def is_dead_letter_id(job_id: str) -> bool:
    """Whether a job of this id is a dead letter: ``queue@job@time``, as ``dead_letter_id`` builds it.

    A job with any other id is not, in whatever queue it waits: it is not shown, redriven or purged as one.
    """
    return _LETTER_ID.fullmatch(job_id) is not None


def failed_at_of(letter_id: str) -> int | None:
    """Return when the job of a dead letter failed (epoch ms), read from its id; None for another id."""
    at = letter_id.rpartition("@")[2]
    return int(at) if is_dead_letter_id(letter_id) and len(at) == LENGTH_OF_TIME else None


def queue_of(letter_id: str) -> str:
    """Return the queue that a dead letter comes from, read from its id; of a partition, the whole queue."""
    name = re.sub(
        r"(?:\.[0-9a-f]{2})+",
        lambda match: bytes.fromhex(match[0].replace(".", "")).decode(errors="replace"),
        letter_id.partition("@")[0],
    )
    return logical_name(name)


def check_dead_letter(letter: DeadLetter) -> None:
    """Raise ``ConfigurationError`` unless the job is a dead letter that names its original queue and job."""
    data = letter.data
    if not isinstance(data, dict) or not all(
        isinstance(data.get(field), str) for field in ("originalQueue", "originalJobId")
    ):
        raise ConfigurationError(
            f"job {letter.id} is not a dead letter: it has no originalQueue and originalJobId"
        )
    if "raw" in data:
        raise ConfigurationError(
            f"dead letter {letter.id}: the payload of job {data['originalJobId']} cannot be read, so it cannot "
            "run; correct the job and add it again"
        )


def make_dead_letter(
    *,
    queue: str,
    job_id: str,
    name: str,
    data: Any,
    opts: dict[str, Any],
    reason: str,
    reason_class: str,
    traces: list[str],
    attempts_made: int,
    finished_on: int,
    worker: str,
    raw: Mapping[str, bytes] | None = None,
) -> DeadLetter:
    """Build the dead letter of a job.

    ``raw`` holds the stored name, data and opts of a job that could not be read; it is kept as base64.
    """
    content: dict[str, Any] = {
        "originalQueue": queue,
        "originalJobId": job_id,
        "name": name,
        "data": data,
        "opts": opts,
        "failedReason": reason,
        "reasonClass": str(reason_class),
        "stacktrace": traces,
        "attemptsMade": attempts_made,
        "failedAt": finished_on,
        "worker": worker,
        "traceContext": opts.get("telemetryMetadata"),
    }
    if raw is not None:
        content["raw"] = {field: base64.b64encode(value[:MAX_RAW]).decode() for field, value in raw.items()}
        content["rawTruncated"] = any(len(value) > MAX_RAW for value in raw.values())
    return DeadLetter(dead_letter_id(queue, job_id, finished_on), name or "unreadable", content, finished_on)


def _plain(text: str) -> str:
    """Escape each byte that is not a letter, digit, _ or - as ``.`` and two hexadecimal digits."""
    return re.sub(
        r"[^A-Za-z0-9_-]",
        lambda match: "".join(f".{byte:02x}" for byte in match.group().encode(errors="surrogateescape")),
        text,
    )
