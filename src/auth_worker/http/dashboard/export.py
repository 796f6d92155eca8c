"""Exports the jobs of a list as lines of JSON (NDJSON), as they are found and as fast as the caller reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.responses import Response

from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import Change, JobPage, JobRow
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import JobFilter, checked_state
from auth_worker.http.dashboard.visit import HEADERS, PAGE, Visit, job_filter
from auth_worker.http.streaming import GeneratedResponse


async def export_jobs(visit: Visit) -> Response:
    """Send the rows of all jobs of a state that match, without their data."""
    return await _export(visit, reveal=False)


async def export_data(visit: Visit) -> Response:
    """Send all that is stored of these jobs, and put the access on record."""
    return await _export(visit, reveal=True)


async def _export(visit: Visit, *, reveal: bool) -> Response:
    operations = await visit.operations()
    queue, state = await visit.known_queue(visit.asked("queue")), checked_state(visit.asked("state"))
    pages = _pages(operations, queue, state, job_filter(visit))
    if reveal:
        operations.audit_log.record(Change(action="reveal", queue=queue, target=f"export of {state} jobs"))
        lines = _whole(operations, pages)
    else:
        lines = _rows(pages)
    headers = {**HEADERS, "content-disposition": 'attachment; filename="jobs.ndjson"'}
    return GeneratedResponse(lines, headers=headers, media_type="application/x-ndjson")


async def _pages(operations: Operations, queue: str, state: str, wanted: JobFilter) -> AsyncGenerator[JobPage]:
    """Yield the list page by page, up to as many jobs as there are at the beginning."""
    offset: int | None = 0
    most: int | None = None
    while offset is not None and (most is None or offset < most):
        page = await operations.jobs.page(queue, state, wanted, offset=offset, limit=PAGE)
        most = page.total if most is None else most
        yield page
        offset = page.next_offset


async def _rows(pages: AsyncGenerator[JobPage]) -> AsyncGenerator[str]:
    async for page in pages:
        yield "".join(map(_line, page.jobs))


async def _whole(operations: Operations, pages: AsyncGenerator[JobPage]) -> AsyncGenerator[str]:
    """Yield the lines one by one, since each may be large."""
    async for page in pages:
        for row in page.jobs:
            try:
                job = await operations.jobs.show(page.queue, row.id, reveal=True)
            except NotFoundError:  # it was removed meanwhile
                continue
            yield _line(job)


def _line(job: JobRow) -> str:
    return f"{job.model_dump_json(by_alias=True, exclude_none=True)}\n"
