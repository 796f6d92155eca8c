"""Stands in for a part of a port until what it needs is known, or connected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


class StandIn:
    """Has the coroutines of what ``resolve`` returns, for the queue ``queue``."""

    def __init__(self, queue: str, resolve: Callable[[], Awaitable[Any]]) -> None:
        self.queue = queue
        self._resolve = resolve

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            return await getattr(await self._resolve(), name)(*args, **options)

        return call
