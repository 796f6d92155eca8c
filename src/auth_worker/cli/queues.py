"""``auth-worker queues``, ``pause``, ``resume``, ``drain`` and ``clean``: act on whole queues."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from auth_worker.admin.models import QueueOverview
from auth_worker.admin.operations import Operations
from auth_worker.admin.plan import CleanQueue, DrainQueue, plan_of
from auth_worker.cli.bulk_operations import REMOVE, BulkFlags, run_bulk_operation
from auth_worker.cli.common_flags import AsJson, Queue, Wide, Yes
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import echo, is_terminal, notes, results, text
from auth_worker.cli.filter_flags import finished_state_of
from auth_worker.cli.parsers import age_s, numbers
from auth_worker.cli.screens.queue import show_queues, watch_queues

Queues = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUEUE...", help="Only these queues.", show_default=False, autocompletion=complete_queue
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Refresh in place until Ctrl-C.")]
Interval = Annotated[
    float,
    typer.Option(
        "--interval", "-i", metavar="S", help="Seconds between two refreshes, with --watch.", **numbers(0.2)
    ),
]


def queues(
    names: Queues = None,
    *,
    watch: Watch = False,
    interval: Interval = 2.0,
    wide: Wide = False,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Show the queues: how many jobs in each state, how long the oldest has waited, how many workers.

    OLDEST is the age of the job that has waited longest: the number to watch. DONE/MIN is how many jobs a
    minute are completed, as far as retention or BullMQ's metrics keep them.

    Example: [bold]auth-worker queues --watch[/]
    """

    async def look(operations: Operations) -> list[QueueOverview]:
        if names:
            for name in names:
                await operations.queues.check_exists(name)
            return await operations.queues.describe(names)
        found = await operations.queues.overview()
        if not found.queues and not watch:
            await operations.queues.check_prefix()
        if not found.complete:
            why = "there are too many keys to find all in time, or a node is away"
            notes().print(f"[yellow]Some queues may be missing: {why}. Name those to show.[/]")
        return found.queues

    async def work(operations: Operations) -> None:
        if watch and not as_json and is_terminal(results()):
            await watch_queues(lambda: look(operations), interval, wide=wide)
        while True:
            found, broker = await look(operations), operations.broker
            if as_json:
                print_json(found)
            elif found:
                show_queues(found, wide=wide)
            else:
                notes().print(f"No queues under the prefix {text(broker.prefix)} of {broker.address}.")
            if not watch:
                return
            await asyncio.sleep(interval)

    run_connected(connection, work)


def pause(
    queue: Queue,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Pause a queue for all its workers, wherever they run. Jobs that are running finish.

    Example: [bold]auth-worker pause emailQueue[/]
    """
    _set_paused(connection, queue, paused=True, as_json=as_json)


def resume(
    queue: Queue,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Resume a paused queue.

    Example: [bold]auth-worker resume emailQueue[/]
    """
    _set_paused(connection, queue, paused=False, as_json=as_json)


def drain(
    queue: Queue,
    delayed: Annotated[bool, typer.Option("--delayed", help="The delayed jobs too.")] = False,
    yes: Yes = False,
    *,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Remove all waiting jobs. Running and finished jobs stay, and those of job schedulers.

    Example: [bold]auth-worker drain smsQueue --dry-run[/]
    """

    async def work(operations: Operations) -> int:
        await operations.queues.check_exists(queue)
        plan = await plan_of(DrainQueue(queue=queue, delayed=delayed, rate=bulk.rate), operations)
        question = f"Remove {plan.total} waiting jobs of {queue}? This cannot be undone."
        return await run_bulk_operation(bulk, plan, REMOVE, "jobs", None if yes else question)

    run_connected(connection, work, queue)


def clean(
    queue: Queue,
    older: Annotated[
        float,
        typer.Option("--older", metavar="AGE", help="Finished longer ago than 1h, 7d, ...", parser=age_s),
    ],
    state: Annotated[
        str,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Which finished jobs: completed or failed.",
            parser=finished_state_of,
        ),
    ] = "completed",
    yes: Yes = False,
    *,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Remove finished jobs by age.

    Example: [bold]auth-worker clean emailQueue --state completed --older 7d[/]
    """

    async def work(operations: Operations) -> int:
        await operations.queues.check_exists(queue)
        plan = await plan_of(CleanQueue(queue=queue, state=state, older_than=older, rate=bulk.rate), operations)
        question = f"Remove {plan.total} {state} jobs of {queue}? This cannot be undone."
        return await run_bulk_operation(bulk, plan, REMOVE, "jobs", None if yes else question)

    run_connected(connection, work, queue)


def _set_paused(connection: Connection, queue: str, *, paused: bool, as_json: bool) -> None:
    async def work(operations: Operations) -> None:
        await operations.queues.check_exists(queue)
        await (operations.queues.pause(queue) if paused else operations.queues.resume(queue))
        found = await operations.queues.describe_one(queue)
        if as_json:
            print_json([found])
        else:
            done = "paused" if paused else "resumed"
            echo(f"{queue} {done}: {found.waiting} waiting, {found.counts['active']} active")

    run_connected(connection, work, queue)
