"""The wall clock, in the unit of BullMQ's timestamps."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the time in ms since the epoch, rounded down as JavaScript's ``Date.now()`` does."""
    return int(time.time() * 1000)
