"""The routes: each an operation that the command line has too, and the same answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from auth_worker.admin.access import CHANGE_HEADER
from auth_worker.admin.api.background import BulkOperation
from auth_worker.admin.api.bodies import AnyBulk, JobChange, LetterSelection, NewJob
from auth_worker.admin.api.desk import WHO
from auth_worker.admin.api.parameters import (
    JobPart,
    Jobs,
    KnownQueue,
    LetterPart,
    Letters,
    Limit,
    Name,
    Offset,
    OperationPart,
    QueuePart,
    Reveal,
    State,
    TheDesk,
    TheOperations,
)
from auth_worker.admin.api.steps import steps_of
from auth_worker.admin.jobs_read import SCAN
from auth_worker.admin.models import (
    AddedJob,
    DeadLetterQueue,
    Diagnosis,
    JobDetail,
    JobLogs,
    JobPage,
    LetterDetail,
    LetterPage,
    QueueList,
    QueueOverview,
    RedrivenJob,
    WorkerEntry,
)
from auth_worker.report import ServiceHealth

MOST_LOGS = 1000


def _change_header(
    sent: Annotated[
        str,
        Header(
            alias=CHANGE_HEADER, description="Any value. No form of another site can send it; without it: 403."
        ),
    ],
) -> None:
    """For the document alone: the guard before the API has looked at it already."""


look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[Depends(_change_header)])


# Queues


@look.get("/queues", tags=["queues"])
async def list_queues(operations: TheOperations) -> QueueList:
    """Every queue: counts, rates, the age of the oldest job, paused or not, workers, dead letters."""
    return await operations.queues.overview()


@look.get("/queues/{queue}", tags=["queues"])
async def show_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """One queue."""
    return (await operations.queues.describe([queue]))[0]


@act.post("/queues/{queue}/pause", tags=["queues"])
async def pause_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Pause a queue for all its workers, wherever they run. What runs now runs on."""
    await operations.queues.pause(queue)
    return (await operations.queues.describe([queue]))[0]


@act.post("/queues/{queue}/resume", tags=["queues"])
async def resume_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Let the workers of a paused queue go on."""
    await operations.queues.resume(queue)
    return (await operations.queues.describe([queue]))[0]


@look.get("/workers", tags=["queues"])
async def list_workers(
    operations: TheOperations, queue: Annotated[Name | None, Query(description="Only its workers.")] = None
) -> list[WorkerEntry]:
    """The workers connected to the queues, Node's too."""
    return await operations.workers(queue)


# Jobs


@look.get("/queues/{queue}/jobs", tags=["jobs"])
async def list_jobs(
    queue: KnownQueue,
    operations: TheOperations,
    wanted: Jobs,
    state: State,
    offset: Offset = 0,
    limit: Limit = 50,
    scan: Annotated[int, Query(ge=1, le=SCAN, description="Look at so many, at most.")] = SCAN,
) -> JobPage:
    """Jobs of a state: next to run first, of the finished ones the newest."""
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
    limit: Annotated[int, Query(ge=1, le=MOST_LOGS, description="The last so many lines.")] = MOST_LOGS,
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


# Dead letters


@look.get("/dead-letters", tags=["dead letters"])
async def list_dead_letter_queues(operations: TheOperations) -> list[DeadLetterQueue]:
    """The dead-letter queues that have letters."""
    found = await operations.dead.queues()
    return [DeadLetterQueue(dead_letter_queue=name, letters=count) for name, count in found.items()]


@look.get("/dead-letters/{queue}", tags=["dead letters"])
async def list_letters(
    queue: KnownQueue, operations: TheOperations, wanted: Letters, offset: Offset = 0, limit: Limit = 50
) -> LetterPage:
    """The letters of a dead-letter queue, the newest first."""
    await operations.dead.check_origin(wanted.queue)
    return await operations.dead.page(queue, wanted, offset, limit)


