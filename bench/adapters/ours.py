"""Our service, as ``auth-worker run`` runs it: uvloop, metrics, HTTP port, job logs to the file that stderr is."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from auth_worker import Job, WorkerService
from auth_worker.cli.async_runner import run_async
from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.lifecycle import ServiceState
from auth_worker.queue import JobQueue
from auth_worker.tasks import TaskQueue
from bench.adapters import child
from bench.adapters.plain import CONSUMERS, Counted, do_nothing


class Mail(BaseModel):
    """The data of a mail, as a typed task takes it."""

    email: str
    name: str
    token: str
    locale: str


class Ours:
    """Our worker, or our producer."""

    def __init__(self) -> None:
        self._service: WorkerService | None = None
        self._running: asyncio.Task[int] | None = None
        self._queue: JobQueue | None = None

    async def start(self, order: child.Order, consume: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """As the protocol says."""
        state = Path(tempfile.gettempdir()) / "auth-worker-bench"
        url = f"redis://127.0.0.1:{order.port}/0"
        settings = Settings(http_port=0, log_jobs=order.log_jobs, state_dir=state)
        if order.role == "producer":
            self._queue = JobQueue(order.queues[0], url, settings=settings)
            return

        self._service = WorkerService(url, settings=settings)
        self._register(self._service, order, consume)
        self._running = asyncio.create_task(self._service.run())
        while self._service.state is not ServiceState.RUNNING:
            if self._running.done():
                raise RuntimeError(f"the service did not start: {self._service.start_error}")
            await asyncio.sleep(0.01)

    def _register(
        self, service: WorkerService, order: child.Order, consume: Callable[[Mapping[str, Any]], Awaitable[None]]
    ) -> None:
        config = WorkerConfig(
            concurrency=order.concurrency, lock_duration=child.LOCK_MS, stalled_interval=child.STALLED_MS
        )

        async def consumer(job: Job) -> None:
            await consume(job.data)

        async def task(i: int, type: str, data: Mail) -> None:
            await consume({"i": i})

        plain = Counted(CONSUMERS.get(order.sleep_ms, do_nothing), order.execution, consume)
        for queue in order.queues:
            dead = f"{queue}-dead"
            if order.typed:
                tasks = TaskQueue(queue, worker_config=config, dead_letter_queue_name=dead)
                tasks.task(name="noop")(task)
                service.include(tasks)
            else:
                service.register_processor(
                    queue_name=queue,
                    processor=consumer if order.execution == "auto" else plain,
                    worker_config=config,
                    dead_letter_queue_name=dead,
                )

    async def add(self, data: Mapping[str, Any]) -> None:
        """As the protocol says."""
        assert self._queue is not None
        await self._queue.add("noop", data)

    async def add_bulk(self, data: list[Mapping[str, Any]]) -> None:
        """As the protocol says."""
        assert self._queue is not None
        await self._queue.add_bulk([{"name": "noop", "data": each} for each in data])

    async def stop(self) -> None:
        """As the protocol says."""
        if self._running is not None:
            os.kill(os.getpid(), signal.SIGTERM)
            await self._running
        if self._queue is not None:
            await self._queue.close()


if __name__ == "__main__":
    run_async(child.serve(Ours()))
