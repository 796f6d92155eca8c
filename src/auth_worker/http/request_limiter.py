"""Limits how many requests run at the same time, for each caller and in total."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable

WAIT_S = 2.0
"""How long a request waits for its turn before it is refused."""
MOST_WAITING = 64
"""How many requests may wait for a turn by default."""


class RequestLimiter:
    """Lets at most ``each`` requests of a caller run at a time, and ``most`` in total. Belongs to one event loop.

    ``most_waiting``: how many may wait for a turn; any more are refused at once.
    """

    def __init__(self, each: int, most: int, most_waiting: int = MOST_WAITING) -> None:
        self._each = each
        self._most = most
        self._most_waiting = most_waiting
        self._running: Counter[Hashable] = Counter()
        self._waiting = 0
        self._left = asyncio.Condition()

    async def enter(self, caller: Hashable) -> int:
        """Wait for a turn. Returns 0, or the status of the refusal: 429 for the caller's limit, 503 for the total.

        Call ``leave`` after a 0.
        """
        if not self._is_free(caller):
            if self._waiting >= self._most_waiting:
                return self._refusal(caller)
            self._waiting += 1
            try:
                async with asyncio.timeout(WAIT_S), self._left:
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
        """End a turn."""
        self._running[caller] -= 1
        self._running += Counter()  # drops those at 0
        async with self._left:
            self._left.notify_all()

    def _is_free(self, caller: Hashable) -> bool:
        return self._running[caller] < self._each and self._running.total() < self._most

    def _refusal(self, caller: Hashable) -> int:
        return 429 if self._running[caller] >= self._each else 503


class BodyMemory:
    """Bounds the bytes of request bodies that are held: ``each`` of a caller, ``most`` in total."""

    def __init__(self, each: int, most: int) -> None:
        self._each = each
        self._most = most
        self._held: Counter[Hashable] = Counter()

    def take(self, caller: Hashable, size: int) -> int:
        """Hold ``size`` bytes more. Returns 0, or the status of a refusal: 429 for ``each``, 503 for ``most``."""
        if self._held[caller] + size > self._each:
            return 429
        if self._held.total() + size > self._most:
            return 503
        self._held[caller] += size
        return 0

    def release(self, caller: Hashable, size: int) -> None:
        """Hold ``size`` bytes less."""
        self._held[caller] -= size
        self._held += Counter()  # drops those at 0


class Turn:
    """The turn of one request, at one limiter at a time."""

    def __init__(self, caller: Hashable) -> None:
        self._caller = caller
        self._limiter: RequestLimiter | None = None

    async def take(self, limiter: RequestLimiter) -> int:
        """End the turn and wait for one of ``limiter``. Returns 0, or the status of the refusal."""
        await self.end()
        status = await limiter.enter(self._caller)
        if not status:
            self._limiter = limiter
        return status

    async def end(self) -> None:
        """End the turn, if there is one."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            await limiter.leave(self._caller)