@look.get("/dead-letters/{queue}/{letter_id}", tags=["dead letters"])
async def show_letter(
    queue: KnownQueue, letter_id: LetterPart, operations: TheOperations, reveal: Reveal = False
) -> LetterDetail:
    """Why a job died; its data shows its shape, and texts are masked, unless revealed."""
    return await operations.dead.show(queue, letter_id, reveal=reveal)


@act.post("/dead-letters/{queue}/{letter_id}/redrive", tags=["dead letters"])
async def redrive_letter(queue: KnownQueue, letter_id: LetterPart, operations: TheOperations) -> RedrivenJob:
    """Let the job of a letter run again, with fresh attempts."""
    return RedrivenJob(job_id=await operations.dead.redrive(queue, letter_id))


@act.delete("/dead-letters/{queue}/{letter_id}", tags=["dead letters"], status_code=204)
async def discard_letter(queue: KnownQueue, letter_id: LetterPart, operations: TheOperations) -> None:
    """Throw a letter away. Its job stays as it is."""
    await operations.dead.discard(queue, letter_id)


# Many at a time


@look.get("/operations", tags=["bulk operations"])
async def list_bulk_operations(desk: TheDesk) -> list[BulkOperation]:
    """The bulk operations that this service has been told to do, the newest first."""
    return desk.background.all()


@act.post("/operations", tags=["bulk operations"], status_code=202)
async def begin_bulk_operation(
    asked: AnyBulk, operations: TheOperations, desk: TheDesk, response: Response
) -> BulkOperation:
    """Retry, promote, remove, drain, clean, redrive or purge many, in small batches.

    It goes on after the answer, where it takes more than half a second; look at it again to see how far it is.
    """
    if asked.queue is not None:
        await operations.jobs.check_queue(asked.queue)
    if isinstance(asked, LetterSelection):
        await operations.dead.check_origin(asked.origin)
    begun = await desk.background.begin(
        asked.action, asked.queue, WHO.get(), asked.dry_run, lambda: steps_of(asked, operations)
    )
    response.headers["location"] = f"/api/v1/operations/{begun.id}"
    return begun


@look.get("/operations/{operation_id}", tags=["bulk operations"])
async def show_bulk_operation(operation_id: OperationPart, desk: TheDesk) -> BulkOperation:
    """How far a bulk operation is."""
    return desk.background.get(operation_id)


@act.delete("/operations/{operation_id}", tags=["bulk operations"])
async def stop_bulk_operation(operation_id: OperationPart, desk: TheDesk) -> BulkOperation:
    """Stop a bulk operation between two batches; what is done stays done."""
    return await desk.background.stop(operation_id)


# This service


@look.get("/service", tags=["service"])
async def show_service(desk: TheDesk) -> ServiceHealth:
    """The health of the service that answers, and the metrics of its processors."""
    return await desk.health()


@act.post("/service/pause", tags=["service"])
async def pause_service(desk: TheDesk) -> ServiceHealth:
    """Let the service that answers take no more jobs; other workers go on."""
    await desk.pause_here(None)
    return await desk.health()


@act.post("/service/resume", tags=["service"])
async def resume_service(desk: TheDesk) -> ServiceHealth:
    """Let the service that answers take jobs again."""
    await desk.resume_here(None)
    return await desk.health()


@act.post("/service/processors/{queue}/pause", tags=["service"])
async def pause_processor(queue: QueuePart, desk: TheDesk) -> ServiceHealth:
    """Let the service that answers take no more jobs of a queue."""
    await desk.pause_here(queue)
    return await desk.health()


@act.post("/service/processors/{queue}/resume", tags=["service"])
async def resume_processor(queue: QueuePart, desk: TheDesk) -> ServiceHealth:
    """Let the service that answers take jobs of a queue again."""
    await desk.resume_here(queue)
    return await desk.health()


@look.get("/doctor", tags=["service"])
async def examine(operations: TheOperations) -> Diagnosis:
    """Is Redis fit for jobs, and do the queues go on; each finding with its remedy."""
    return await operations.doctor.examine()
