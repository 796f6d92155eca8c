"""How long a failed job waits before its next attempt."""

from __future__ import annotations

import math
import random
from typing import Any

from auth_worker.coercion import is_truthy, number_of

LONGEST_DELAY = 2**52
"""The longest delay, in ms: 142,000 years. BullMQ's scripts add it to the time without losing a millisecond."""
NO_RETRY = -1
_LAST_DOUBLING = 1023


def backoff_ms(backoff: Any, attempt: int) -> int:
    """How long to wait after the failed ``attempt`` (1-based), in ms; ``NO_RETRY`` where there is to be no retry.

    A number, also as a text, is a fixed delay; jitter 0..1 spreads the delay down to (1 - jitter) of it. Raises
    ``ValueError`` for what is no backoff. Source: BullMQ's ``Backoffs``, and ``Job.shouldRetryJob``, which takes a
    delay of -1 for a no. Node leaves a job active, to be found stalled, where this raises.
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
