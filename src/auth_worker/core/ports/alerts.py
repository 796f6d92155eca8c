"""The port to the state of the alerts. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class AlertStore(Protocol):
    """Where the state of the alerts is kept, so that whoever is elected next goes on with it. It is a text."""

    @abstractmethod
    async def elect(self, owner: str, lease_ms: int) -> bool:
        """Return whether ``owner`` evaluates the rules for the next ``lease_ms``: one at a time does."""

    @abstractmethod
    async def read(self) -> str | None:
        """Return the state; None if there is none."""

    @abstractmethod
    async def write(self, state: str, ttl_ms: int) -> None:
        """Keep the state for ``ttl_ms`` from now."""
