"""Finds the member of an exception group that decides what becomes of the job.

An ``asyncio.TaskGroup`` raises the exceptions of its tasks as an ``ExceptionGroup``. Its members decide, at any
depth of nesting, in this order:

1. ``RateLimited``: it protects somebody else, so it is never ignored; of several, the longest.
2. ``Delay``; of several, the longest.
3. ``WaitForChildren``.
4. What ends the job for good: see ``ends_for_good``.
5. Any other ``Exception``.
6. ``SystemExit`` and the like; last ``CancelledError``, which usually results from another member.

Steering comes first because it loses nothing: the job runs again, and can fail then. Of several members of the
same rank, the first decides. ``__cause__`` and ``__context__`` decide nothing: ``raise X from Y`` is an X.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from auth_worker.core.validation_errors import is_about
from auth_worker.errors import ConfigurationError, Delay, RateLimited, Steering, UnrecoverableError


def ends_for_good(error: BaseException, data: Any = None) -> bool:
    """Whether ``error``, which is not a group, fails the job for good, whatever attempts are left.

    ``data`` is the job's: another attempt would meet the same validation error about it.
    """
    return isinstance(error, UnrecoverableError | ConfigurationError) or is_about(error, data)


def deciding_error(error: BaseException, data: Any = None) -> BaseException:
    """Return the member that decides if ``error`` is a group, else ``error`` itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [each for each in flattened(error) if not isinstance(each, BaseExceptionGroup)]
    return max(leaves, key=lambda leaf: _rank(leaf, data))


def flattened(error: BaseException) -> list[BaseException]:
    """Return ``error`` and, if it is a group, all its members at any depth, each once and in order."""
    found: dict[int, BaseException] = {}
    left = [error]
    while left:
        each = left.pop()
        if id(each) not in found:
            found[id(each)] = each
            if isinstance(each, BaseExceptionGroup):
                left.extend(reversed(each.exceptions))
    return list(found.values())


def _rank(error: BaseException, data: Any) -> tuple[int, float]:
    match error:
        case RateLimited():
            return 6, _seconds_of(error)
        case Delay():
            return 5, _seconds_of(error)
        case Steering():
            return 4, 0
        case asyncio.CancelledError():
            return 0, 0
    if ends_for_good(error, data):
        return 3, 0
    return (2 if isinstance(error, Exception) else 1), 0


def _seconds_of(error: Delay | RateLimited) -> float:
    """Return the delay that ``error`` asks for (s), or -1 if it is invalid, so that a valid one wins."""
    try:
        seconds = float(error.seconds)
    except Exception:
        return -1
    return seconds if math.isfinite(seconds) and seconds >= 0 else -1
