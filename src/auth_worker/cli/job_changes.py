"""The commands that change jobs: by id, or all that match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from auth_worker.admin.operations import Operations
from auth_worker.admin.plan import DEFAULT_STATES, ChangeJobs, JobAction, plan_of
from auth_worker.admin.selection import STATES_BY_INTEREST, JobFilter, JobSelection
from auth_worker.cli.bulk_operations import (
    CANCEL,
    DEAD_LETTER,
    PROMOTE,
    REMOVE,
    RETRY,
    BulkFlags,
    Verb,
    run_bulk_operation,
)
from auth_worker.cli.common_flags import AsJson, Queue, Yes
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import echo, fail
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.filter_flags import DelayedJobFilterFlags, Every, Ids, JobFilterFlags
from auth_worker.cli.parsers import duration_ms, whole_numbers
from auth_worker.queue import MAX_PRIORITY

Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help="The reason, which is shown with the failed job.", show_default=False
    ),
]


def retry(
    queue: Queue,
    ids: Ids = None,
    every: Every = False,
    *,
    which: JobFilterFlags,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Run failed jobs again, or completed ones (--state completed), with fresh attempts. Dead letters are removed.

    Example: [bold]auth-worker retry emailQueue --error timeout --dry-run[/]
    """
    selection = _selection(RETRY, queue, ids, every, which.filter, which.state)
    _change_jobs(connection, RETRY, selection, bulk)


def promote(
    queue: Queue,
    ids: Ids = None,
    every: Every = False,
    *,
    which: DelayedJobFilterFlags,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Run delayed jobs now.

    Example: [bold]auth-worker promote smsQueue --all[/]
    """
    selection = _selection(PROMOTE, queue, ids, every, which.filter)
    _change_jobs(connection, PROMOTE, selection, bulk)


def remove(
    queue: Queue,
    ids: Ids = None,
    every: Every = False,
    *,
    which: JobFilterFlags,
    yes: Yes = False,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Remove jobs: those named, or those of a state that match. A job that is running is not removed.

    Example: [bold]auth-worker remove emailQueue --state failed --name welcome --older 30d[/]
    """
    selection = _selection(REMOVE, queue, ids, every, which.filter, which.state)

    def question(total: int) -> str:
        return f"Remove {total} jobs of {queue}? This cannot be undone."

    _change_jobs(connection, REMOVE, selection, bulk, None if yes else question)


def cancel(
    queue: Queue,
    ids: Ids = None,
    every: Every = False,
    *,
    reason: Reason = "",
    which: JobFilterFlags,
    yes: Yes = False,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Cancel jobs: those named, or those of a state that match. Waiting jobs fail at once; running ones stop.

    Example: [bold]auth-worker cancel emailQueue welcome-12 --reason "wrong list"[/]
    """
    selection = _selection(CANCEL, queue, ids, every, which.filter, which.state)

    def question(total: int) -> str:
        return f"Cancel {total} jobs of {queue}?"

    _change_jobs(connection, CANCEL, selection, bulk, None if yes or ids else question, reason)


def dead_letter(
    queue: Queue,
    ids: Ids = None,
    every: Every = False,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="QUEUE",
            help="The dead-letter queue; may be left out if one holds dead letters of the queue already.",
            show_default=False,
        ),
    ] = "",
    reason: Reason = "",
    which: JobFilterFlags,
    yes: Yes = False,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Move jobs to the dead letters: those named, or those of a state that match. Running jobs are left alone.

    Example: [bold]auth-worker dead-letter emailQueue --state wait --name welcome --reason "wrong list"[/]
    """
    selection = _selection(DEAD_LETTER, queue, ids, every, which.filter, which.state)

    def question(total: int) -> str:
        return f"Move {total} jobs of {queue} to the dead letters?"

    _change_jobs(connection, DEAD_LETTER, selection, bulk, None if yes or ids else question, reason, to)


def change(
    queue: Queue,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)],
    priority: Annotated[
        int | None,
        typer.Option(
            "--priority",
            metavar="N",
            help="The new priority: 1 runs first; 0 means none.",
            show_default=False,
            **whole_numbers(0, MAX_PRIORITY),
        ),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option(
            "--delay",
            metavar="TIME",
            help="The new delay from now: 10s, 5m.",
            parser=duration_ms,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Change the priority of a job that has not finished, or the delay of a delayed one.

    Example: [bold]auth-worker change emailQueue welcome-12 --priority 1[/]
    """
    if priority is None and delay is None:
        fail("say what to change: --priority or --delay", USAGE)

    async def work(operations: Operations) -> None:
        await operations.jobs.change(queue, job_id, priority=priority, delay=delay)
        found = await operations.jobs.show(queue, job_id, logs=0)
        if as_json:
            print_json([found])
        else:
            echo(f"{job_id} is {found.state}, priority {found.priority}")

    run_connected(connection, work, queue)


def _change_jobs(
    connection: Connection,
    verb: Verb[JobAction],
    which: JobSelection,
    bulk: BulkFlags,
    question: Callable[[int], str] | None = None,
    reason: str = "",
    to: str = "",
) -> NoReturn:
    """Run an operation on the selected jobs, once ``question``, about so many jobs, is confirmed."""
    change = ChangeJobs(action=verb.infinitive, which=which, rate=bulk.rate, reason=reason, to=to)

    async def work(operations: Operations) -> int:
        await operations.queues.check_exists(which.queue)
        plan = await plan_of(change, operations)
        return await run_bulk_operation(bulk, plan, verb, "jobs", question and question(plan.total))

    run_connected(connection, work, which.queue)


def _selection(
    verb: Verb[JobAction],
    queue: str,
    ids: list[str] | None,
    every: bool,
    wanted: JobFilter,
    state: str | None = None,
) -> JobSelection:
    """Return the selection of jobs; exits if none are selected, or in two ways."""
    which = JobSelection(queue=queue, ids=tuple(ids or ()) or None, every=every, state=state, filter=wanted)
    if which.fault == "named twice":
        fail("name jobs, or select them by --all and the like: not both", USAGE)
    if which.fault == "not named":
        fail("say which jobs: their ids, --name, --where and the like, or --all", USAGE)
    if which.ids is None and which.state is None and verb.infinitive not in DEFAULT_STATES:
        fail(f"say the --state of the jobs to {verb.infinitive}: {', '.join(STATES_BY_INTEREST)}", USAGE)
    return which
