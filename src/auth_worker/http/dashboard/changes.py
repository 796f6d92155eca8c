"""The account of changes: who has changed what."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.admin.account import MOST_KEPT
from auth_worker.http.dashboard.visit import PAGE, Visit


async def show_changes(visit: Visit) -> Response:
    """The changes, the newest first."""
    found = await (await visit.operations()).account.page(visit.offset(), PAGE)
    return visit.page(
        "changes.html",
        changes=found.changes,
        most_kept=MOST_KEPT,
        next_offset=found.next_offset,
        offset=visit.offset(),
    )
