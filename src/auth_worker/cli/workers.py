"""``auth-worker workers``: who works the queues, by connections and heartbeats."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from auth_worker.admin.models import WorkerEntry
from auth_worker.admin.operations import Operations
from auth_worker.admin.workers import WorkerProcess
from auth_worker.cli.common_flags import AsJson, Wide
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import notes, text
from auth_worker.cli.formatting import NOTHING, duration, size
from auth_worker.cli.listing import Column, Listing
from auth_worker.core.heartbeat import QueueBeat

OneQueue = Annotated[
    str | None,
    typer.Argument(
        metavar="QUEUE", help="Only the workers of this queue.", show_default=False, autocompletion=complete_queue
    ),
]
WORKER_COLUMNS = (
    Column("QUEUE", least=16, middle=True),
    Column("WORKER", least=16, middle=True),
    Column("STATE", 1),
    Column("SLOTS", 1, right=True),
    Column("UPTIME", 2, right=True),
    Column("LAG", 3, right=True),
    Column("MEMORY", 3, right=True),
    Column("VERSION", 4),
    Column("ADDRESS", 3),
    Column("CONNECTED", 4, right=True),
)


def workers(
    queue: OneQueue = None,
    *,
    wide: Wide = False,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """List the workers connected to the queues, including those in Node.

    SLOTS are those in use, of all. Workers without heartbeats, such as Node's, show a name and an address.

    Example: [bold]auth-worker workers emailQueue[/]
    """

    async def work(operations: Operations) -> None:
        found, processes = await asyncio.gather(
            operations.worker_connections(queue), operations.workers.processes()
        )
        if not found:
            await operations.queues.check_prefix()
        if as_json:
            print_json(found)
        elif not found:
            notes().print("No workers are connected.")
        else:
            _show(found, processes, wide=wide)

    run_connected(connection, work, queue)


def _show(found: list[WorkerEntry], processes: list[WorkerProcess], *, wide: bool) -> None:
    beats = {(beat.queue, beat.worker): (each, beat) for each in processes for beat in each.queues}
    shown = Listing(*WORKER_COLUMNS)
    for worker in found:
        known = beats.get((worker.queue, worker.name))
        cells = _cells_of(*known) if known is not None else [NOTHING] * 6
        name = text(worker.name or "(no name)")
        connected = duration(worker.connected_s * 1000)
        shown.add(text(worker.queue), name, *cells, text(worker.address), connected)
    shown.show(wide=wide)


def _cells_of(process: WorkerProcess, beat: QueueBeat) -> list[str]:
    state = "[red]silent[/]" if process.is_silent else "paused" if beat.paused else process.state
    memory = NOTHING if process.memory_bytes is None else size(process.memory_bytes)
    slots, up_for, lag = f"{beat.active}/{beat.slots}", duration(process.up_ms), duration(process.lag_ms)
    return [state, slots, up_for, lag, memory, text(process.version)]
