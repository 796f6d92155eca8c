"""The routes of queues, workers, dead letters, bulk operations, the service and the doctor.

Each is an operation that the command line has too, with the same result.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from auth_worker.admin.bulk_records import BulkOperation
from auth_worker.admin.models import (
    DeadLetterDetail,
    DeadLetterPage,
    DeadLetterQueue,
    Diagnosis,
    QueueList,
    QueueOverview,
    RedrivenJob,
    WorkerEntry,
)
from auth_worker.core.report import ServiceHealth
from auth_worker.http.api.begin_bulk import begin_again, begin_bulk, request_again
from auth_worker.http.api.bodies import Note
from auth_worker.http.api.bulk_bodies import AnyBulk
from auth_worker.http.api.context import CALLER_NAME
from auth_worker.http.api.parameters import (
    ChangeHeader,
    DeadLetterPart,
    KnownQueue,
    Limit,
    Name,
    Offset,
    OperationPart,
    QueuePart,
    Reveal,
    TheContext,
    TheOperations,
    WantedDeadLetters,
)

look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[ChangeHeader])


# Queues


@look.get("/queues", tags=["queues"])
async def list_queues(operations: TheOperations) -> QueueList:
    """List the queues with job counts, rates, the age of the oldest job, workers and dead letters."""
    return await operations.queues.overview()


@look.get("/queues/{queue}", tags=["queues"])
async def show_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Show one queue."""
    return await operations.queues.describe_one(queue)


@act.post("/queues/{queue}/pause", tags=["queues"])
async def pause_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Pause a queue for all its workers, wherever they run. Running jobs go on."""
    await operations.queues.pause(queue)
    return await operations.queues.describe_one(queue)


@act.post("/queues/{queue}/resume", tags=["queues"])
async def resume_queue(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Resume a paused queue."""
    await operations.queues.resume(queue)
    return await operations.queues.describe_one(queue)


@look.get("/workers", tags=["queues"])
async def list_workers(
    operations: TheOperations,
    queue: Annotated[Name | None, Query(description="Only workers of this queue.")] = None,
) -> list[WorkerEntry]:
    """List the workers that are connected to the queues, including those of Node."""
    return await operations.worker_connections(queue)


# Dead letters


@look.get("/dead-letters", tags=["dead letters"])
async def list_dead_letter_queues(operations: TheOperations) -> list[DeadLetterQueue]:
    """List the dead-letter queues that hold dead letters."""
    found = await operations.dead.queues()
    return [DeadLetterQueue(dead_letter_queue=name, letters=count) for name, count in found.items()]


@look.get("/dead-letters/{queue}", tags=["dead letters"])
async def list_letters(
    queue: KnownQueue, operations: TheOperations, wanted: WantedDeadLetters, offset: Offset = 0, limit: Limit = 50
) -> DeadLetterPage:
    """List the dead letters of a dead-letter queue, the newest first."""
    await operations.dead.check_origin(wanted.queue)
    return await operations.dead.page(queue, wanted, offset, limit)


@look.get("/dead-letters/{queue}/{letter_id}", tags=["dead letters"])
async def show_letter(
    queue: KnownQueue, letter_id: DeadLetterPart, operations: TheOperations, reveal: Reveal = False
) -> DeadLetterDetail:
    """Show a dead letter. Unless revealed, texts are masked, and only the shape of the data is shown."""
    return await operations.dead.show(queue, letter_id, reveal=reveal)


@act.post("/dead-letters/{queue}/{letter_id}/redrive", tags=["dead letters"])
async def redrive_letter(queue: KnownQueue, letter_id: DeadLetterPart, operations: TheOperations) -> RedrivenJob:
    """Let the job of a dead letter run again with fresh attempts."""
    return RedrivenJob(job_id=await operations.dead.redrive(queue, letter_id))


