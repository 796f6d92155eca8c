"""The port to the records of bulk operations. Every coroutine may raise ``BrokerError``."""

from __future__ import annotations

from abc import abstractmethod
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
    """Where bulk operations are kept, so that every process knows those of all. A record is a text."""

    @abstractmethod
    async def write(self, operation_id: str, record: str, started_at: int, ttl_ms: int) -> None:
        """Keep the record for ``ttl_ms`` from now. ``started_at`` (epoch ms) orders it among the others."""

    @abstractmethod
    async def write_request(self, operation_id: str, request: str) -> None:
        """Keep beside the record what was requested, to begin it again."""

    @abstractmethod
    async def read_request(self, operation_id: str) -> str | None:
        """Return what was requested; None if that is not kept."""

    @abstractmethod
    async def read(self, operation_id: str) -> StoredBulkOperation | None:
        """Return one of them; None if there is none."""

    @abstractmethod
    async def ids(self, most: int) -> list[str]:
        """Return the ids of the ``most`` newest. What they name may be forgotten meanwhile."""

    @abstractmethod
    async def ids_beyond(self, most: int) -> list[str]:
        """Return the ids of all but the ``most`` newest."""

    @abstractmethod
    async def forget(self, operation_ids: Sequence[str]) -> None:
        """Forget these."""

    @abstractmethod
    async def show_alive(self, operation_id: str, ttl_ms: int) -> None:
        """Say that somebody runs it, for the next ``ttl_ms``; 0: that nobody does any more."""

    @abstractmethod
    async def ask_to_stop(self, operation_id: str, who: str) -> None:
        """Ask its runner, wherever it is, to stop."""

    @abstractmethod
    async def stop_asked_by(self, operation_id: str) -> str:
        """Return who has asked to stop it; empty for nobody."""

    @abstractmethod
    async def mark_begun_again(self, operation_id: str, as_id: str) -> None:
        """Note that another one does it again."""
