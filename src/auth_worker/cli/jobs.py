"""``auth-worker jobs`` and ``job``: the jobs of a queue, and one of them whole."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from auth_worker.admin.error_groups import ErrorGroups
from auth_worker.admin.models import JobPage
from auth_worker.admin.operations import Operations
from auth_worker.cli import filter_flags, flags, operator
from auth_worker.cli.console import USAGE, fail, text
from auth_worker.cli.job_screen import show_job
from auth_worker.cli.listing import Column, Listing, Wide
from auth_worker.cli.tables import ago, count, duration, notes, size, styled_state

ORDER = ("failed", "active", "wait", "prioritized", "paused", "delayed", "waiting-children", "completed")
"""States in the order of interest."""
ALL_LOGS = 10_000
GroupBy = Annotated[
    Literal["error"] | None,
    typer.Option("--group-by", help="Failed jobs by what they failed with.", show_default=False),
]
JOB_COLUMNS = (
    Column("JOB", least=16, middle=True),
    Column("NAME", 1, least=12, middle=True),
    Column("STATE", 3),
    Column("AGE", 2),
    Column("ATTEMPTS", 4, right=True),
    Column("RAN", 5, right=True),
    Column("DATA", 6, right=True),
    Column("WHAT", 1, least=20),
)
GROUP_COLUMNS = (
    Column("SAMPLE", least=16, middle=True),
    Column("COUNT", right=True),
    Column("FIRST", 2),
    Column("LAST", 1),
    Column("ERROR", least=30),
)


def jobs(
    context: typer.Context,
    queue: operator.Queue,
    state: filter_flags.State = None,
    job_name: filter_flags.Name = None,
    job_id: filter_flags.Id = None,
    where: filter_flags.Where = None,
    error: filter_flags.Error = None,
    older: filter_flags.Older = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="So many.")] = 20,
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, help="Go on after so many.")] = 0,
    scan: Annotated[
        int, typer.Option("--scan", metavar="N", min=1, help="Look at so many of a state, at most.")
    ] = 10_000,
    group_by: GroupBy = None,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """List jobs of a queue, of one state or of each: next to run first, of the finished ones the newest.

    Example: [bold]auth-worker jobs emailQueue --state failed --where data.user.id=12[/]
    """
    wanted = filter_flags.filter_of(context.params)
    if group_by is not None and state not in (None, "failed"):
        fail("--group-by error is for failed jobs: leave out --state", USAGE)

    async def work(operations: Operations) -> None:
        await operations.jobs.check_queue(queue)
        if group_by is not None:
            groups = await operations.jobs.error_groups(queue, wanted, scan)
            _show_groups(groups, limit, as_json=as_json, wide=wide)
            return
        pages: list[JobPage] = []
        for one in (state,) if state else ORDER:
            left = limit - sum(len(page.jobs) for page in pages)
            if left > 0:
                page = await operations.jobs.page(queue, one, wanted, offset=offset, limit=left, scan=scan)
                pages.append(page)
        if as_json:
            operator.print_json(job for page in pages for job in page.jobs)
        else:
            _show(pages, searched=wanted.asks, wide=wide)

    operator.operate(context.params, work)


def job(
    context: typer.Context,
    queue: operator.Queue,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)],
    logs: Annotated[bool, typer.Option("--logs", help="All it has logged, not the last lines only.")] = False,
    reveal: operator.Reveal = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Show one job: state, times, attempts, who has it, options, logs, stack trace, parent and children.

    Its data is shown as a shape only, and texts are masked, unless revealed.

    Example: [bold]auth-worker job emailQueue welcome-12 --logs[/]
    """

    async def work(operations: Operations) -> None:
        found = await operations.jobs.show(queue, job_id, reveal=reveal, logs=ALL_LOGS if logs else 5)
        if as_json:
            operator.print_json([found])
        else:
            show_job(found)

    operator.operate(context.params, work)


def _show(pages: list[JobPage], *, searched: bool, wide: bool) -> None:
    found = [job for page in pages for job in page.jobs]
    if found:
        shown = Listing(*JOB_COLUMNS)
        for one in found:
            shown.add(
                text(one.id),
                text(one.name),
                styled_state(one.state),
                duration_since(one.timestamp),
                f"{one.attempts_made}/{one.max_attempts}" if one.max_attempts else str(one.attempts_made),
                duration(one.ran_ms),
                size(one.data_bytes),
                f"due {ago(one.due)}" if one.due else text(one.failed_reason or ""),
            )
        shown.show(wide=wide)
    else:
        notes().print("No job matches." if searched else "No jobs.")
    for page in pages:
        if searched and page.next_offset is not None and page.scanned > len(page.jobs):
            notes().print(
                f"[dim]looked at {count(page.scanned)} of {count(page.total)} {page.state}: go on with "
                f"--state {page.state} --offset {page.next_offset}[/]"
            )
    if not searched:
        notes().print(f"[dim]{' · '.join(f'{page.total} {page.state}' for page in pages if page.total)}[/]")


def _show_groups(found: ErrorGroups, limit: int, *, as_json: bool, wide: bool) -> None:
    if as_json:
        operator.print_json(found.groups[:limit])
    elif found.groups:
        shown = Listing(*GROUP_COLUMNS)
        for group in found.groups[:limit]:
            seen = (ago(group.first_seen), ago(group.last_seen))
            shown.add(text(group.sample), count(group.count), *seen, text(group.error))
        shown.show(wide=wide)
    else:
        notes().print("No job matches.")
    more = f"; {len(found.groups) - limit} more groups with --limit" if len(found.groups) > limit else ""
    notes().print(f"[dim]looked at {count(found.scanned)} of {count(found.total)} failed{more}[/]")


def duration_since(ms: int) -> str:
    """How long ago, without the word."""
    return ago(ms).removesuffix(" ago")
