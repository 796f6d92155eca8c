"""``auth-worker queues``, ``workers``, ``pause``, ``resume``, ``drain``, ``clean``: whole queues."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer
from rich.live import Live

from auth_worker.admin.models import QueueOverview
from auth_worker.admin.operations import Operations
from auth_worker.cli import flags, operator
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.console import echo, text
from auth_worker.cli.listing import Column, Listing, Wide
from auth_worker.cli.tables import console, count, duration, notes

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
QUEUE_COLUMNS = (
    Column("QUEUE", least=16, middle=True),
    Column("STATE"),
    Column("WAIT", right=True),
    Column("OLDEST", right=True),
    Column("ACTIVE", 1, right=True),
    Column("DELAYED", 6, right=True),
    Column("FAILED", 3, right=True),
    Column("DEAD", 2, right=True),
    Column("DONE/MIN", 5, right=True),
    Column("WORKERS", 4, right=True),
)
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
        if watch and not as_json:
            await _watch(operations, look, interval, wide=wide)
        while True:
            found = await look(operations)
            if as_json:
                operator.print_json(found)
            elif found:
                _show(found, wide=wide)
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


async def _watch(operations: Operations, look: operator.Look, interval: float, *, wide: bool) -> None:
    screen = console()
    with Live(console=screen, auto_refresh=False, screen=screen.is_terminal) as live:
        while True:
            listing = _listing_of(await look(operations))
            live.update(
                listing.fit(max(screen.width, listing.width) if wide else screen.width).table, refresh=True
            )
            await asyncio.sleep(interval)


def _show(found: list[QueueOverview], *, wide: bool) -> None:
    _listing_of(found).show(wide=wide)
    notes().print(f"[dim]{_sum_of(found)}[/]")


def _listing_of(found: list[QueueOverview]) -> Listing:
    shown = Listing(*QUEUE_COLUMNS)
    for queue in found:
        shown.add(
            text(queue.name),
            _state_of(queue),
            count(queue.waiting),
            duration(queue.oldest_waiting_ms),
            _active_of(queue),
            count(queue.counts["delayed"]),
            count(queue.counts["failed"], "red"),
            count(queue.dead_letters, "bold red"),
            count(queue.done_per_minute),
            _workers_of(queue),
        )
    return shown


def _state_of(queue: QueueOverview) -> str:
    if queue.paused:
        return "[bold yellow]PAUSED[/]"
    if queue.rate_limited_ms:
        return f"[yellow]rests {duration(queue.rate_limited_ms)}[/]"
    return "[dim]dead letters[/]" if queue.dead_letters_of else "run"


def _active_of(queue: QueueOverview) -> str:
    active = count(queue.counts["active"], "blue")
    return active if queue.concurrency is None else f"{active}/{queue.concurrency}"


def _workers_of(queue: QueueOverview) -> str:
    if queue.workers == 0 and queue.waiting and not queue.dead_letters_of:
        return "[bold red]none[/]"
    return count(queue.workers)


def _sum_of(found: list[QueueOverview]) -> str:
    waiting = sum(queue.waiting for queue in found if not queue.dead_letters_of)
    active = sum(queue.counts["active"] for queue in found)
    return f"{len(found)} queues · {waiting} waiting · {active} active"
