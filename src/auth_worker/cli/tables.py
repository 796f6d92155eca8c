"""Tables and numbers as people read them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from auth_worker.cli.console import text
from auth_worker.terminal_text import without_odd_numbers

NOTHING = "-"
WIDE = 100_000
"""The width where there is no terminal to fit into; a table takes what it needs."""
STATE_STYLES = {
    "wait": "white",
    "active": "blue",
    "delayed": "yellow",
    "prioritized": "magenta",
    "completed": "green",
    "failed": "red",
    "paused": "bright_black",
}


def console(*, stderr: bool = False) -> Console:
    """The console on stdout, wide where it is no terminal, in which ``:ok:`` is no emoji but part of an id."""
    found = Console(stderr=stderr, highlight=False, emoji=False)
    if not is_terminal(found):
        found.width = WIDE
    return found


def notes() -> Console:
    """The like of it on stderr, for what is said about results."""
    return console(stderr=True)


def is_terminal(screen: Console) -> bool:
    """Whether ``screen`` has a width to fit into. Rich says so of a pipe too under ``FORCE_COLOR``."""
    return screen.is_terminal and screen.file.isatty()


def styled_state(state: str) -> str:
    """A state in its colour."""
    return f"[{STATE_STYLES.get(state, 'white')}]{text(state)}[/]"


def count(number: int | None, style: str = "") -> str:
    """A number with thin groups; 0 is dim, None unknown."""
    if number is None:
        return "?"
    if not number:
        return "[dim]0[/]"
    shown = f"{number:,}".replace(",", " ")
    return f"[{style}]{shown}[/]" if style else shown


def duration(ms: float | None) -> str:
    """A duration as two units at most: ``80 ms``, ``1.2 s``, ``3m20s``, ``2h05m``, ``4d03h``."""
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
    """How long ago (or in how long) a time (epoch ms) is."""
    if not ms:
        return NOTHING
    distance = time.time() * 1000 - ms
    return f"{duration(distance)} ago" if distance >= 0 else f"in {duration(-distance)}"


def moment(ms: int | None) -> str:
    """A time (epoch ms) in UTC, and how long ago it is."""
    if not ms:
        return NOTHING
    try:
        stamp = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return f"{stamp:%Y-%m-%d %H:%M:%S}Z ({ago(ms)})"


def size(number: float) -> str:
    """A number of bytes."""
    if number < 1000:
        return f"{number} B"
    return f"{number / 1e3:.1f} kB" if number < 1e6 else f"{number / 1e6:.1f} MB"


def pairs(values: Mapping[str, Any] | Iterable[tuple[str, str]]) -> Table:
    """Names and what they are, those that are anything."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in values.items() if isinstance(values, Mapping) else values:
        if value not in (None, "", NOTHING):
            made.add_row(name, value)
    return made


def pretty(value: Any) -> str:
    """JSON over several lines."""
    return json.dumps(without_odd_numbers(value), indent=2, ensure_ascii=False, default=str)
