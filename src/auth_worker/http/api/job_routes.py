"""The routes of jobs. Each is an operation that the command line has too, with the same result."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from auth_worker.admin.error_groups import ErrorGroups
from auth_worker.admin.models import (
    AddedJob,
    JobDetail,
    JobLogs,
    JobPage,
)
from auth_worker.admin.selection import SCAN
from auth_worker.errors import ConfigurationError
from auth_worker.http.api.bodies import Cancellation, DeadLettering, JobChange, NewJob
from auth_worker.http.api.parameters import (
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
    scan: Annotated[int, Plain, Query(ge=1, le=SCAN, description="How many jobs to read at most.")] = SCAN,
    group_by: Annotated[
        Literal["error"] | None, Query(alias="groupBy", description="Group failed jobs by their errors.")
    ] = None,
) -> JobPage | ErrorGroups:
    """List jobs of a state: the next to run, or the last finished, first; or group failed jobs by their errors."""
    if group_by is not None:
        if state != "failed":
            raise ConfigurationError("groupBy=error is for failed jobs: set state=failed")
        return await operations.jobs.error_groups(queue, wanted, scan)
    return await operations.jobs.page(queue, state, wanted, offset=offset, limit=limit, scan=scan)


@act.post("/queues/{queue}/jobs", tags=["jobs"], status_code=201)
async def add_job(queue: QueuePart, job: NewJob, operations: TheOperations) -> AddedJob:
    """Add a job. If the id exists already, nothing is added."""
    added = await operations.jobs.add(queue, job.name, job.data, job.options())
    return AddedJob(queue=queue, name=job.name, id=added.id, created=added.created)


@look.get("/queues/{queue}/jobs/{job_id}", tags=["jobs"])
async def show_job(
    queue: KnownQueue, job_id: JobPart, operations: TheOperations, reveal: Reveal = False
) -> JobDetail:
    """Show a job in full. Unless revealed, texts are masked, and only the shape of the data is shown."""
    return await operations.jobs.show(queue, job_id, reveal=reveal)


@look.get("/queues/{queue}/jobs/{job_id}/logs", tags=["jobs"])
async def show_job_logs(
    queue: KnownQueue,
    job_id: JobPart,
    operations: TheOperations,
    limit: Annotated[
        int, Plain, Query(ge=1, le=MOST_LOGS, description="How many lines to return, the last ones.")
    ] = MOST_LOGS,
    reveal: Reveal = False,
) -> JobLogs:
    """Show what a job has logged."""
    return await operations.jobs.logs(queue, job_id, limit, reveal=reveal)


@act.patch("/queues/{queue}/jobs/{job_id}", tags=["jobs"])
async def change_job(
    queue: KnownQueue, job_id: JobPart, change: JobChange, operations: TheOperations
) -> JobDetail:
    """Change the priority of a job that has not finished, or the delay of a delayed one."""
    await operations.jobs.change(queue, job_id, priority=change.priority, delay=change.delay)
    return await operations.jobs.show(queue, job_id, logs=0)


@act.delete("/queues/{queue}/jobs/{job_id}", tags=["jobs"], status_code=204)
async def remove_job(
    queue: KnownQueue,
    job_id: JobPart,
    operations: TheOperations,
    children: Annotated[bool, Query(description="Remove its children too.")] = False,
) -> None:
    """Remove a job that no worker is running."""
    await operations.jobs.remove(queue, job_id, children=children)


@act.post("/queues/{queue}/jobs/{job_id}/retry", tags=["jobs"], status_code=204)
async def retry_job(queue: KnownQueue, job_id: JobPart, operations: TheOperations) -> None:
    """Let a finished job run again with fresh attempts. The dead letter of a failed one is removed."""
    await operations.jobs.retry(queue, job_id)


@act.post("/queues/{queue}/jobs/{job_id}/cancel", tags=["jobs"], status_code=204)
async def cancel_job(
    queue: KnownQueue, job_id: JobPart, operations: TheOperations, asked: Cancellation | None = None
) -> None:
    """Cancel a job that has not finished: it fails at once, or its worker is asked to stop it."""
    await operations.jobs.cancel(queue, job_id, asked.reason if asked else "")


@act.post("/queues/{queue}/jobs/{job_id}/dead-letter", tags=["jobs"], status_code=204)
async def dead_letter_job(
    queue: KnownQueue, job_id: JobPart, operations: TheOperations, asked: DeadLettering | None = None
) -> None:
    """Move a job that does not run to the dead letters: it fails, or gets the dead letter that it lacks."""
    wanted = asked or DeadLettering()
    await operations.jobs.dead_letter(queue, job_id, wanted.to or "", wanted.reason)


@act.post("/queues/{queue}/jobs/{job_id}/promote", tags=["jobs"], status_code=204)
async def promote_job(queue: KnownQueue, job_id: JobPart, operations: TheOperations) -> None:
    """Let a delayed job run now."""
    await operations.jobs.promote(queue, job_id)
