"""``auth-worker jobs`` and ``job``: list the jobs of a queue, and show one of them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from auth_worker.admin.error_groups import ErrorGroups
from auth_worker.admin.models import JobPage
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import SCAN, STATES_BY_INTEREST
from auth_worker.cli.common_flags import AsJson, Queue, Reveal, Wide
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.filter_flags import JobFilterFlags
from auth_worker.cli.formatting import ago, count, duration, size, styled_state
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.parsers import whole_numbers
from auth_worker.cli.screens.job import show_job

ALL_LOGS = 10_000
GroupBy = Annotated[
    Literal["error"] | None,
    typer.Option("--group-by", help="Group failed jobs by their error.", show_default=False),
]
JOB_COLUMNS = (
    Column("JOB", least=16, middle=True),
    Column("NAME", 1, least=12, middle=True),
    Column("STATE", 3),
    Column("AGE", 2),
    Column("ATTEMPTS", 4, right=True),
    Column("RAN", 5, right=True),
    Column("DATA", 6, right=True),
    Column("DETAIL", 1, least=20),
)
GROUP_COLUMNS = (
    Column("SAMPLE", least=16, middle=True),
    Column("COUNT", right=True),
    Column("FIRST", 2),
    Column("LAST", 1),
    Column("ERROR", least=30),
)


def jobs(
    queue: Queue,
    *,
    which: JobFilterFlags,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", metavar="N", help="How many to show at most.", **whole_numbers(1, 10_000)),
    ] = 20,
    offset: Annotated[
        int, typer.Option("--offset", metavar="N", help="How many to skip.", **whole_numbers(0))
    ] = 0,
    scan: Annotated[
        int,
        typer.Option(
            "--scan", metavar="N", help="How many jobs of a state to search at most.", **whole_numbers(1)
        ),
    ] = SCAN,
    group_by: GroupBy = None,
    wide: Wide = False,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """List the jobs of a queue, in one state or in all: the next to run first, finished ones newest first.

    Example: [bold]auth-worker jobs emailQueue --state failed --where data.user.id=12[/]
    """
    wanted = which.filter
    if group_by is not None and which.state not in (None, "failed"):
        fail("--group-by error is for failed jobs: leave out --state", USAGE)

    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        if group_by is not None:
            groups = await operations.jobs.error_groups(queue, wanted, scan)
            _show_groups(groups, limit, as_json=as_json, wide=wide)
            return
        pages: list[JobPage] = []
        for state in (which.state,) if which.state else STATES_BY_INTEREST:
            left = limit - sum(len(page.jobs) for page in pages)
            if left > 0:
                page = await operations.jobs.page(queue, state, wanted, offset=offset, limit=left, scan=scan)
                pages.append(page)
        if as_json:
            print_json(job for page in pages for job in page.jobs)
        else:
            _show_pages(pages, filtered=wanted.restricts, wide=wide)

    run_connected(connection, work, queue)


def job(
    queue: Queue,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)],
    *,
    logs: Annotated[bool, typer.Option("--logs", help="All its log lines, not only the last ones.")] = False,
    reveal: Reveal = False,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Show one job: state, times, attempts, worker, options, logs, stack trace, parent and children.

    Only the shape of its data is shown, and texts are masked, unless you --reveal them.

    Example: [bold]auth-worker job emailQueue welcome-12 --logs[/]
    """

    async def work(operations: Operations) -> None:
        found = await operations.jobs.show(queue, job_id, reveal=reveal, logs=ALL_LOGS if logs else 5)
        if as_json:
            print_json([found])
        else:
            show_job(found)

    run_connected(connection, work, queue)


def _show_pages(pages: list[JobPage], *, filtered: bool, wide: bool) -> None:
    shown_jobs = [job for page in pages for job in page.jobs]
    if shown_jobs:
        shown = Listing(*JOB_COLUMNS)
        for one in shown_jobs:
            shown.add(
                text(one.id),
                text(one.name),
                styled_state(one.state),
                _age(one.timestamp),
                f"{one.attempts_made}/{one.max_attempts}" if one.max_attempts else str(one.attempts_made),
                duration(one.ran_ms),
                size(one.data_bytes),
                f"due {ago(one.due)}" if one.due else text(one.failed_reason or ""),
            )
        shown.show(wide=wide)
    else:
        notes().print("No job matches." if filtered else "No jobs.")
    for page in pages:
        if filtered and page.next_offset is not None and page.scanned > len(page.jobs):
            notes().print(
                f"[dim]searched {count(page.scanned)} of {count(page.total)} {page.state}: continue with "
                f"--state {page.state} --offset {page.next_offset}[/]"
            )
    if not filtered:
        notes().print(f"[dim]{' · '.join(f'{page.total} {page.state}' for page in pages if page.total)}[/]")


def _show_groups(found: ErrorGroups, limit: int, *, as_json: bool, wide: bool) -> None:
    if as_json:
        print_json(found.groups[:limit])
    elif found.groups:
        shown = Listing(*GROUP_COLUMNS)
        for group in found.groups[:limit]:
            seen = (ago(group.first_seen), ago(group.last_seen))
            shown.add(
                text(group.sample),
                count(group.count),
                *seen,
                text(f"{group.error} ({group.frame})"),
            )
        shown.show(wide=wide)
    else:
        notes().print("No job matches.")
    more = f"; {len(found.groups) - limit} more groups with --limit" if len(found.groups) > limit else ""
    notes().print(f"[dim]searched {count(found.scanned)} of {count(found.total)} failed{more}[/]")


def _age(ms: int) -> str:
    """Format the age of a time (epoch ms)."""
    return ago(ms).removesuffix(" ago")
