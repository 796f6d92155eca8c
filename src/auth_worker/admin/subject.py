"""What the HTTP port looks at: a service, as far as the port knows it, and a value that is not asked for twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from auth_worker.config import Settings
from auth_worker.processor import QueueProcessorService
from auth_worker.report import ServiceHealth
from auth_worker.runtime import Runtime

T = TypeVar("T")


class Subject(Protocol):
    """A ``WorkerService``. It lives in the work loop; the port asks from the watch loop."""

    settings: Settings
    runtime: Runtime

    @property
    def state(self) -> str:
        """``new``, ``starting``, ``running``, ``stopping`` or ``stopped``."""

    def get_processors(self) -> list[QueueProcessorService]:
        """Every processor; may be called from any thread."""

    async def get_health(self) -> ServiceHealth:
        """The health report; belongs to the work loop, where the database does."""


class Remembered(Generic[T]):
    """What ``ask`` last returned, for ``lifetime`` s, however many want to know. Belongs to one event loop."""

    def __init__(self, ask: Callable[[], Awaitable[T]], lifetime: float) -> None:
        self._ask = ask
        self._lifetime = lifetime
        self._turn = asyncio.Lock()
        self._known: tuple[float, T] | None = None

    async def get(self) -> T:
        """The value, asked for anew where it is too old. Raises what ``ask`` raises."""
        async with self._turn:
            if self._known is None or time.monotonic() - self._known[0] > self._lifetime:
                self._known = None
                self._known = (time.monotonic(), await self._ask())
            return self._known[1]


class Shared(Generic[T]):
    """What ``ask`` returns; those who want to know while it is being asked share one answer.

    Belongs to one event loop.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value. Raises what ``ask`` raises."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asked)  # who goes away takes the answer from nobody
