"""The dead-letter record: what is kept of a job that failed for good, readable by any BullMQ consumer.

Its id comes from the queue, the job and the time of death, so that writing it twice gives one letter, and a
second death after a redrive gives a second one.
"""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any, NamedTuple

from auth_worker.errors import ConfigurationError
from auth_worker.options import decode_json, read_options
from auth_worker.outcome import Fail, ReasonClass
from auth_worker.payload import RawJob
from auth_worker.run import Run

MARK = "dlq"
"""The field of a failed job's hash that names its letter: no second one is made for the same death."""
MAX_WHOLE = 150
"""The longest id that names its job; a longer one has a digest in its place."""
MAX_ID = 900
"""The longest id: a queue whose escaped name is longer still is named by its beginning."""
MAX_RAW = 1024 * 1024


class Letter(NamedTuple):
    """A job of the dead-letter queue: ``name`` is the dead job's, ``data`` all that is known of its death."""

    id: str
    name: str
    data: dict[str, Any]
    timestamp: int


def letter_id(queue: str, job_id: str, finished_on: int) -> str:
    """Name a death, in characters any BullMQ accepts in a job id: ``queue@job@time``."""
    name = f"{_plain(queue)}@{_plain(job_id)}@{finished_on}"
    if len(name) <= MAX_WHOLE:
        return name
    digest = sha256(f"{queue}\0{job_id}".encode(errors="surrogateescape")).hexdigest()
    rest = f"@{digest}@{finished_on}"
    return _plain(queue)[: MAX_ID - len(rest)] + rest


def queue_of(letter_id: str) -> str:
    """The queue that a letter comes from, read off its id: the inverse of ``letter_id``."""
    return re.sub(
        r"(?:\.[0-9a-f]{2})+",
        lambda match: bytes.fromhex(match[0].replace(".", "")).decode(errors="replace"),
        letter_id.partition("@")[0],
    )


def check_letter(letter: Letter) -> None:
    """Raise ``ConfigurationError`` unless the job is a dead letter, with an original job to name."""
    data = letter.data
    if not isinstance(data, dict) or not all(
        isinstance(data.get(field), str) for field in ("originalQueue", "originalJobId")
    ):
        raise ConfigurationError(f"job {letter.id} is no dead letter: it names no originalQueue and originalJobId")
    if "raw" in data:
        raise ConfigurationError(
            f"letter {letter.id}: the payload of job {data['originalJobId']} cannot be read, so it cannot run; "
            "correct the job and add it anew"
        )


def letter_of(run: Run, fail: Fail, finished_on: int, worker: str, *, readable: bool = True) -> Letter:
    """The letter of a run's job that ``worker`` gives up at ``finished_on`` (epoch ms).

    It quotes what is stored, not what the consumer has made of it; if that is not ``readable``, as raw bytes.
    """
    job = run.job
    readable = readable and not (fail.reason_class == ReasonClass.INVALID_PAYLOAD and job.data is None)
    stored = run.raw.get(b"data")
    data = decode_json(stored.decode()) if readable and stored is not None else job.data
    return make_letter(
        queue=job.queue_name,
        job_id=job.id,
        name=run.raw.get(b"name", job.name.encode()).decode(errors="replace"),
        data=data if readable else None,
        opts=read_options(run.raw.get(b"opts", b"")) if readable else {},
        reason=fail.reason,
        reason_class=fail.reason_class,
        traces=[*run.traces, fail.trace],
        attempts_made=job.attempt,
        finished_on=finished_on,
        worker=worker,
        raw=None if readable else run.raw,
    )


def make_letter(
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
    raw: RawJob | None = None,
) -> Letter:
    """The letter of a job; ``raw`` is given where its fields could not be read, and is kept as base64."""
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
        content["raw"] = {
            field.decode(errors="replace"): base64.b64encode(value[:MAX_RAW]).decode()
            for field, value in raw.items()
            if field in (b"name", b"data", b"opts")
        }
        content["rawTruncated"] = any(len(value) > MAX_RAW for value in raw.values())
    return Letter(letter_id(queue, job_id, finished_on), name or "unreadable", content, finished_on)


def _plain(text: str) -> str:
    """``text`` with each byte of what is no letter, digit, _ or - as ``.`` and two hexadecimal digits."""
    return re.sub(
        r"[^A-Za-z0-9_-]",
        lambda match: "".join(f".{byte:02x}" for byte in match.group().encode(errors="surrogateescape")),
        text,
    )
