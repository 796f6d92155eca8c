"""The routes of job schedulers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from auth_worker.admin.models import AddedJob, SchedulerDetail, SchedulerEntry
from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.http.api.bodies import Body
from auth_worker.http.api.parameters import (
    ChangeHeader,
    KnownQueue,
    QueuePart,
    Reveal,
    SchedulerPart,
    Text,
    TheOperations,
    Whole,
)
from auth_worker.queue import JobOptions

AT = "/queues/{queue}/schedulers"
look = APIRouter(prefix="/v1", tags=["schedulers"])
act = APIRouter(prefix="/v1", tags=["schedulers"], dependencies=[ChangeHeader])
Date = Whole | Text
"""Epoch ms, or ISO 8601."""


class SchedulerBody(Body):
    """When a job is added, ``every`` (ms) or by the cron ``pattern``, and which: ``name``, ``data``, ``opts``."""

    name: Text
    data: Any = None
    opts: JobOptions = JobOptions()
    every: Whole | None = Field(default=None, ge=1, le=LONGEST_DELAY)
    pattern: Text | None = None
    tz: Text | None = None
    limit: Whole | None = Field(default=None, ge=1, le=MAX_NUMBER)
    offset: Whole | None = Field(default=None, ge=0, le=LONGEST_DELAY)
    immediately: bool | None = None
    start_date: Date | None = None
    end_date: Date | None = None


@look.get(AT)
async def list_schedulers(queue: KnownQueue, operations: TheOperations) -> list[SchedulerEntry]:
    """List the job schedulers of a queue, the next one due first."""
    return await operations.schedulers.entries(queue)


@look.get(AT + "/{scheduler_id}")
async def show_scheduler(
    queue: KnownQueue, scheduler_id: SchedulerPart, operations: TheOperations, reveal: Reveal = False
) -> SchedulerDetail:
    """Show a job scheduler. Only the shape of its jobs' data is shown, unless revealed."""
    return await operations.schedulers.show(queue, scheduler_id, reveal=reveal)


@act.put(AT + "/{scheduler_id}")
async def upsert_scheduler(
    queue: QueuePart, scheduler_id: SchedulerPart, body: SchedulerBody, operations: TheOperations
) -> SchedulerDetail:
    """Create a job scheduler, or replace the one with this id."""
    repeat = {name: getattr(body, name) for name in SchedulerBody.model_fields if name != "opts"}
    return await operations.schedulers.upsert(queue, scheduler_id, **repeat, **body.opts.wire())


@act.post(AT + "/{scheduler_id}/run", status_code=201)
async def run_scheduler(queue: KnownQueue, scheduler_id: SchedulerPart, operations: TheOperations) -> AddedJob:
    """Add one of the scheduler's jobs now. Its schedule does not change."""
    scheduler = await operations.schedulers.show(queue, scheduler_id)
    job = await operations.schedulers.run_now(queue, scheduler_id)
    return AddedJob(queue=queue, name=scheduler.name, id=job.id, created=job.created)


@act.delete(AT + "/{scheduler_id}", status_code=204)
async def remove_scheduler(queue: KnownQueue, scheduler_id: SchedulerPart, operations: TheOperations) -> None:
    """Remove a job scheduler and its next job."""
    await operations.schedulers.remove(queue, scheduler_id)
