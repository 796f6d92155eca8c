"""The official Python client, set up as its README shows, with the timeout off that ends its blocking pops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import bullmq

from bench.adapters import child


class Official:
    """The official worker, or the official producer."""

    def __init__(self) -> None:
        self._workers: list[Any] = []
        self._queue: Any = None

    async def start(self, order: child.Order, consume: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """As the protocol says."""
        connection = {"host": "127.0.0.1", "port": order.port, "socket_timeout": None}
        if order.role == "producer":
            self._queue = bullmq.Queue(order.queues[0], {"connection": connection})
            return

        async def process(job: Any, token: str) -> None:
            await consume(job.data)

        options = {
            "connection": connection,
            "concurrency": order.concurrency,
            "lockDuration": child.LOCK_MS,
            "stalledInterval": child.STALLED_MS,
            "removeOnComplete": {"count": child.KEPT_COMPLETED},
            "removeOnFail": {"count": child.KEPT_FAILED},
        }
        self._workers = [bullmq.Worker(queue, process, options) for queue in order.queues]

    async def add(self, data: Mapping[str, Any]) -> None:
        """As the protocol says."""
        await self._queue.add("noop", data)

    async def add_bulk(self, data: list[Mapping[str, Any]]) -> None:
        """As the protocol says."""
        await self._queue.addBulk([{"name": "noop", "data": each} for each in data])

    async def stop(self) -> None:
        """As the protocol says."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
        if self._queue is not None:
            await self._queue.close()


if __name__ == "__main__":
    asyncio.run(child.serve(Official()))
