"""The routes of worker processes, which send heartbeats."""

from __future__ import annotations

from fastapi import APIRouter

from auth_worker.admin.workers import WorkerProcess
from auth_worker.core.heartbeat import WorkerRequest
from auth_worker.http.api.parameters import ChangeHeader, ProcessPart, TheOperations

AT = "/worker-processes"
look = APIRouter(prefix="/v1", tags=["workers"])
act = APIRouter(prefix="/v1", tags=["workers"], dependencies=[ChangeHeader])


@look.get(AT)
async def list_worker_processes(operations: TheOperations) -> list[WorkerProcess]:
    """List the worker processes by their heartbeats. Node's workers send none: see ``/workers``."""
    return await operations.workers.processes()


@act.post(AT + "/{process_id}/{action}", status_code=202)
async def request_of_worker_process(
    process_id: ProcessPart, action: WorkerRequest, operations: TheOperations
) -> WorkerProcess:
    """Request of one worker process to pause, resume or shut down, which it takes up within 2 s."""
    return await operations.workers.request(process_id, action)
