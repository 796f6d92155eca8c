"""The port of the connections that the queues of one process share. ``WorkerBroker`` uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from auth_worker.core.ports.heartbeats import HeartbeatWriter
from auth_worker.core.ports.operator import BrokerView, ConnectionState
from auth_worker.core.ports.worker import WorkerBroker
from auth_worker.core.worker_config import WorkerConfig

OnCancelled = Callable[[str, str, str], None]
"""Called with the job's id, the token of the worker that held it, and the given reason."""


class OnCancelledIn(Protocol):
    """An ``OnCancelled`` that can be told the partition, too."""

    def __call__(self, job_id: str, token: str, reason: str, partition: int = 0) -> None:
        """Cancel the job."""


class QueueConnections(Protocol):
    """The connections that a queue uses. Belongs to the work loop."""

    @property
    def view(self) -> BrokerView:
        """The broker as seen from the watch loop."""

    def worker_broker(
        self, queue: str, config: WorkerConfig, *, name: str, dead_letter_queue: str | None
    ) -> WorkerBroker:
        """Return the broker for the worker ``name`` of ``queue``."""

    async def announce(self, queue: str, worker: str, on_cancelled: OnCancelledIn) -> None:
        """Show ``worker`` among those of ``queue``, and pass requests to cancel on to it.

        Raises ``BrokerError``.
        """

    async def withdraw(self, queue: str) -> None:
        """Remove the worker of ``queue`` from the list."""


class WorkerConnections(QueueConnections, Protocol):
    """The connections of a process's workers.

    Belongs to the work loop; ``start_watching`` and ``stop_watching`` to the watch loop.
    """

    @property
    def links(self) -> Sequence[ConnectionState]:
        """The connections that work needs. Any thread may read whether they are up."""

    @property
    def heartbeats(self) -> HeartbeatWriter:
        """Writes heartbeats, from the watch loop."""

    async def start(self, timeout: float) -> None:
        """Connect what the work loop needs.

        Raises ``BrokerError`` after ``timeout`` s, ``ConfigurationError`` if the server is not suitable.
        """

    async def stop(self) -> None:
        """Close the connections of the work loop, including those that were never opened."""

    def begin(self) -> None:
        """As ``start``, without waiting for a node that is away."""

    async def start_watching(self, timeout: float) -> None:
        """Connect what the watch loop needs. Raises ``BrokerError`` after ``timeout`` s."""

    async def begin_watching(self) -> None:
        """As ``start_watching``, without waiting for a node that is away."""

    async def stop_watching(self) -> None:
        """Close what ``start_watching`` has opened."""