@act.post("/dead-letters/{queue}/{letter_id}/notes", tags=["dead letters"], status_code=201)
async def add_note(
    queue: KnownQueue, letter_id: DeadLetterPart, note: Note, operations: TheOperations
) -> DeadLetterDetail:
    """Add a note to a dead letter, such as why it is left there. Whoever may read it sees the note."""
    await operations.dead.add_note(queue, letter_id, note.text)
    return await operations.dead.show(queue, letter_id)


@act.delete("/dead-letters/{queue}/{letter_id}", tags=["dead letters"], status_code=204)
async def discard_letter(queue: KnownQueue, letter_id: DeadLetterPart, operations: TheOperations) -> None:
    """Remove a dead letter. Its job stays as it is."""
    await operations.dead.discard(queue, letter_id)


# Many at a time


@look.get("/operations", tags=["bulk operations"])
async def list_bulk_operations(context: TheContext) -> list[BulkOperation]:
    """List the newest 100 bulk operations of all services, the newest first."""
    return await context.bulk_runs.all()


@act.post("/operations", tags=["bulk operations"], status_code=202)
async def begin_bulk_operation(
    asked: AnyBulk, operations: TheOperations, context: TheContext, response: Response
) -> BulkOperation:
    """Retry, promote, remove, cancel, drain, clean, redrive or purge many, in small batches.

    If it takes more than half a second, it goes on after the response: request it again to see its progress.
    """
    begun = await begin_bulk(asked, operations, context.bulk_runs, CALLER_NAME.get())
    response.headers["location"] = f"/api/v1/operations/{begun.id}"
    return begun


@look.get("/operations/{operation_id}", tags=["bulk operations"])
async def show_bulk_operation(operation_id: OperationPart, context: TheContext) -> BulkOperation:
    """Show the progress of a bulk operation, whichever service runs it."""
    return await context.bulk_runs.get(operation_id)


@act.delete("/operations/{operation_id}", tags=["bulk operations"])
async def stop_bulk_operation(operation_id: OperationPart, context: TheContext) -> BulkOperation:
    """Stop a bulk operation between two batches, whichever service runs it. What is done stays done."""
    return await context.bulk_runs.stop(operation_id, CALLER_NAME.get())


@act.post("/operations/{operation_id}/again", tags=["bulk operations"], status_code=202)
async def begin_bulk_operation_again(
    operation_id: OperationPart, operations: TheOperations, context: TheContext, response: Response
) -> BulkOperation:
    """Begin a bulk operation again that was interrupted or stopped, or has failed, with what matches now."""
    asked = await request_again(operations, operation_id)
    begun = await begin_again(operation_id, asked, operations, context.bulk_runs, CALLER_NAME.get())
    response.headers["location"] = f"/api/v1/operations/{begun.id}"
    return begun


# This service


@look.get("/service", tags=["service"])
async def show_service(context: TheContext) -> ServiceHealth:
    """Show the health of the service that answers, and the metrics of its processors."""
    return await context.health()


@act.post("/service/pause", tags=["service"])
async def pause_service(context: TheContext) -> ServiceHealth:
    """Stop the service that answers from taking jobs. Other workers go on."""
    await context.pause_here(None)
    return await context.health()


@act.post("/service/resume", tags=["service"])
async def resume_service(context: TheContext) -> ServiceHealth:
    """Let the service that answers take jobs again."""
    await context.resume_here(None)
    return await context.health()


@act.post("/service/processors/{queue}/pause", tags=["service"])
async def pause_processor(queue: QueuePart, context: TheContext) -> ServiceHealth:
    """Stop the service that answers from taking jobs of a queue."""
    await context.pause_here(queue)
    return await context.health()


@act.post("/service/processors/{queue}/resume", tags=["service"])
async def resume_processor(queue: QueuePart, context: TheContext) -> ServiceHealth:
    """Let the service that answers take jobs of a queue again."""
    await context.resume_here(queue)
    return await context.health()


@look.get("/doctor", tags=["service"])
async def examine(operations: TheOperations) -> Diagnosis:
    """Check that Redis is suitable for jobs and that the queues make progress. Each finding has its remedy."""
    return await operations.doctor.examine()
