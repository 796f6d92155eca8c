"""Decodes a stored job, trusting nothing.

What cannot be read raises ``InvalidPayloadError`` and is dead-lettered at once, with its raw bytes. A harmless
oddity (a timestamp that is not a number, a progress that is not JSON) is replaced by its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.json_codec import decode_json_bytes
from auth_worker.core.policy import JobPolicy
from auth_worker.errors import InvalidPayloadError
from auth_worker.job import Job, JobActions

_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,17}")
"""What HINCRBY accepts, and can add to."""
_LEADING_INTEGER = re.compile(rb"\s*([+-]?[0-9]{1,20})")
"""What JavaScript's parseInt reads of a text."""
DEAD_LETTER_FIELD = "dlq"
"""The field of a failed job's hash that names its dead letter. It prevents a second one for the same failure."""
RawJob = dict[bytes, bytes]
"""A job's hash as stored in Redis."""
_RARE = frozenset((b"atm", b"attemptsMade", b"stc", b"parent", b"progress"))
"""Fields that the hash of most jobs does not have."""


def is_orphan(raw: RawJob) -> bool:
    """Whether the id was in a list but its hash was gone: it has only what the fetch itself wrote."""
    return b"name" not in raw and b"data" not in raw and b"timestamp" not in raw


def unsound_fields(raw: RawJob) -> list[bytes]:
    """Return the fields that would make BullMQ's own scripts fail half-way: counters and the parent."""
    unsound: list[bytes] = [
        field for field in (b"atm", b"ats", b"stc") if field in raw and not _is_integer(raw[field])
    ]
    if b"parent" in raw and _parent(raw) is None:
        unsound += [b"parent", b"parentKey"]
    return unsound


def read_job(
    raw: RawJob,
    job_id: str,
    queue_name: str,
    parse: Callable[[bytes], tuple[Mapping[str, Any], JobPolicy]],
    *,
    max_bytes: int,
    token: str = "",
    actions: JobActions | None = None,
) -> tuple[Job, JobPolicy]:
    """Read a job's hash. ``parse`` reads its options, ``max_bytes`` bounds its name, data and opts, each.

    Raises ``InvalidPayloadError`` saying which field cannot be read and why.
    """
    _refuse_too_long(raw, max_bytes)
    plain = raw.get(b"ats") == b"1" and raw.keys().isdisjoint(_RARE)
    if not plain and (unsound := unsound_fields(raw)):
        raise InvalidPayloadError(f"{unsound[0].decode()} cannot be read")
    given, options = parse(raw.get(b"opts", b""))
    name, data = _name_and_data(raw)
    attempt = 1 if plain else attempts_made(raw) + 1
    timestamp, priority = _number(raw, b"timestamp"), _number(raw, b"priority")
    progress = 0 if plain else _optional_json(raw, b"progress", 0)
    parent = None if plain else _parent(raw)
    stalled_count = 0 if plain else _number(raw, b"stc")
    opts = dict(given)  # a copy: other jobs with the same options share the original
    job = Job(  # by position: with names this takes three times as long
        job_id,
        name,
        data,
        opts,
        queue_name,
        attempt,
        options.attempts,
        timestamp,
        priority,
        progress,
        parent,
        stalled_count,
        token,
        actions,
    )
    return job, options


def unreadable_job(raw: RawJob, job_id: str, queue_name: str) -> Job:
    """Return what is known of a job that ``read_job`` refused. It never runs."""
    return Job(
        id=job_id,
        name=raw.get(b"name", b"").decode(errors="replace"),
        data=None,
        opts={},
        queue_name=queue_name,
        attempt=attempts_made(raw) + 1,
        timestamp=_number(raw, b"timestamp"),
    )


def _refuse_too_long(raw: RawJob, max_bytes: int) -> None:
    for field in (b"name", b"data", b"opts"):
        if len(raw.get(field, b"")) > max_bytes:
            raise InvalidPayloadError(
                f"{field.decode()} has {len(raw[field]):,} bytes, more than the limit of {max_bytes:,} "
                "(setting max_payload_bytes)"
            )


def _name_and_data(raw: RawJob) -> tuple[str, Any]:
    try:
        return raw[b"name"].decode(), decode_json_bytes(raw.get(b"data", b"{}"))
    except KeyError as error:
        raise InvalidPayloadError("name is missing") from error
    except UnicodeDecodeError as error:
        raise InvalidPayloadError(f"name or data is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise InvalidPayloadError("data is nested too deep") from error
    except ValueError as error:
        raise InvalidPayloadError(f"data is not JSON: {error}") from error


def attempts_made(raw: RawJob) -> int:
    """Return how many attempts of this job have failed so far."""
    return _number(raw, b"atm") or _number(raw, b"attemptsMade")


def waited_ms(raw: RawJob, job: Job) -> float:
    """Return how long (ms) ``job`` was ready before this fetch: since it was added, or its delay was over.

    For a retry the time at which it became ready is not stored; then 0.
    """
    ready = job.timestamp
    if job.attempt != 1 or not ready:
        return 0.0
    if (delay := _number(raw, b"delay")) > 0:
        ready += delay
    waited = _number(raw, b"processedOn") - ready
    return float(waited) if waited > 0 else 0.0


def scheduler_of(raw: RawJob) -> str:
    """Return the job scheduler that made the job; empty for none."""
    return exact_text(raw[b"rjk"]) if b"rjk" in raw else ""


def deferred_failure_of(raw: RawJob) -> str | None:
    """Return why the job must fail without another run, or None: BullMQ's deferred failure.

    Source: field ``defa`` of moveStalledJobsToWait-9.lua, and of moveToFinished-14.lua (failParentOnFailure). A
    request to cancel a running job is stored there too.
    """
    return raw[b"defa"].decode(errors="replace") if b"defa" in raw else None


def payload_of(raw: RawJob) -> dict[str, bytes]:
    """Return what a producer wrote, as stored: for the dead letter of a job that cannot be read."""
    return {field: raw[field.encode()] for field in ("name", "data", "opts") if field.encode() in raw}


def earlier_traces(raw: RawJob) -> list[str]:
    """Return the stack traces of earlier attempts."""
    traces = _optional_json(raw, b"stacktrace", [])
    return [str(trace) for trace in traces] if isinstance(traces, list) else []


def _number(raw: RawJob, field: bytes) -> int:
    text = raw.get(field)
    if not text or text == b"0":
        return 0
    try:
        number = int(text)
    except ValueError:
        leading = _LEADING_INTEGER.match(text)
        number = int(leading[1]) if leading else 0
    return number if -MAX_NUMBER <= number <= MAX_NUMBER else MAX_NUMBER if number > 0 else -MAX_NUMBER


def _is_integer(text: bytes) -> bool:
    return _INTEGER.fullmatch(text) is not None


def _optional_json(raw: RawJob, field: bytes, default: Any) -> Any:
    text = raw.get(field)
    if not text or text == b"0":
        return default
    try:
        return decode_json_bytes(text)
    except (ValueError, RecursionError):
        return default


def _parent(raw: RawJob) -> Mapping[str, Any] | None:
    parent = _optional_json(raw, b"parent", None)
    return parent if isinstance(parent, dict) else None
