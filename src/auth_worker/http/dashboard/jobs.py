"""Pages of jobs: a list for each queue, and one job."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.responses import Response

from auth_worker.admin.flows import flow_of
from auth_worker.admin.models import JobDetail, JobRow, QueueOverview
from auth_worker.admin.selection import STATES_BY_INTEREST, checked_state
from auth_worker.core.durations import duration_text
from auth_worker.core.keys import place_of
from auth_worker.core.ports.values import WAITING
from auth_worker.http.dashboard.columns import COLUMNS, columns_of
from auth_worker.http.dashboard.job_commands import commands_of
from auth_worker.http.dashboard.new_jobs import copy_of
from auth_worker.http.dashboard.visit import LONGEST, PAGE, Visit, job_filter

MOST_LOGS = 200
MOST_SCANNED = 2000
"""How many jobs a page looks at for those that match, so that it costs Redis less than 50 ms."""
TABS = ("failed", "active", "wait", "prioritized", "delayed", "waiting-children", "completed", "paused")
ACTIONS = {
    "failed": ("retry", "dead-letter", "remove"),
    "completed": ("retry", "remove"),
    "delayed": ("promote", "cancel", "dead-letter", "remove"),
    "wait": ("cancel", "dead-letter", "remove"),
    "paused": ("cancel", "dead-letter", "remove"),
    "prioritized": ("cancel", "dead-letter", "remove"),
    "waiting-children": ("cancel", "dead-letter", "remove"),
    "active": ("cancel",),
}
"""What can be done to the jobs of a state."""


class Step(NamedTuple):
    """A step in the life of a job: what happened, when (epoch ms), and a detail."""

    kind: str
    title: str
    at: int | None = None
    took: str = ""
    detail: str = ""


async def show_queue(visit: Visit) -> Response:
    """Show the jobs of a state, 100 a page."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.asked("queue"))
    overview = await operations.queues.describe_one(queue)
    state = checked_state(visit.asked("state", _first_state(overview)))
    wanted = job_filter(visit)
    columns = columns_of(state, visit.asked_all("column"))
    offset = visit.offset(overview.counts[state])
    page = await operations.jobs.page(queue, state, wanted, offset=offset, limit=PAGE, scan=MOST_SCANNED)
    return visit.page(
        "queue.html",
        actions=ACTIONS[state],
        all_columns=COLUMNS,
        chosen=[column.name for column in columns] if visit.asked("column") else [],
        columns=columns,
        offset=offset,
        overview=overview,
        page=page,
        queue=queue,
        state=state,
        tabs=[(tab, overview.counts[tab]) for tab in TABS if tab != "paused" or overview.counts[tab]],
        waited=waited_ms,
        wanted=wanted,
    )


def waited_ms(job: JobRow) -> int | None:
    """Return how long (ms) a job had existed when its last attempt began; None if none has."""
    return max(job.processed_on - job.timestamp, 0) if job.processed_on and job.timestamp else None


async def show_job(visit: Visit) -> Response:
    """Show one job, with the shape of its data."""
    return await job_page(visit, await visit.known_queue(visit.asked("queue")), visit.asked("job")[:LONGEST])


async def job_page(visit: Visit, queue: str, job_id: str, *, reveal: bool = False) -> Response:
    """Show all that is known about a job; with ``reveal`` also its data."""
    operations = await visit.operations()
    job = await operations.jobs.show(queue, job_id, reveal=reveal, logs=MOST_LOGS)
    actions = ACTIONS.get(job.state, ()) if visit.may_change else ()
    copy = copy_of(job) if reveal and visit.may_change else None
    return visit.page(
        "job.html",
        actions=actions,
        commands=commands_of(queue, job, actions, copy, visit.api_address()),
        copy=copy,
        flow=await flow_of(operations.broker, queue, job_id),
        job=job,
        parent=place_of(job.parent or "", operations.broker.prefix),
        queue=queue,
        raw=_raw(job),
        steps=life_of(job),
    )


def life_of(job: JobDetail) -> list[Step]:
    """Return the steps of a job's life that are stored, from when it was added to its end."""
    steps = [Step("added", "Added", job.timestamp or None)]
    ended_badly = job.state == "failed"
    first = job.attempts_made - len(job.stacktrace) + 1
    for number, trace in enumerate(job.stacktrace[:-1] if ended_badly else job.stacktrace, first):
        steps.append(Step("failed", f"Attempt {max(number, 1)} failed", detail=_first_line(trace)))
    if job.stalled:
        steps.append(Step("stalled", f"Recovered from a dead worker (count: {job.stalled})"))
    if job.processed_on and (job.state == "active" or job.finished_on):
        waited = waited_ms(job)
        took = "" if waited is None else f"{duration_text(waited)} after it was added"
        worker = f"by {job.worker}" if job.worker else ""
        steps.append(Step("active", "The last attempt started", job.processed_on, took, worker))
    if job.state == "active":
        steps.append(Step("active", "Runs now", detail=_lease(job)))
    elif job.state == "delayed":
        steps.append(Step("delayed", "Delayed", job.due))
    elif job.state == "waiting-children":
        steps.append(Step("waiting", "Waits for its children"))
    elif job.state in WAITING:
        steps.append(Step("waiting", "Waits for a worker"))
    if job.finished_on:
        title, kind = ("Failed for good", "failed") if ended_badly else ("Completed", "completed")
        took = "" if job.ran_ms is None else f"the attempt took {duration_text(max(job.ran_ms, 0))}"
        steps.append(Step(kind, title, job.finished_on, took, job.failed_reason or ""))
    return steps


def _lease(job: JobDetail) -> str:
    if job.lock_owner is None:
        return "no worker holds it: the next stalled check recovers it"
    return f"its lease lasts another {(job.lock_ms or 0) / 1000:.0f} s"


def _first_line(trace: str) -> str:
    """Return the error: the last line of a Python traceback, the first one of Node's."""
    found = [line.strip() for line in trace.splitlines() if line.strip()]
    if not found:
        return ""
    return found[-1] if any(line.startswith("Traceback (most recent") for line in found) else found[0]


def _raw(job: JobDetail) -> list[tuple[str, Any]]:
    shown = ("data", "opts", "return_value", "stacktrace", "logs", "children", "progress", "revealed")
    fields = job.model_dump(by_alias=False)
    return [(name, value) for name, value in fields.items() if name not in shown and value not in (None, "")]


def _first_state(overview: QueueOverview) -> str:
    return next((state for state in STATES_BY_INTEREST if overview.counts[state]), "wait")
