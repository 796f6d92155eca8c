"""``auth-worker queues``, ``workers``, ``pause``, ``resume``, ``drain``, ``clean``: whole queues."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from auth_worker.admin.models import QueueOverview
from auth_worker.admin.operations import Operations
from auth_worker.cli import flags, operator
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.console import echo, text
from auth_worker.cli.listing import Column, Listing, Wide
from auth_worker.cli.queue_screen import show_queues, watch_queues
from auth_worker.cli.tables import console, duration, is_terminal, notes

Queues = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUEUE...", help="Only these.", show_default=False, autocompletion=complete_queue),
]
OneQueue = Annotated[
    str | None,
    typer.Argument(metavar="QUEUE", help="Only this one's.", show_default=False, autocompletion=complete_queue),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Refresh in place until Ctrl-C.")]
Interval = Annotated[
    float, typer.Option("--interval", "-i", metavar="S", min=0.2, help="With --watch: how often.")
]
WORKER_COLUMNS = (
    Column("QUEUE", least=16, middle=True),
    Column("WORKER", least=16, middle=True),
    Column("ADDRESS", 1),
    Column("CONNECTED", 2, right=True),
)


def queues(
    context: typer.Context,
    names: Queues = None,
    watch: Watch = False,
    interval: Interval = 2.0,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Show the queues: how many jobs in each state, how long the oldest has waited, who works on them.

    OLDEST is the age of the job that has waited longest, and the number to watch. DONE/MIN is how many
    jobs a minute are completed, as far as retention or BullMQ's metrics keep them.

    Example: [bold]auth-worker queues --watch[/]
    """

    async def look(operations: Operations) -> list[QueueOverview]:
        if names:
            for name in names:
                await operations.jobs.check_queue(name)
            return await operations.queues.describe(names)
        found = await operations.queues.overview()
        if not found.queues and not watch:
            await operations.jobs.check_prefix()
        if not found.complete:
            notes().print("[yellow]There are too many keys to find all queues: name those you mean.[/]")
        return found.queues

    async def work(operations: Operations) -> None:
        if watch and not as_json and is_terminal(console()):
            await watch_queues(lambda: look(operations), interval, wide=wide)
        while True:
            found = await look(operations)
            if as_json:
                operator.print_json(found)
            elif found:
                show_queues(found, wide=wide)
            else:
                notes().print(f"No queues under the prefix {text(operations.prefix)} of {operations.address}.")
            if not watch:
                return
            await asyncio.sleep(interval)

    operator.operate(context.params, work)


def workers(
    context: typer.Context,
    queue: OneQueue = None,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """List the workers connected to the queues, Node's too.

    Example: [bold]auth-worker workers emailQueue[/]
    """

    async def work(operations: Operations) -> None:
        found = await operations.workers(queue)
        if as_json:
            operator.print_json(found)
            return
        if not found:
            notes().print("No workers are connected.")
            return
        shown = Listing(*WORKER_COLUMNS)
        for worker in found:
            row = (worker.queue, worker.name or "(no name)", worker.address)
            shown.add(*map(text, row), duration(worker.connected_s * 1000))
        shown.show(wide=wide)

    operator.operate(context.params, work)


def pause(
    context: typer.Context,
    queue: operator.Queue,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Pause a queue for all its workers, wherever they run. What runs now runs on.

    Example: [bold]auth-worker pause emailQueue[/]
    """
    _set_paused(context, queue, True)


def resume(
    context: typer.Context,
    queue: operator.Queue,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Let the workers of a paused queue go on.

    Example: [bold]auth-worker resume emailQueue[/]
    """
    _set_paused(context, queue, False)


def drain(
    context: typer.Context,
    queue: operator.Queue,
    delayed: Annotated[bool, typer.Option("--delayed", help="Also what waits for its time.")] = False,
    yes: operator.Yes = False,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Remove all jobs that wait. Those that run, have finished, or that a job scheduler needs stay.

    Example: [bold]auth-worker drain smsQueue --dry-run[/]
    """

    async def work(operations: Operations) -> int:
        await operations.jobs.check_queue(queue)
        (found,) = await operations.queues.describe([queue])
        total = found.waiting + (found.counts["delayed"] if delayed else 0)
        steps = operations.jobs.drain(queue, delayed=delayed)
        question = f"Remove {total} waiting jobs of {queue}? This cannot be undone."
        return await operator.act_in_bulk(context.params, steps, total, operator.REMOVE, "jobs", question)

    operator.operate(context.params, work)


def clean(
    context: typer.Context,
    queue: operator.Queue,
    older: Annotated[
        float,
        typer.Option("--older", metavar="AGE", help="Finished longer ago than 1h, 7d, ...", parser=operator.age_s),
    ],
    state: Annotated[
        Literal["completed", "failed"], typer.Option("--state", help="Which finished jobs.")
    ] = "completed",
    yes: operator.Yes = False,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Remove finished jobs by age.

    Example: [bold]auth-worker clean emailQueue --state completed --older 7d[/]
    """

    async def work(operations: Operations) -> int:
        await operations.jobs.check_queue(queue)
        steps = operations.jobs.clean(queue, state, older)
        total = await operations.jobs.count_older(queue, state, older)
        question = f"Remove {total} {state} jobs of {queue}? This cannot be undone."
        return await operator.act_in_bulk(context.params, steps, total, operator.REMOVE, "jobs", question)

    operator.operate(context.params, work)


def _set_paused(context: typer.Context, queue: str, paused: bool) -> None:
    async def work(operations: Operations) -> None:
        await operations.jobs.check_queue(queue)
        await (operations.queues.pause(queue) if paused else operations.queues.resume(queue))
        (found,) = await operations.queues.describe([queue])
        if context.params["as_json"]:
            operator.print_json([found])
        else:
            done = "paused" if paused else "resumed"
            echo(f"{queue} {done}: {found.waiting} waiting, {found.counts['active']} active")

    operator.operate(context.params, work)
