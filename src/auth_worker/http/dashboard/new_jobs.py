"""Adds jobs: copies of others, edited on the page of the job."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from starlette.responses import Response

from auth_worker.admin.models import JobDetail
from auth_worker.core.json_codec import decode_json
from auth_worker.errors import ConfigurationError
from auth_worker.http.api.bodies import NewJob
from auth_worker.http.dashboard.visit import Visit

LONGEST = 64 * 1024
"""How many characters the data of a job may have to be edited on its page."""
COPIED = (
    *("attempts", "backoff", "priority", "lifo"),
    *("removeOnComplete", "removeOnFail", "keepLogs", "stackTraceLimit"),
)
"""The options of a job that its copy has too."""


class Copy(NamedTuple):
    """The data and the options of a copy, as JSON to be edited."""

    data: str
    opts: str


def copy_of(job: JobDetail) -> Copy | None:
    """Return the copy of a job whose data is revealed; None if the data is too large to be edited on a page."""
    data = _json(job.data)
    return Copy(data, _json(copied_options(job))) if len(data) <= LONGEST else None


def copied_options(job: JobDetail) -> dict[str, Any]:
    """Return the options that a copy of the job has."""
    return {name: job.opts[name] for name in COPIED if job.opts.get(name) is not None}


async def add_job(visit: Visit) -> Response:
    """Add a job with the name, data and options of the form; once, if the form is sent twice."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.field("queue"))
    asked = NewJob.model_validate(
        {"name": visit.field("name"), "data": _read(visit, "data"), "opts": _read(visit, "opts")}
    )
    once = {} if visit.once() is None else {"jobId": visit.once()}
    added = await operations.jobs.add(queue, asked.name, asked.data, {**once, **asked.options()})
    return visit.go("job", queue=queue, job=added.id, done="add")


def _json(value: Any) -> str:
    """Return JSON to be edited, in which what cannot be seen is escaped."""
    return "".join(map(_visible, json.dumps(value, indent=2, ensure_ascii=False)))


def _visible(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return json.dumps(character)[1:-1]


def _read(visit: Visit, name: str) -> Any:
    """Return a field that holds JSON. Its content is in no message."""
    try:
        return decode_json(visit.field(name).strip() or "{}")
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{name}: this is not JSON") from None
