"""The page of the workers, and what can be requested of them."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.http.dashboard.visit import PAGE, Visit, next_offset

SHOWN_JOBS = 3
"""How many running jobs of a queue the page lists, those first that have run longest."""


async def show_workers(visit: Visit) -> Response:
    """Show every worker process, and the connections of workers that send no heartbeats, such as Node's."""
    queue = visit.asked("queue") or None
    found = await visit.sampler.workers()
    if queue is not None:
        found = found.of_queue(queue)
        if not found.processes and not found.others:
            await (await visit.operations()).queues.check_exists(queue)
    total = max(len(found.processes), len(found.others))
    offset = visit.offset(total)
    return visit.page(
        "workers.html",
        found=found,
        next_offset=next_offset(offset, total),
        offset=offset,
        others=found.others[offset : offset + PAGE],
        processes=found.processes[offset : offset + PAGE],
        queue=queue,
        shown_jobs=SHOWN_JOBS,
    )


async def change_worker(visit: Visit) -> Response:
    """Request of a worker process to pause, resume or shut down."""
    workers = (await visit.operations()).workers
    process_id, action = visit.field("worker"), visit.field("action")
    if action == "shut-down" and visit.field("sure") != "yes":
        process = await workers.get(process_id)
        return visit.page("shut_down.html", process=process, running=sum(beat.active for beat in process.queues))
    await workers.request(process_id, action)
    return visit.go("workers", done=f"{action}-worker")
