"""The job for this service, with its defaults."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Literal

from auth_worker import Job, WorkerService
from auth_worker.config import Settings, WorkerConfig
from auth_worker.queue import JobQueue
from bench.rivals.jobs import broker_url, work


def run(job: Job) -> None:
    """The consumer."""
    work(job.data["sleep_ms"])


def make_service() -> WorkerService:
    """A service as ``BENCH_IN`` and ``BENCH_CONCURRENCY`` say."""
    service = WorkerService(broker_url(), settings=Settings(http_port=0))
    config = WorkerConfig(concurrency=int(os.environ["BENCH_CONCURRENCY"]))
    execution: Literal["thread", "process"] = "process" if os.environ["BENCH_IN"] == "processes" else "thread"
    service.register_processor(queue_name="work", processor=run, worker_config=config, execution=execution)
    return service


async def add(sleep_ms: int, count: int) -> None:
    """Add ``count`` jobs."""
    async with JobQueue("work", broker_url()) as queue:
        for first in range(0, count, 1000):
            data = {"sleep_ms": sleep_ms}
            await queue.add_bulk([{"name": "work", "data": data} for _ in range(min(1000, count - first))])


if __name__ == "__main__":
    asyncio.run(add(*map(int, sys.argv[1:])))
