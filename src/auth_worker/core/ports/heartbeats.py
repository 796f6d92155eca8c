"""The port to the heartbeats of the worker processes. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class StoredHeartbeat(NamedTuple):
    """The last heartbeat of a process, a text, and how long ago (ms) it arrived, by the broker's clock."""

    record: str
    age_ms: int


class HeartbeatWriter(Protocol):
    """Writes the heartbeats of a process."""

    async def beat(self, process_id: str, record: str, lifetime_ms: int) -> str:
        """Store a heartbeat, and return what was requested of the process since the last; empty for nothing.

        Heartbeats of processes that have been silent for ``lifetime_ms`` are removed.
        """

    async def withdraw(self, process_id: str) -> None:
        """Remove the heartbeat of a process that has stopped."""


class HeartbeatReader(Protocol):
    """Reads the heartbeats of all processes, and leaves requests for them."""

    async def heartbeats(self) -> list[StoredHeartbeat]:
        """Return the last heartbeat of each process."""

    async def request(self, process_id: str, action: str) -> bool:
        """Leave a request, which replaces one that was not taken yet. Returns whether the process is known."""
