"""The page of job schedulers: when each runs next, how its last job ended, which need attention."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.admin.problems import scheduler_problems
from auth_worker.core.clock import now_ms
from auth_worker.http.dashboard.visit import LONGEST, PAGE, Visit, next_offset, unknown_action

MOST_PROBLEMS = 8


async def show_schedulers(visit: Visit) -> Response:
    """Show the job schedulers of a queue, or of all: those that need attention first."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.asked("queue")) if visit.asked("queue") else None
    found = await operations.schedulers.find(queue)
    total = len(found.schedulers)
    offset = visit.offset(total)
    rows = await operations.schedulers.with_last_runs(found.schedulers[offset : offset + PAGE])
    return visit.page(
        "schedulers.html",
        complete=found.complete,
        now=now_ms(),
        next_offset=next_offset(offset, total),
        offset=offset,
        queue=queue,
        rows=rows,
        problems=scheduler_problems(found.schedulers)[:MOST_PROBLEMS],
    )


async def change_scheduler(visit: Visit) -> Response:
    """Add one of a job scheduler's jobs now, or remove the scheduler."""
    operations = await visit.operations()
    queue, scheduler = await visit.known_queue(visit.field("queue")), visit.field("scheduler")[:LONGEST]
    match visit.field("action"):
        case "run":
            job = await operations.schedulers.run_now(queue, scheduler)
            return visit.go("job", queue=queue, job=job, done="run")
        case "remove":
            if visit.field("sure") != "yes":
                return visit.page("sure.html", what="scheduler", queue=queue, id=scheduler)
            await operations.schedulers.remove(queue, scheduler)
            return visit.go("schedulers", done="remove-scheduler")
        case action:
            raise unknown_action(action)
