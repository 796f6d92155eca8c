"""The job for this service, with its defaults."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Literal

from auth_worker import Job, WorkerService
from auth_worker.config import Settings, WorkerConfig
from auth_worker.queue import JobQueue
from bench.rivals.jobs import broker_url, work

CONCURRENCY = 10
"""That of each service."""


def run(job: Job) -> None:
    """The consumer of processes and threads."""
    work(job.data["job_ms"])


async def compute(job: Job) -> None:
    """The consumer of services: it keeps a core busy."""
    work(0)
    end_s = time.thread_time() + job.data["job_ms"] / 1000
    while time.thread_time() < end_s:
        pass


def make_service() -> WorkerService:
    """A service as ``BENCH_MODE`` and ``BENCH_PARALLEL`` say."""
    service = WorkerService(broker_url(), settings=Settings(http_port=0))
    match os.environ["BENCH_MODE"]:
        case "processes":
            register(service, run, int(os.environ["BENCH_PARALLEL"]), "process")
        case "threads":
            register(service, run, int(os.environ["BENCH_PARALLEL"]), "thread")
        case _:
            register(service, compute, CONCURRENCY, "auto")
    return service


def register(
    service: WorkerService,
    consumer: Callable[[Job], object],
    concurrency: int,
    execution: Literal["auto", "thread", "process"],
) -> None:
    """Have the service work the queue."""
    config = WorkerConfig(concurrency=concurrency)
    service.register_processor(queue_name="work", processor=consumer, worker_config=config, execution=execution)


async def add(job_ms: int, count: int) -> None:
    """Add ``count`` jobs."""
    async with JobQueue("work", broker_url()) as queue:
        for first in range(0, count, 1000):
            data = {"job_ms": job_ms}
            await queue.add_bulk([{"name": "work", "data": data} for _ in range(min(1000, count - first))])


if __name__ == "__main__":
    asyncio.run(add(*map(int, sys.argv[1:])))
