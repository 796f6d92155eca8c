"""Bounds many short waits with one timer, where a timer for each would cost more than what is waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Deadlines:
    """Resolves futures of ``loop`` with None unless they are done ``timeout`` s after ``watch``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._watched: deque[tuple[float, asyncio.Future[Any]]] = deque()
        """With the time of the loop at which each is due, in that order."""
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any]) -> float:
        """Bound the wait for ``future``, and return when it ends, in the time of the loop."""
        watched = self._watched
        while watched and watched[0][1].done():
            watched.popleft()
        deadline = self._loop.time() + self._timeout
        watched.append((deadline, future))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return deadline

    def _expire(self) -> None:
        """Resolve the futures that are due, and return when the next one is."""
        watched, self._timer = self._watched, None
        now = self._loop.time()
        while watched and (watched[0][0] <= now or watched[0][1].done()):
            _, future = watched.popleft()
            if not future.done():
                future.set_result(None)
        if watched:
            self._timer = self._loop.call_at(watched[0][0], self._expire)
