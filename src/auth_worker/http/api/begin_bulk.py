"""Starts a bulk operation that a request's body or a form describes."""

from __future__ import annotations

from auth_worker.admin.bulk import Steps, only_total
from auth_worker.admin.operations import Operations
from auth_worker.admin.plan import plan_of
from auth_worker.http.api.bodies import AnyBulk, DeadLetterSelection
from auth_worker.http.api.bulk_runs import BulkOperation, BulkRuns


async def begin_bulk(asked: AnyBulk, operations: Operations, runs: BulkRuns, who: str) -> BulkOperation:
    """Start it, and wait a moment for its end.

    Raises ``NotFoundError`` for a queue that does not exist, ``RefusedError`` while too many run, ``BrokerError``.
    """
    if asked.queue is not None:
        await operations.jobs.check_queue(asked.queue)
    note = ""
    if isinstance(asked, DeadLetterSelection):
        await operations.dead.check_origin(asked.origin)
        note = await operations.dead.note_without_letters(asked.queue)
    return await runs.begin(
        asked.action, asked.queue, who, asked.dry_run, lambda: _steps_of(asked, operations), note
    )


async def _steps_of(asked: AnyBulk, operations: Operations) -> Steps:
    """Return the steps; of a dry run one, with the number of jobs."""
    plan = await plan_of(asked.asked(), operations)
    return only_total(plan.total) if asked.dry_run else plan.steps
