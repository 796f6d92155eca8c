"""Caches values that several requests want at the same time and that are expensive to compute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class TimedCache(Generic[T]):
    """Keeps what ``ask`` returned for ``lifetime`` s. Belongs to one event loop."""

    def __init__(self, ask: Callable[[], Awaitable[T]], lifetime: float) -> None:
        self._ask = ask
        self._lifetime = lifetime
        self._turn = asyncio.Lock()
        self._known: tuple[float, T] | None = None
        self._forgotten = 0

    async def get(self) -> T:
        """Return the value, computed anew once it is too old. Raises what ``ask`` raises."""
        async with self._turn:
            if self._known is None or time.monotonic() - self._known[0] > self._lifetime:
                self._known = None
                forgotten, asked_at = self._forgotten, time.monotonic()
                value = await self._ask()
                if forgotten != self._forgotten:
                    return value
                self._known = asked_at, value
            return self._known[1]

    def forget(self) -> None:
        """Ask anew next time, since the value has changed. What is being asked for at this moment is not kept."""
        self._forgotten += 1
        self._known = None


class SingleFlight(Generic[P, T]):
    """Calls ``ask`` once for all callers that want its result while it runs. Belongs to one event loop."""

    def __init__(self, ask: Callable[P, Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[T] | None = None

    async def get(self, *arguments: P.args, **named: P.kwargs) -> T:
        """Return the value, asked for with the arguments of the first caller. Raises what ``ask`` raises."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask(*arguments, **named))
        return await asyncio.shield(self._asked)  # a caller that is cancelled cancels no other
