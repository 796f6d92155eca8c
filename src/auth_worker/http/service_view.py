"""What the HTTP port uses of a service."""

from __future__ import annotations

from typing import Protocol

from auth_worker.config import Settings
from auth_worker.core.report import ServiceHealth
from auth_worker.process.runtime import Runtime
from auth_worker.processor import QueueProcessorService


class ServiceView(Protocol):
    """A ``WorkerService``, which belongs to the work loop."""

    settings: Settings
    runtime: Runtime

    @property
    def state(self) -> str:
        """``new``, ``starting``, ``running``, ``stopping`` or ``stopped``."""

    def get_processors(self) -> list[QueueProcessorService]:
        """Return every processor. Any thread may call it."""

    async def get_health(self) -> ServiceHealth:
        """Return the health report. Belongs to the work loop, as the database does."""
