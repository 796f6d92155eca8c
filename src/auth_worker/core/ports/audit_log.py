"""The port to the audit log. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from typing import Protocol


class AuditLogStore(Protocol):
    """Keeps the audit log, the newest entry first. An entry is a text."""

    async def append(self, entry: str, most: int) -> None:
        """Add an entry, and remove all but the newest ``most``."""

    async def count(self) -> int:
        """Return how many entries there are."""

    async def read(self, offset: int, limit: int) -> list[str]:
        """Return ``limit`` entries from ``offset`` on."""
