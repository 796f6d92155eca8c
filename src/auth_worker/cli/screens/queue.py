"""Shows queues, once or refreshed in place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rich.console import Group
from rich.live import Live

from auth_worker.admin.models import QueueOverview
from auth_worker.cli.console import notes, results, text
from auth_worker.cli.formatting import count, duration
from auth_worker.cli.listing import Column, Listing

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


async def watch_queues(look: Callable[[], Awaitable[list[QueueOverview]]], interval: float, *, wide: bool) -> None:
    """Show the queues that ``look`` returns, again every ``interval`` s, until cancelled."""
    screen = results()
    with Live(console=screen, auto_refresh=False, screen=True) as live:
        while True:
            listing = _listing_of(await look())
            fitted = listing.fit(listing.width if wide else screen.width)
            if wide or fitted.width > screen.width:  # only then: a fixed width no longer follows the terminal's
                screen.width = max(screen.width, fitted.width)
            live.update(Group(fitted.table, f"[dim]{fitted.note}[/]"), refresh=True)
            await asyncio.sleep(interval)


def show_queues(found: list[QueueOverview], *, wide: bool) -> None:
    """Show the queues as a table, and their totals."""
    _listing_of(found).show(wide=wide)
    notes().print(f"[dim]{_totals_of(found)}[/]")


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
        return f"[yellow]rate-limited {duration(queue.rate_limited_ms)}[/]"
    return "[dim]dead letters[/]" if queue.dead_letters_of else "run"


def _active_of(queue: QueueOverview) -> str:
    active = count(queue.counts["active"], "blue")
    return active if queue.concurrency is None else f"{active}/{queue.concurrency}"


def _workers_of(queue: QueueOverview) -> str:
    if queue.workers == 0 and queue.waiting and not queue.dead_letters_of:
        return "[bold red]none[/]"
    return count(queue.workers)


def _totals_of(found: list[QueueOverview]) -> str:
    waiting = sum(queue.waiting for queue in found if not queue.dead_letters_of)
    active = sum(queue.counts["active"] for queue in found)
    return f"{len(found)} {'queue' if len(found) == 1 else 'queues'} · {waiting} waiting · {active} active"
