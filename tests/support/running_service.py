"""A running service on the tests' queue, with an HTTP port to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from auth_worker import Job, Settings, WorkerService
from support.processors import DEAD, FAST, QUEUE


async def nothing(job: Job) -> None:
    """A consumer."""


@asynccontextmanager
async def serving(
    url: str, consumer: Callable[[Job], Any] = nothing, **options: Any
) -> AsyncIterator[WorkerService]:
    """A running service with a port of its own; stopped at once afterwards."""
    settings = Settings(http_port=0, log_level="ERROR", reconcile_interval=0.2)
    service = WorkerService(url, settings=settings, **options)
    service.register_processor(
        queue_name=QUEUE, processor=consumer, worker_config=FAST, dead_letter_queue_name=DEAD
    )
    await service.start()
    try:
        yield service
    finally:
        await service.stop(0)
