"""What tests of the engine need: a queue on a real server, processors on it, and a plain client of Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis

from auth_worker import JobQueue, QueueProcessorService, Settings
from auth_worker.events import EventBus
from auth_worker.job import Job

QUEUE = "work"
DEAD = "workDead"
FAST = {
    "concurrency": 4,
    "lock_duration": 2000,
    "stalled_interval": 200,
    "backoff": {"type": "fixed", "delay": 10},
}
"""A worker config for tests: leases and checks in fractions of a second."""


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], what: str = "the condition", within: float = 10.0
) -> Any:
    """Wait until ``condition`` (plain or async) is true and return its value; fail after ``within`` s.

    It is asked ever less often, as it may cost more than what is waited for.
    """
    deadline, pause = time.monotonic() + within, 0.01
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s (last: {value!r})")
        await asyncio.sleep(pause)
        pause = min(pause * 1.1, 0.05)


class Harness:
    """One queue on one server, with a producer, processors and a plain client to inspect Redis."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Any = Redis.from_url(url, socket_timeout=30)
        self.jobs = JobQueue(QUEUE, url)
        self.processors: list[QueueProcessorService] = []

    def settings(self, **values: Any) -> Settings:
        """Settings without an HTTP port, with quick reconciliation."""
        return Settings(**{"http_port": None, "reconcile_interval": 0.2, "log_level": "ERROR", **values})

    async def processor(
        self,
        consumer: Callable[[Job], Any],
        config: Mapping[str, Any] | None = None,
        *,
        start: bool = True,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> QueueProcessorService:
        """A processor of the queue with a dead-letter queue, started."""
        options.setdefault("dead_letter_queue_name", DEAD)
        processor = QueueProcessorService(
            queue_name=options.pop("queue_name", QUEUE),
            connection=self.url,
            processor=consumer,
            worker_config={**FAST, **(config or {})},
            settings=self.settings(**(settings or {})),
            **options,
        )
        self.processors.append(processor)
        if start:
            await processor.initialize()
        return processor

    async def counts(self, queue: str = QUEUE) -> dict[str, int]:
        """How many jobs are in each state."""
        found: dict[str, int] = {}
        for state in ("wait", "active", "paused"):
            found[state] = int(await self.redis.llen(f"bull:{queue}:{state}"))
        for state in ("delayed", "prioritized", "waiting-children", "completed", "failed"):
            found[state] = int(await self.redis.zcard(f"bull:{queue}:{state}"))
        return found

    async def settled(self, jobs: int, queue: str = QUEUE, within: float = 15.0) -> dict[str, int]:
        """Wait until ``jobs`` jobs are completed or failed and none is left over."""

        async def done() -> bool:
            counts = await self.counts(queue)
            return counts["completed"] + counts["failed"] >= jobs and sum(counts.values()) == jobs

        await eventually(done, f"{jobs} jobs settled", within)
        return await self.counts(queue)

    async def job(self, job_id: str, queue: str = QUEUE) -> dict[str, str]:
        """A job's hash."""
        raw = await self.redis.hgetall(f"bull:{queue}:{job_id}")
        return {key.decode(): value.decode(errors="replace") for key, value in raw.items()}

    async def dead_letters(self) -> list[dict[str, Any]]:
        """The data of every dead letter, oldest first."""
        ids = await self.redis.lrange(f"bull:{DEAD}:wait", 0, -1)
        texts = [await self.redis.hget(f"bull:{DEAD}:{letter.decode()}", "data") for letter in reversed(ids)]
        return [json.loads(text) for text in texts]

    async def events(self, queue: str = QUEUE) -> list[dict[str, str]]:
        """The event stream."""
        stream = await self.redis.xrange(f"bull:{queue}:events")
        return [{key.decode(): value.decode() for key, value in fields.items()} for _, fields in stream]

    async def close(self) -> None:
        """Stop the processors and close the clients."""
        for processor in self.processors:
            await processor.close(0)
        await self.jobs.close()
        await self.redis.aclose()


def collect(bus: EventBus, event_type: type) -> list[Any]:
    """The events of a type from now on."""
    seen: list[Any] = []
    bus.subscribe(event_type, seen.append)
    return seen
