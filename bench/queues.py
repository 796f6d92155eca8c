"""The queues of a scenario, as the benchmark fills and counts them: the same way for every contender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import bullmq
from redis.asyncio import Redis

from bench.adapters.child import payload
from bench.process import ContenderError
from bench.server import Server

FILL_IN_BULK = 1000
FILL_KILOBYTES = 4096
UNFINISHED = ("wait", "active", "paused", "delayed", "prioritized")
LISTS = ("wait", "active", "paused")
POLL_S = 0.001
CALM_S = 60.0


class Queues:
    """So many queues on ``server``, through the official client on one connection; a context manager.

    The data of their jobs has ``kilobytes`` more than that of a mail.
    """

    def __init__(self, server: Server, count: int, kilobytes: int = 0) -> None:
        self._server = server
        self._kilobytes = kilobytes
        self.names = [f"bench{number or ''}" for number in range(count)]

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._client = Redis(
            port=self._server.port, decode_responses=True, single_connection_client=True, socket_timeout=None
        )
        self._runner.run(self._connect())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    async def _connect(self) -> None:
        await self._client.ping()
        options: Any = {"connection": self._client}
        self._queues: list[Any] = [bullmq.Queue(name, options) for name in self.names]

    def fill(self, count: int) -> None:
        """Add so many jobs, spread evenly."""
        every = len(self.names)
        bulk = min(FILL_IN_BULK, FILL_KILOBYTES // max(self._kilobytes, 1))

        async def fill(queue: Any) -> None:
            share = range(self._queues.index(queue), count, every)
            for start in range(0, len(share), bulk):
                data = [payload(index, self._kilobytes) for index in share[start : start + bulk]]
                await queue.addBulk([{"name": "noop", "data": each} for each in data])

        self._each(fill)

    def pause(self) -> None:
        """Have no worker take jobs any more, and wait until none is running."""
        self._each(lambda queue: queue.pause())
        deadline = time.monotonic() + CALM_S
        while any(self._count("active")):
            if time.monotonic() > deadline:
                raise ContenderError("jobs stayed active on a paused queue")
            time.sleep(POLL_S)

    def resume(self) -> None:
        """Let workers take jobs again."""
        self._each(lambda queue: queue.resume())

    def wait_until_drained(self, timeout: float) -> None:
        """Wait until no job waits or runs. Raises ``ContenderError`` after ``timeout`` s."""
        deadline = time.monotonic() + timeout
        while unfinished := self.unfinished():
            if time.monotonic() > deadline:
                raise ContenderError(f"{unfinished} jobs were not finished within {timeout:g} s")
            time.sleep(POLL_S)

    def unfinished(self) -> int:
        """How many jobs wait or run."""
        return sum(sum(self._count(state)) for state in UNFINISHED)

    def completed(self) -> list[int]:
        """How many completed jobs each queue keeps."""
        return self._count("completed")

    def failed(self) -> int:
        """How many jobs failed."""
        return sum(self._count("failed"))

    def _count(self, state: str) -> list[int]:
        pipeline = self._server.client.pipeline(transaction=False)
        count = pipeline.llen if state in LISTS else pipeline.zcard
        for name in self.names:
            count(f"bull:{name}:{state}")
        return [int(number) for number in pipeline.execute()]

    def _each(self, act: Callable[[Any], Awaitable[Any]]) -> None:
        """Do something with every queue."""

        async def run() -> None:
            for queue in self._queues:
                await act(queue)

        self._runner.run(run())
