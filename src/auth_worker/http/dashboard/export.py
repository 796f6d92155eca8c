"""Exports the jobs of a list as lines of JSON (NDJSON)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response

from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import JobFilter, checked_state
from auth_worker.http.dashboard.visit import HEADERS, PAGE, Visit, job_filter
from auth_worker.http.streaming import GeneratedResponse

MOST_EXPORTED = 100_000
"""How many jobs are exported at most."""


async def export_jobs(visit: Visit) -> Response:
    """Send the rows of all jobs of a state that match, without their data, as they are found."""
    operations = await visit.operations()
    queue, state = await visit.known_queue(visit.asked("queue")), checked_state(visit.asked("state"))
    rows = _rows(operations, queue, state, job_filter(visit))
    headers = {**HEADERS, "content-disposition": 'attachment; filename="jobs.ndjson"'}
    return GeneratedResponse(rows, headers=headers, media_type="application/x-ndjson")


async def _rows(operations: Operations, queue: str, state: str, wanted: JobFilter) -> AsyncGenerator[Any]:
    offset: int | None = 0
    exported = 0
    while offset is not None and exported < MOST_EXPORTED:
        page = await operations.jobs.page(queue, state, wanted, offset=offset, limit=PAGE)
        exported, offset = exported + len(page.jobs), page.next_offset
        yield "".join(f"{row.model_dump_json(by_alias=True, exclude_none=True)}\n" for row in page.jobs)
