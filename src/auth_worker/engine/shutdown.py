"""Closes a processor once, however many callers ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from auth_worker.system.loops import discard_task, first_of

End = Callable[[float, "list[asyncio.Event]"], Coroutine[Any, Any, bool]]


class Closing:
    """Calls ``end`` with a timeout (s) and the events that hurry it, once at a time. Belongs to one event loop."""

    def __init__(self, end: End) -> None:
        self._end = end
        self._task: asyncio.Task[bool] | None = None
        self._hurry = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Whether it has started and not ended."""
        return self._task is not None and not self._task.done()

    def discard(self) -> None:
        """Forget, in a forked child, what goes on in the parent."""
        discard_task(self._task)
        self._task = None

    async def close(self, timeout: float, hurry: asyncio.Event | None) -> bool:
        """Call ``end`` and return its result.

        Later callers wait for the same end, and hurry it after ``timeout`` s.
        """
        events = [] if hurry is None else [hurry]
        if self._task is None or self._task.done():
            self._hurry.clear()
            self._task = asyncio.create_task(self._end(timeout, [self._hurry, *events]), name="close")
        else:
            await first_of(timeout, asyncio.shield(self._task), *(event.wait() for event in events))
            self._hurry.set()
        return await asyncio.shield(self._task)
