"""Formats numbers, durations, times and JSON for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from auth_worker.cli.console import text
from auth_worker.core.clock import now_ms
from auth_worker.core.terminal_text import without_odd_numbers

NOTHING = "-"
STATE_STYLES = {
    "wait": "white",
    "active": "blue",
    "delayed": "yellow",
    "prioritized": "magenta",
    "completed": "green",
    "failed": "red",
    "paused": "bright_black",
}


def styled_state(state: str) -> str:
    """Return a job's state in its colour."""
    return f"[{STATE_STYLES.get(state, 'white')}]{text(state)}[/]"


def count(number: int | None, style: str = "") -> str:
    """Format a number in groups of three digits, a dim 0, and ``?`` for None."""
    if number is None:
        return "?"
    if not number:
        return "[dim]0[/]"
    shown = f"{number:,}".replace(",", " ")
    return f"[{style}]{shown}[/]" if style else shown


def duration(ms: float | None) -> str:
    """Format a duration (ms) in two units at most: ``80 ms``, ``1.2 s``, ``3m20s``, ``2h05m``, ``4d03h``."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, smaller, names in ((3600, 60, "ms"), (86_400, 3600, "hm")):
        if seconds < size:
            whole, rest = divmod(int(seconds), smaller)
            return f"{whole}{names[0]}{rest * 60 // smaller if names == 'hm' else rest:02}{names[1]}"
    days, rest = divmod(int(seconds), 86_400)
    return f"{days}d{rest // 3600:02}h"


def ago(ms: int | None) -> str:
    """Format how long ago a time (epoch ms) is, or in how long it will be."""
    if not ms:
        return NOTHING
    distance = now_ms() - ms
    return f"{duration(distance)} ago" if distance >= 0 else f"in {duration(-distance)}"


def moment(ms: int | None) -> str:
    """Format a time (epoch ms) in UTC, with how long ago it is."""
    if not ms:
        return NOTHING
    try:
        stamp = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return f"{stamp:%Y-%m-%d %H:%M:%S}Z ({ago(ms)})"


def size(number: float) -> str:
    """Format a number of bytes."""
    if number < 1000:
        return f"{number} B"
    return f"{number / 1e3:.1f} kB" if number < 1e6 else f"{number / 1e6:.1f} MB"


def pairs(values: Mapping[str, Any] | Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values, without those that have no value."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in values.items() if isinstance(values, Mapping) else values:
        if value not in (None, "", NOTHING):
            made.add_row(name, value)
    return made


def pretty(value: Any) -> str:
    """Format a value as JSON on several lines."""
    return json.dumps(without_odd_numbers(value), indent=2, ensure_ascii=False, default=str)
