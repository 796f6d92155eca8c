"""The page of failed jobs of all queues, grouped by their errors."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.http.dashboard.visit import PAGE, Visit, next_offset

MOST_SHARES = 10
"""How many queues of a group are shown: those with the most failures of it."""


async def show_errors(visit: Visit) -> Response:
    """Show the groups of failures, the largest first."""
    found = await visit.sampler.errors()
    total = len(found.groups)
    offset = visit.offset(total)
    return visit.page(
        "errors.html",
        most_shares=MOST_SHARES,
        groups=found.groups[offset : offset + PAGE],
        next_offset=next_offset(offset, total),
        offset=offset,
        scanned=found.scanned,
        total=found.total,
    )
