"""The port to the records of bulk operations. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class StoredBulkOperation(NamedTuple):
    """What is kept of a bulk operation: its record as its runner wrote it last, and what others have added.

    ``alive``: whether its runner has shown itself lately. ``stop_asked_by`` and ``begun_again_as`` may be empty.
    """

    record: str
    alive: bool
    stop_asked_by: str
    begun_again_as: str


class BulkOperationStore(Protocol):
    """Stores the bulk operations of all processes. A record is a text."""

    async def add(self, operation_id: str, record: str) -> bool:
        """Store the record of a new operation. Returns False, and stores nothing, if there is one with this id."""

    async def write(self, operation_id: str, record: str, started_at: int, ttl_ms: int) -> None:
        """Store the record for ``ttl_ms``. ``started_at`` (epoch ms) is its place among the others."""

    async def write_request(self, operation_id: str, request: str) -> None:
        """Store beside the record what was requested, so that it can be repeated."""

    async def read_request(self, operation_id: str) -> str | None:
        """Return what was requested; None if that is not stored."""

    async def read(self, operation_id: str) -> StoredBulkOperation | None:
        """Return an operation; None if there is none."""

    async def ids(self, most: int) -> list[str]:
        """Return the ids of the ``most`` newest. The record of one may have expired."""

    async def ids_beyond(self, most: int) -> list[str]:
        """Return the ids of all but the ``most`` newest."""

    async def forget(self, operation_ids: Sequence[str]) -> None:
        """Remove these operations."""

    async def show_alive(self, operation_id: str, ttl_ms: int) -> None:
        """Mark an operation as running for the next ``ttl_ms``. 0 removes the mark."""

    async def ask_to_stop(self, operation_id: str, who: str) -> None:
        """Ask the process that runs an operation to stop it, for ``who``."""

    async def stop_asked_by(self, operation_id: str) -> str:
        """Return who has asked to stop an operation; empty if nobody has."""

    async def mark_begun_again(self, operation_id: str, as_id: str) -> None:
        """Record that the operation ``as_id`` repeats this one."""
