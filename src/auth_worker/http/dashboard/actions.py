"""The changes that can be made on the dashboard. Each is sent by a form; the response shows what has changed."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from auth_worker.admin.bulk_records import MOST_KEPT
from auth_worker.admin.models import Change
from auth_worker.errors import ConfigurationError
from auth_worker.http.api.begin_bulk import BULK, begin_again, begin_bulk, request_again
from auth_worker.http.api.bulk_bodies import AnyBulk
from auth_worker.http.dashboard.dead_letters import letter_page
from auth_worker.http.dashboard.jobs import job_page
from auth_worker.http.dashboard.sessions import FORM_FIELD
from auth_worker.http.dashboard.visit import Visit, unknown_action
from auth_worker.http.dashboard.way_back import PAGE_FIELD

COUNTING_S = 10.0
"""How long (s) a page waits for a dry run to count. Then it says that the count is not complete."""
_JOBS = ("id", "name", "error", "errorGroup", "frame", "worker", "olderThan", "newerThan")
_LETTERS = ("from", "reason", "error", "name")
FILTERS = {
    "retry": _JOBS,
    "promote": _JOBS,
    "cancel": _JOBS,
    "dead-letter": _JOBS,
    "remove": _JOBS,
    "redrive": _LETTERS,
    "purge": _LETTERS,
}
"""For each action on many jobs or dead letters: the fields of the form that select them."""
OPTIONS = {
    "retry": ("state",),
    "cancel": ("state",),
    "dead-letter": ("state", "to", "reason"),
    "remove": ("state",),
    "drain": ("delayed",),
    "clean": ("state", "olderThan"),
}
"""For each action: the fields of the form that are options of it, named as in the API."""
_OWN_FIELDS = frozenset((FORM_FIELD, PAGE_FIELD, "sure", "rate", "once"))
"""The fields that the form of a confirmation sets itself."""


async def change_queue(visit: Visit) -> Response:
    """Pause or resume a queue."""
    operations = await visit.operations()
    queue, action = await visit.known_queue(visit.field("queue")), visit.field("action")
    if action == "pause":
        await operations.queues.pause(queue)
    elif action == "resume":
        await operations.queues.resume(queue)
    else:
        raise unknown_action(action)
    shown = {"state": visit.field("state"), "column": visit.fields.get("column")}
    return visit.go("queue", queue=queue, **shown, done=action)


async def change_job(visit: Visit) -> Response:
    """Retry, promote, cancel, dead-letter or remove a job, or reveal its data."""
    operations = await visit.operations()
    queue, job_id = await visit.known_queue(visit.field("queue")), visit.field("job")
    match visit.field("action"):
        case "retry":
            await operations.jobs.retry(queue, job_id)
        case "promote":
            await operations.jobs.promote(queue, job_id)
        case "cancel":
            await operations.jobs.cancel(queue, job_id)
        case "dead-letter":
            if not visit.field("to"):
                return await _ask_where(visit, "change-job")
            await operations.jobs.dead_letter(queue, job_id, visit.field("to"), visit.field("reason"))
        case "remove":
            if visit.field("sure") != "yes":
                return visit.page("sure.html", what="job", queue=queue, id=job_id, state=visit.field("state"))
            await operations.jobs.remove(queue, job_id)
            return visit.go("queue", queue=queue, state=visit.field("state"), done="remove")
        case "reveal":
            page = await job_page(visit, queue, job_id, reveal=True)
            operations.audit_log.record(Change(action="reveal", queue=queue, target=job_id))
            return page
        case action:
            raise unknown_action(action)
    return visit.go("job", queue=queue, job=job_id, done=visit.field("action"))


async def change_letter(visit: Visit) -> Response:
    """Redrive or purge a dead letter, add a note to it, or reveal its data."""
    operations = await visit.operations()
    queue, letter_id = await visit.known_queue(visit.field("queue")), visit.field("letter")
    match visit.field("action"):
        case "redrive":
            origin = (await operations.dead.show(queue, letter_id)).queue
            job_id = await operations.dead.redrive(queue, letter_id)
            return visit.go("job", queue=origin, job=job_id, done="redrive")
        case "note":
            await operations.dead.add_note(queue, letter_id, visit.field("note"))
            return visit.go("letter", queue=queue, letter=letter_id, done="note")
        case "purge":
            if visit.field("sure") != "yes":
                return visit.page("sure.html", what="letter", queue=queue, id=letter_id)
            await operations.dead.discard(queue, letter_id)
        case "reveal":
            page = await letter_page(visit, queue, letter_id, reveal=True)
            operations.audit_log.record(Change(action="reveal", queue=queue, target=letter_id))
            return page
        case action:
            raise unknown_action(action)
    return visit.go("dead", queue=queue, done=visit.field("action"))


async def bulk(visit: Visit) -> Response:
    """Show how many jobs or dead letters a bulk operation would change; once confirmed, start it."""
    operations = await visit.operations()
    asked = BULK.validate_python(_bulk_of(visit))
    if asked.action == "dead-letter" and not visit.field("to"):
        return await _ask_where(visit, "bulk")
    if visit.field("sure") == "yes":
        begun = await begin_bulk(asked, operations, visit.host.bulk_runs, visit.caller_name, visit.once())
        return visit.go("operation", id=begun.id)
    return await _ask_first(visit, asked, "bulk")


async def again(visit: Visit) -> Response:
    """The same for a bulk operation that did not come to its end."""
    operations, operation_id, once = await visit.operations(), visit.field("id"), visit.once()
    if once is not None and await operations.bulk.is_begun(once):  # the form was sent before
        return visit.go("operation", id=once)
    asked = await request_again(operations, operation_id)
    if visit.field("sure") == "yes":
        asked = BULK.validate_python({**asked.model_dump(exclude_unset=True), "rate": visit.field("rate") or None})
        runs, who = visit.host.bulk_runs, visit.caller_name
        begun = await begin_again(operation_id, asked, operations, runs, who, once)
        return visit.go("operation", id=begun.id)
    return await _ask_first(visit, asked, "again")


async def _ask_first(visit: Visit, asked: AnyBulk, action: str) -> Response:
    """Ask whether to do it to as many as match. The answer goes to the page ``action``."""
    dry = asked.model_copy(update={"dry_run": True})
    counted = await begin_bulk(dry, await visit.operations(), visit.host.bulk_runs, visit.caller_name)
    counted = await visit.host.bulk_runs.wait(counted, COUNTING_S)
    return visit.page("confirm.html", action=action, counted=counted, fields=_fields(visit), rate=asked.rate)


async def _ask_where(visit: Visit, action: str) -> Response:
    """Ask for the dead-letter queue, and the reason. The answer goes to the page ``action``."""
    queue = await visit.known_queue(visit.field("queue"))
    known = await (await visit.operations()).dead.queues_from(queue)
    return visit.page("dead_letter.html", action=action, fields=_fields(visit), known=known, queue=queue)


def _fields(visit: Visit) -> list[tuple[str, str]]:
    """Return the fields of the form that its next page passes on."""
    return [(name, value) for name, values in visit.fields.items() for value in values if name not in _OWN_FIELDS]


async def stop(visit: Visit) -> Response:
    """Stop a bulk operation between two batches, whichever process runs it."""
    stopped = await visit.host.bulk_runs.stop(visit.field("id"), visit.caller_name)
    return visit.go("operation", id=stopped.id, done="stop" if stopped.state == "stopped" else None)


async def show_operations(visit: Visit) -> Response:
    """Show the bulk operations of all processes, the newest first."""
    return visit.page("operations.html", most_kept=MOST_KEPT, operations=await visit.host.bulk_runs.all())


async def show_operation(visit: Visit) -> Response:
    """Show the progress of a bulk operation."""
    return visit.page("operation.html", operation=await visit.host.bulk_runs.get(visit.asked("id")))


def _bulk_of(visit: Visit) -> dict[str, Any]:
    """Return the form as the body of a bulk operation of the API."""
    asked: dict[str, Any] = {"action": visit.field("action"), "queue": visit.field("queue") or None}
    if visit.field("rate"):
        asked["rate"] = visit.field("rate")
    action = visit.field("action")
    if visit.field("scope") == "ids":
        if not visit.fields.get("ids"):
            raise ConfigurationError("no row is selected: select some, or choose all that match")
        return {**asked, "ids": visit.fields["ids"]}
    matching: dict[str, Any] = {name: visit.field(name) for name in FILTERS.get(action, ()) if visit.field(name)}
    if action in FILTERS and visit.fields.get("where"):
        matching["where"] = visit.fields["where"]
    if action in FILTERS and not matching:
        asked["all"] = True
    return {
        **asked,
        **matching,
        **{name: visit.field(name) for name in OPTIONS.get(action, ()) if visit.field(name)},
    }
