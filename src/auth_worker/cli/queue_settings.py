"""``auth-worker limit``, ``dedup`` and ``obliterate``: change a queue as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from auth_worker.admin.operations import Operations
from auth_worker.cli.bulk_operations import confirm
from auth_worker.cli.common_flags import AsJson, Queue, Yes
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import echo, fail
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.parsers import duration_ms, whole_numbers

MOST = 1_000_000_000


def limit(
    queue: Queue,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", metavar="N", help="How many jobs may run at a time.", **whole_numbers(1, MOST)
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", help="How many jobs may start every TIME.", **whole_numbers(1, MOST)),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--every", metavar="TIME", help="The period of --jobs: 1s, 5m.", parser=duration_ms),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove both limits.")] = False,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Limit how many jobs of a queue run at a time, or start in a period, in all workers together.

    Without a flag it shows both limits.

    Example: [bold]auth-worker limit emailQueue --concurrency 20 --jobs 100 --every 1m[/]
    """
    if (jobs is None) != (every is None):
        fail("give --jobs and --every together", USAGE)
    if remove and (concurrency is not None or jobs is not None):
        fail("give --remove alone", USAGE)

    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        if remove or concurrency is not None:
            await operations.settings.set_concurrency(queue, concurrency)
        if remove or (jobs is not None and every is not None):
            rate = None if jobs is None or every is None else (jobs, every)
            await operations.settings.set_rate_limit(queue, rate)
        found = await operations.queues.describe_one(queue)
        if as_json:
            print_json([found])
        else:
            rate_limit = found.rate_limit
            rate_text = f"{rate_limit.max} jobs every {rate_limit.duration} ms" if rate_limit else "none"
            echo(f"{queue}: concurrency {found.concurrency or 'without limit'}, rate limit {rate_text}")

    run_connected(connection, work, queue)


def dedup(
    queue: Queue,
    deduplication_id: Annotated[str, typer.Argument(metavar="ID", help="The deduplication id.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Release the id, so that the next job with it is added.")
    ] = False,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Show the job that holds a deduplication id, which keeps other jobs out; or release the id.

    Example: [bold]auth-worker dedup emailQueue welcome-12 --remove[/]
    """

    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        found = await operations.settings.deduplication(queue, deduplication_id)
        if remove:
            await operations.settings.remove_deduplication(queue, deduplication_id)
        if as_json:
            print_json([found])
        else:
            echo(f"{deduplication_id}: job {found.job_id}{', removed' if remove else ''}")

    run_connected(connection, work, queue)


def obliterate(
    queue: Queue,
    force: Annotated[bool, typer.Option("--force", help="Even while jobs are running.")] = False,
    yes: Yes = False,
    *,
    connection: Connection,
) -> None:
    """Remove a queue with all its jobs, whatever their state.

    Example: [bold]auth-worker obliterate oldQueue --yes[/]
    """

    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        if not yes:
            confirm(f"Remove the queue {queue} with all its jobs? This cannot be undone.")
        await operations.settings.obliterate(queue, force=force)
        echo(f"{queue} removed")

    run_connected(connection, work, queue)
