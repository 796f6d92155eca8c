"""The producers of a TaskQueue, connected when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auth_worker.brokers.opening import redirections
from auth_worker.flow import FlowProducer
from auth_worker.queue import JobQueue

if TYPE_CHECKING:
    from auth_worker.config import Settings


class LazyProducers:
    """Makes the producers of the queue ``name``, each at its first use.

    ``connection``, ``settings``, ``timeout`` (s) and ``partitions`` are as in ``TaskQueue``.
    """

    def __init__(
        self, name: str, connection: Any, settings: Settings | None, timeout: float, partitions: int = 1
    ) -> None:
        self.given = connection, settings
        """What is None is as the environment says."""
        self._name = name
        self._timeout = timeout
        self._partitions = partitions
        self._is_fixed = connection is not None or settings is not None
        self._jobs: JobQueue | None = None
        self._flows: FlowProducer | None = None

    @property
    def jobs(self) -> JobQueue:
        """Adds jobs."""
        if self._jobs is None:
            connection, settings = self.given
            self._jobs = JobQueue(
                self._name,
                connection,
                settings=settings,
                timeout=self._timeout,
                sync_timeout=self._timeout,
                partitions=self._partitions,
            )
        return self._jobs

    @property
    def flows(self) -> FlowProducer:
        """Adds flows."""
        if self._flows is None:
            connection, settings = self.given
            self._flows = FlowProducer(
                connection, settings=settings, timeout=self._timeout, sync_timeout=self._timeout
            )
        return self._flows

    def move(self, connection: Any, settings: Settings | None) -> None:
        """Enqueue there from now on, unless the queue was made for a certain broker, or a test has one in use."""
        is_nowhere = connection is None and settings is None
        if not (self._is_fixed or redirections or is_nowhere or (connection, settings) == self.given):
            self.given = connection, settings
            self._jobs = self._flows = None

    async def close(self) -> None:
        """Disconnect."""
        for producer in (self._jobs, self._flows):
            if producer is not None:
                await producer.close()
