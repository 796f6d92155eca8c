"""Starts a bulk operation that a request's body or a form describes, or one that was interrupted again."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import TypeAdapter

from auth_worker.admin.bulk import Steps, only_total
from auth_worker.admin.bulk_records import BulkOperation
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.operations import Operations
from auth_worker.admin.plan import plan_of
from auth_worker.core.redaction import redact
from auth_worker.http.api.bulk_bodies import AnyBulk, DeadLetterSelection
from auth_worker.http.api.bulk_runs import BulkRequest, BulkRuns

BULK: TypeAdapter[AnyBulk] = TypeAdapter(AnyBulk)
LONGEST_SHOWN = 200
_NO_SELECTION = frozenset(("action", "queue", "dryRun", "rate", "ids", "all"))


async def begin_bulk(
    asked: AnyBulk, operations: Operations, runs: BulkRuns, who: str, operation_id: str | None = None
) -> BulkOperation:
    """Start it, and wait a moment for its end. One that was begun before with this ``operation_id`` is returned.

    Raises ``NotFoundError`` for a queue that does not exist, ``RefusedError`` while too many run, ``BrokerError``.
    """
    if asked.queue is not None:
        await operations.queues.check_exists(asked.queue)
    note = ""
    if isinstance(asked, DeadLetterSelection):
        await operations.dead.check_origin(asked.origin)
        note = await operations.dead.note_without_letters(asked.queue)
    request = BulkRequest(
        asked.action,
        asked.queue,
        dry_run=asked.dry_run,
        prepare=partial(_steps_of, asked, operations),
        note=note,
        selection=_selection_of(asked),
        request=asked.model_dump_json(by_alias=True, exclude_unset=True, exclude={"dry_run"}),
    )
    return await runs.begin(request, who, operation_id)


async def request_again(operations: Operations, operation_id: str) -> AnyBulk:
    """Return what was requested when this operation was begun, to begin it again with what matches now.

    Raises ``NotFoundError``, ``RefusedError`` for one that need not or cannot be begun again, ``BrokerError``.
    """
    before = await operations.bulk.get(operation_id)
    if before.state in ("running", "done") or before.dry_run:
        what = "is a dry run" if before.dry_run else "runs still" if before.state == "running" else "is done"
        raise RefusedError(f"this bulk operation {what}: only one that has not come to its end is begun again")
    if before.begun_again_as is not None:
        raise RefusedError(f"this bulk operation was begun again as {before.begun_again_as}")
    request = await operations.bulk.request_of(operation_id)
    if request is None:
        raise RefusedError("this bulk operation named too many ids to be kept: select them again")
    return BULK.validate_json(request)


async def begin_again(
    operation_id: str,
    asked: AnyBulk,
    operations: Operations,
    runs: BulkRuns,
    who: str,
    new_id: str | None = None,
) -> BulkOperation:
    """Begin an operation again as ``asked``, which ``request_again`` has returned, with the id ``new_id``.

    Raises as ``begin_bulk``.
    """
    await operations.bulk.ask_to_stop(operation_id, who)  # its process may only have been frozen
    begun = await begin_bulk(asked, operations, runs, who, new_id)
    await operations.bulk.mark_begun_again(operation_id, begun.id)
    return begun


async def _steps_of(asked: AnyBulk, operations: Operations) -> Steps:
    """Return the steps; of a dry run one, with the number of jobs."""
    plan = await plan_of(asked.asked(), operations)
    return only_total(plan.total) if asked.dry_run else plan.steps


def _selection_of(asked: AnyBulk) -> dict[str, str]:
    """Return what says which jobs or dead letters are meant, as the request names it; texts of jobs are masked."""
    said: dict[str, Any] = asked.model_dump(mode="json", by_alias=True, exclude_unset=True)
    found = {name: _shown(name, value) for name, value in said.items() if name not in _NO_SELECTION and value}
    if ids := said.get("ids"):
        found["ids"] = f"the {len(ids)} selected"
    return found


def _shown(name: str, value: Any) -> str:
    text = "yes" if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (redact(text) if name in ("error", "where", "reason") else text)[:LONGEST_SHOWN]
