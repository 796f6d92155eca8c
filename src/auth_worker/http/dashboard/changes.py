"""The page of the audit log: who changed what."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.admin.audit_log import MOST_KEPT
from auth_worker.http.dashboard.visit import PAGE, Visit


async def show_changes(visit: Visit) -> Response:
    """Show the changes, the newest first."""
    audit_log = (await visit.operations()).audit_log
    offset = visit.offset(await audit_log.count())
    found = await audit_log.page(offset, PAGE)
    return visit.page(
        "changes.html",
        changes=found.changes,
        most_kept=MOST_KEPT,
        next_offset=found.next_offset,
        offset=offset,
    )
