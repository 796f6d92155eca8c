"""Computes how long a failed job waits before its next attempt."""

from __future__ import annotations

import math
import random
from typing import Any

from auth_worker.core.coercion import is_truthy, number_of

LONGEST_DELAY = 2**52
"""The longest delay in ms (142,000 years): BullMQ's scripts can add it to the time without losing precision."""
NO_RETRY = -1
_LAST_DOUBLING = 1023


def backoff_ms(backoff: Any, attempt: int) -> int:
    """Return the delay (ms) after the failed ``attempt`` (1-based), or ``NO_RETRY``.

    A number, also as a text, is a fixed delay. A jitter of 0..1 spreads the delay between (1 - jitter) of it and
    all of it. Raises ``ValueError`` if ``backoff`` cannot be read. Source: BullMQ's ``Backoffs``, and
    ``Job.shouldRetryJob``, which takes a delay of -1 as no retry. Where this raises, Node leaves the job active,
    to be recovered as stalled.
    """
    if not is_truthy(backoff):
        return 0
    if isinstance(backoff, str | int | float) and not isinstance(backoff, bool):
        backoff = {"type": "fixed", "delay": backoff}
    if not isinstance(backoff, dict):
        raise ValueError(f"backoff is a {type(backoff).__name__}, not a number or an object")
    kind = backoff.get("type", "fixed")
    delay = number_of(backoff.get("delay", 0))
    if math.isnan(delay):
        raise ValueError("backoff.delay is not a number")
    delay = min(delay, LONGEST_DELAY)
    if kind == "exponential":
        delay = min(delay * 2.0 ** min(attempt - 1, _LAST_DOUBLING), LONGEST_DELAY)
    elif kind != "fixed":
        raise ValueError(f"backoff.type {str(kind)[:40]!r} is not fixed or exponential")
    jitter = min(number_of(backoff.get("jitter", 0)), 1)
    if jitter > 0:
        delay = random.uniform(delay * (1 - jitter), delay)  # noqa: S311 - spreads load, guards nothing
    elif delay == NO_RETRY:
        return NO_RETRY
    return round(max(delay, 0))
