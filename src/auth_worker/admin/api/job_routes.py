"""The routes of jobs: each an operation that the command line has too, and the same answer."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from auth_worker.admin.api.bodies import JobChange, NewJob
from auth_worker.admin.api.parameters import (
    ChangeHeader,
    JobPart,
    Jobs,
    KnownQueue,
    Limit,
    Offset,
    Plain,
    QueuePart,
    Reveal,
    State,
    TheOperations,
)
from auth_worker.admin.error_groups import ErrorGroups
from auth_worker.admin.jobs_read import SCAN
from auth_worker.admin.models import (
    AddedJob,
    JobDetail,
    JobLogs,
    JobPage,
)
from auth_worker.errors import ConfigurationError

MOST_LOGS = 1000


look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[ChangeHeader])


@look.get("/queues/{queue}/jobs", tags=["jobs"])
async def list_jobs(
    queue: KnownQueue,
    operations: TheOperations,
    wanted: Jobs,
    state: State,
    offset: Offset = 0,
    limit: Limit = 50,
    scan: Annotated[int, Plain, Query(ge=1, le=SCAN, description="Look at so many, at most.")] = SCAN,
    group_by: Annotated[
        Literal["error"] | None, Query(alias="groupBy", description="Failed jobs, by what they failed with.")
    ] = None,
) -> JobPage | ErrorGroups:
    """Jobs of a state: next to run first, of the finished ones the newest; or failed ones in groups."""
    if group_by is not None:
        if state != "failed":
            raise ConfigurationError("groupBy=error is for failed jobs: give state=failed")
        return await operations.jobs.error_groups(queue, wanted, scan)
    return await operations.jobs.page(queue, state, wanted, offset=offset, limit=limit, scan=scan)


@act.post("/queues/{queue}/jobs", tags=["jobs"], status_code=201)
async def add_job(queue: QueuePart, job: NewJob, operations: TheOperations) -> AddedJob:
    """Add a job. Adding an id that exists already adds nothing."""
    options = job.opts.wire()
    if job.opts.size_limit is not None:
        options["size_limit"] = job.opts.size_limit
    return AddedJob(queue=queue, name=job.name, id=await operations.jobs.add(queue, job.name, job.data, options))


@look.get("/queues/{queue}/jobs/{job_id}", tags=["jobs"])
async def show_job(
    queue: KnownQueue, job_id: JobPart, operations: TheOperations, reveal: Reveal = False
) -> JobDetail:
    """All that is known of a job; its data shows its shape, and texts are masked, unless revealed."""
    return await operations.jobs.show(queue, job_id, reveal=reveal)


@look.get("/queues/{queue}/jobs/{job_id}/logs", tags=["jobs"])
async def show_job_logs(
    queue: KnownQueue,
    job_id: JobPart,
    operations: TheOperations,
    limit: Annotated[int, Plain, Query(ge=1, le=MOST_LOGS, description="The last so many lines.")] = MOST_LOGS,
    reveal: Reveal = False,
) -> JobLogs:
    """What a job has logged."""
    return await operations.jobs.logs(queue, job_id, limit, reveal=reveal)


@act.patch("/queues/{queue}/jobs/{job_id}", tags=["jobs"])
async def change_job(
    queue: KnownQueue, job_id: JobPart, change: JobChange, operations: TheOperations
) -> JobDetail:
    """Give a job that has not finished another priority, or a delayed one another delay."""
    await operations.jobs.change(queue, job_id, priority=change.priority, delay=change.delay)
    return await operations.jobs.show(queue, job_id, logs=0)


@act.delete("/queues/{queue}/jobs/{job_id}", tags=["jobs"], status_code=204)
async def remove_job(
    queue: KnownQueue,
    job_id: JobPart,
    operations: TheOperations,
    children: Annotated[bool, Query(description="Its children too.")] = False,
) -> None:
    """Remove a job that no worker has."""
    await operations.jobs.remove(queue, job_id, children=children)


@act.post("/queues/{queue}/jobs/{job_id}/retry", tags=["jobs"], status_code=204)
async def retry_job(queue: KnownQueue, job_id: JobPart, operations: TheOperations) -> None:
    """Let a finished job run again, with fresh attempts; a failed one's letter goes with it."""
    await operations.jobs.retry(queue, job_id)


@act.post("/queues/{queue}/jobs/{job_id}/promote", tags=["jobs"], status_code=204)
async def promote_job(queue: KnownQueue, job_id: JobPart, operations: TheOperations) -> None:
    """Let a delayed job run now."""
    await operations.jobs.promote(queue, job_id)
