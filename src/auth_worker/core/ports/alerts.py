"""The port to the state of the alerts. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from typing import Protocol


class AlertStore(Protocol):
    """Stores the state of the alerts, which is a text, for whichever process evaluates the rules next."""

    async def elect(self, owner: str, lease_ms: int) -> bool:
        """Return whether ``owner`` is the one that evaluates the rules for the next ``lease_ms``."""

    async def resign(self, owner: str) -> None:
        """Let another be elected at once, if ``owner`` is the one."""

    async def read(self) -> str | None:
        """Return the state; None if there is none."""

    async def write(self, state: str, ttl_ms: int) -> None:
        """Store the state for ``ttl_ms``."""
