"""Formats durations as text for people, and reads what people write."""

from __future__ import annotations

import re

from auth_worker.core.coercion import MAX_NUMBER

UNITS_MS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|s|m|h|d|)")
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


def duration_of(text: str) -> int:
    """Return the ms of ``250ms``, ``10s``, ``5m``, ``1.5h``, ``2d`` or a number of ms. Raises ``ValueError``."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r:.80} is not a duration such as 250ms, 10s, 5m, 2h or 1d")
    found_ms = round(float(found[1]) * UNITS_MS[found[2]])
    if found_ms > MAX_NUMBER:
        raise ValueError(f"{text!r:.80} is too long")
    return found_ms
