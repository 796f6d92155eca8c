"""Bounds how much one caller, and all of them together, may have done at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable

PATIENCE_S = 2.0
"""How long a request waits for its turn before it is refused."""
MOST_WAITING = 64


class Throttle:
    """At most ``each`` requests of a caller at a time, and ``most`` of all. Belongs to one event loop."""

    def __init__(self, each: int, most: int) -> None:
        self._each = each
        self._most = most
        self._running: Counter[Hashable] = Counter()
        self._waiting = 0
        self._left = asyncio.Condition()

    async def enter(self, caller: Hashable) -> int:
        """Wait for a turn; 0, or the status of the refusal: 429 for the caller's own bound, 503 for that of all.

        After a 0 call ``leave``.
        """
        if not self._is_free(caller):
            if self._waiting >= MOST_WAITING:
                return self._refusal(caller)
            self._waiting += 1
            try:
                async with asyncio.timeout(PATIENCE_S), self._left:
                    await self._left.wait_for(lambda: self._is_free(caller))
                    self._running[caller] += 1
                    return 0
            except TimeoutError:
                return self._refusal(caller)
            finally:
                self._waiting -= 1
        self._running[caller] += 1
        return 0

    async def leave(self, caller: Hashable) -> None:
        """The request that entered has been answered."""
        self._running[caller] -= 1
        self._running += Counter()  # drops those at 0
        async with self._left:
            self._left.notify_all()

    def _is_free(self, caller: Hashable) -> bool:
        return self._running[caller] < self._each and self._running.total() < self._most

    def _refusal(self, caller: Hashable) -> int:
        return 429 if self._running[caller] >= self._each else 503
