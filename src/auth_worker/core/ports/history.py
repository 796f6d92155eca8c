"""The port to the history of a queue. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from auth_worker.core.history import Span, VersionMark


class HistoryStore(Protocol):
    """Stores the buckets of one queue's history, each in a slot of its span's ring."""

    async def elect(self, owner: str, lease_ms: int) -> bool:
        """Return whether ``owner`` is the one that writes histories for the next ``lease_ms``."""

    async def resign(self, owner: str) -> None:
        """Let another be elected at once, if ``owner`` is the one."""

    async def marks(self) -> list[VersionMark]:
        """Return since when which version has been running, the oldest first."""

    async def mark(self, mark: VersionMark, most: int) -> None:
        """Store another one, and of all the newest ``most``."""

    async def read(self, span: Span) -> dict[int, str]:
        """Return the buckets of a span by slot."""

    async def read_slot(self, span: Span, slot: int) -> str:
        """Return the bucket in a slot, or an empty text."""

    async def write(self, span: Span, buckets: Mapping[int, str]) -> None:
        """Store ``buckets`` by slot. A history that nobody writes to is removed after twice its span."""
