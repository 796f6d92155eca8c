"""Formats durations as text for people."""

from __future__ import annotations

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration_text(ms: float, units: int = 2) -> str:
    """Format a duration (ms) in its largest ``units``: ``1 h 12 min``; below a second ``340 ms``."""
    if ms < 1000:
        return f"{round(ms)} ms"
    left = round(ms / 1000)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(parts) < units:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts)
