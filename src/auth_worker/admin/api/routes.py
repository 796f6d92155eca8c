"""The routes: each an operation that the command line has too, and the same answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from auth_worker.admin.api.background import BulkOperation
from auth_worker.admin.api.bodies import AnyBulk, LetterSelection
from auth_worker.admin.api.desk import WHO
from auth_worker.admin.api.parameters import (
    ChangeHeader,
    KnownQueue,
    LetterPart,
    Letters,
    Limit,
    Name,
    Offset,
    OperationPart,
    QueuePart,
    Reveal,
    TheDesk,
    TheOperations,
)
from auth_worker.admin.api.steps import steps_of
from auth_worker.admin.models import (
    DeadLetterQueue,
    Diagnosis,
    LetterDetail,
    LetterPage,
    QueueList,
    QueueOverview,
    RedrivenJob,
    WorkerEntry,
)
from auth_worker.report import ServiceHealth

MOST_LOGS = 1000


look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[ChangeHeader])


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
