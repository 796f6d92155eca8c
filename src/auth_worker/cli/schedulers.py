"""``auth-worker schedulers``: list, show, create, run and remove the job schedulers of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from auth_worker.admin.models import SchedulerDetail, SchedulerEntry
from auth_worker.admin.operations import Operations
from auth_worker.cli.bulk_operations import confirm
from auth_worker.cli.common_flags import AsJson, Queue, Reveal, Wide, Yes
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import echo, notes, results, text, text_lines
from auth_worker.cli.formatting import moment, pairs, pretty
from auth_worker.cli.job_option_flags import Data, flag, read_data, retention_flag
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.parsers import backoff, duration_ms, whole_number
from auth_worker.cli.screens.job import SHAPE_ONLY

COLUMNS = (
    Column("ID", least=16, middle=True),
    Column("JOB", 1),
    Column("WHEN", 1),
    Column("NEXT", 1),
    Column("COUNT", 2, right=True),
    Column("PROBLEM", 2),
)
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the job scheduler.", show_default=False)]


@dataclass(frozen=True)
class RepeatFlags:
    """When a scheduler adds jobs, and which options they get; None: not given."""

    every: Annotated[
        int | None, flag("--every", "TIME", "The interval between jobs: 10s, 5m.", parser=duration_ms)
    ] = None
    pattern: Annotated[str | None, flag("--pattern", "CRON", "Or a cron pattern, such as '0 3 * * *'.")] = None
    tz: Annotated[str | None, flag("--tz", "ZONE", "The time zone of the pattern.")] = None
    limit: Annotated[int | None, flag("--limit", "N", "How many jobs to add in all.", parser=whole_number)] = None
    offset: Annotated[
        int | None, flag("--offset", "TIME", "When within --every a job is due.", parser=duration_ms)
    ] = None
    immediately: Annotated[bool | None, flag("--immediately", None, "Add the first job of a pattern at once.")] = (
        None
    )
    start_date: Annotated[str | None, flag("--start", "WHEN", "Not before: ISO 8601 or epoch ms.")] = None
    end_date: Annotated[str | None, flag("--end", "WHEN", "Not after.")] = None
    attempts: Annotated[
        int | None, flag("--attempts", "N", "How often each job may run in all.", parser=whole_number)
    ] = None
    backoff: Annotated[
        Any | None,
        flag("--backoff", "TIME|KIND:TIME", "The delay between attempts: 10s, exponential:1s.", parser=backoff),
    ] = None
    priority: Annotated[
        int | None, flag("--priority", "N", "1 runs first, 2097151 last.", parser=whole_number)
    ] = None
    remove_on_complete: Annotated[Any | None, retention_flag("complete", "completed")] = None
    remove_on_fail: Annotated[Any | None, retention_flag("fail", "failed")] = None

    def given(self) -> dict[str, Any]:
        """Return the flags that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}


def list_schedulers(queue: Queue, *, wide: Wide = False, as_json: AsJson = False, connection: Connection) -> None:
    """List the job schedulers of a queue, the next one due first.

    Example: [bold]auth-worker schedulers list emailQueue[/]
    """

    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        found = await operations.schedulers.entries(queue)
        if as_json:
            print_json(found)
        elif not found:
            notes().print(f"{text(queue)} has no job schedulers.")
        else:
            shown = Listing(*COLUMNS)
            for each in found:
                row = (each.id, each.name, _when(each), moment(each.next), str(each.count), each.problem or "")
                shown.add(*map(text, row))
            shown.show(wide=wide)

    run_connected(connection, work, queue)


def show(
    queue: Queue, scheduler_id: Id, *, reveal: Reveal = False, as_json: AsJson = False, connection: Connection
) -> None:
    """Show a job scheduler: when it adds jobs, and which. Only the shape of their data is shown, unless revealed.

    Example: [bold]auth-worker schedulers show emailQueue nightly[/]
    """

    async def work(operations: Operations) -> None:
        _show(await operations.schedulers.show(queue, scheduler_id, reveal=reveal), as_json=as_json)

    run_connected(connection, work, queue)


def upsert(
    queue: Queue,
    scheduler_id: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of its jobs.", show_default=False)],
    data: Data = None,
    *,
    repeat: RepeatFlags,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Create a job scheduler, or replace the one with this id.

    Example: [bold]auth-worker schedulers upsert emailQueue nightly sendDigest --pattern '0 3 * * *' --tz UTC[/]
    """
    read = read_data(data)

    async def work(operations: Operations) -> None:
        made = await operations.schedulers.upsert(queue, scheduler_id, name=name, data=read, **repeat.given())
        _show(made, as_json=as_json)

    run_connected(connection, work, queue)


def run(queue: Queue, scheduler_id: Id, *, as_json: AsJson = False, connection: Connection) -> None:
    """Add one of a scheduler's jobs now, and print its id. Its schedule does not change.

    Example: [bold]auth-worker schedulers run emailQueue nightly[/]
    """

    async def work(operations: Operations) -> None:
        job = await operations.schedulers.run_now(queue, scheduler_id)
        if as_json:
            print_json([{"queue": queue, "scheduler": scheduler_id, "id": job.id}])
        else:
            echo(job.id)

    run_connected(connection, work, queue)


def remove(queue: Queue, scheduler_id: Id, *, yes: Yes = False, connection: Connection) -> None:
    """Remove a job scheduler and its next job. Its other jobs stay.

    Example: [bold]auth-worker schedulers remove emailQueue nightly --yes[/]
    """

    async def work(operations: Operations) -> None:
        await operations.schedulers.show(queue, scheduler_id)
        if not yes:
            confirm(f"Remove the job scheduler {scheduler_id} of {queue}?")
        await operations.schedulers.remove(queue, scheduler_id)
        echo(f"{scheduler_id} removed")

    run_connected(connection, work, queue)


def _when(scheduler: SchedulerEntry) -> str:
    if scheduler.every:
        return f"every {scheduler.every} ms"
    return f"{scheduler.pattern} {scheduler.tz or ''}".strip()


def _show(scheduler: SchedulerDetail, *, as_json: bool) -> None:
    if as_json:
        print_json([scheduler])
        return
    limits = {"limit": scheduler.limit, "offset": scheduler.offset}
    dates = {"from": scheduler.start_date, "until": scheduler.end_date}
    screen = results()
    screen.print(
        pairs(
            {
                "scheduler": f"[bold]{text(scheduler.id)}[/] of {text(scheduler.queue)}",
                "job": text(scheduler.name),
                "when": text(_when(scheduler)),
                "next": moment(scheduler.next),
                "jobs so far": str(scheduler.count),
                **{name: "" if value is None else str(value) for name, value in limits.items()},
                **{name: "" if value is None else moment(value) for name, value in dates.items()},
                "problem": f"[red]{text(scheduler.problem)}[/]" if scheduler.problem else "",
            }
        )
    )
    hint = "" if scheduler.revealed else SHAPE_ONLY
    screen.print(f"\n[bold]data[/]{hint}\n{text_lines(pretty(scheduler.data))}")
    if scheduler.opts:
        screen.print(f"\n[bold]options[/]\n{text_lines(pretty(scheduler.opts))}")
