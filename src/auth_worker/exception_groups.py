"""Exception groups: which member of a group decides what becomes of the job.

An ``asyncio.TaskGroup`` raises what its tasks raised as an ``ExceptionGroup``. What counts is what the members
say, at any depth of nesting, in this order:

1. ``RateLimited``: it protects somebody else, so it is never ignored; of several, the longest.
2. ``Delay``; of several, the longest.
3. ``WaitForChildren``.
4. What ends the job for good: see ``ends_for_good``.
5. Any other ``Exception``.
6. ``SystemExit`` and the like; last ``CancelledError``, which is most often the consequence of another member.

Steering comes first because nothing is lost by it: the job runs again, and fails then if it has to. Of several
members of one rank the first one decides. ``__cause__`` and ``__context__`` decide nothing: ``raise X from Y`` is
an X.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from auth_worker.errors import ConfigurationError, Delay, RateLimited, Steering, UnrecoverableError
from auth_worker.validation_errors import is_about


def ends_for_good(error: BaseException, data: Any = None) -> bool:
    """Whether ``error``, which is no group, fails the job with this ``data`` whatever attempts are left."""
    return isinstance(error, UnrecoverableError | ConfigurationError) or is_about(error, data)


def deciding(error: BaseException, data: Any = None) -> BaseException:
    """The member that decides, where ``error`` is a group; else ``error`` itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [each for each in flattened(error) if not isinstance(each, BaseExceptionGroup)]
    return max(leaves, key=lambda leaf: _rank(leaf, data))


def flattened(error: BaseException) -> list[BaseException]:
    """``error``, and if it is a group everything in it, nested groups too, each once and in order."""
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
    """How long it asks for; -1 for what is not a number >= 0, so that any sound one goes before."""
    try:
        seconds = float(error.seconds)
    except Exception:
        return -1
    return seconds if math.isfinite(seconds) and seconds >= 0 else -1
