"""Queues in the states that an operator meets, made by real workers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Unpack

from auth_worker import Job, UnrecoverableError
from auth_worker.observability.logs.sink import sink_of
from auth_worker.queue import BulkJob, JobOptionsDict
from support.command_line import Terminal
from support.processors import Harness

SECRET = "hunter2hunter2"


class Typist(Terminal):
    """A terminal whose input a test types."""

    def type(self, text: str) -> None:
        """Type these keys."""
        os.write(self._ours, text.encode())


async def failing(job: Job) -> None:
    """Log a line, and fail for good."""
    await job.log(f"trying {job.name}")
    raise UnrecoverableError(f"{job.name} refused, password: {SECRET}")


def with_harness(url: str, story: Callable[[Harness], Awaitable[Any]]) -> Any:
    """Run ``story`` with a harness of its own on the server; writes what its workers logged when it ends."""

    async def play() -> Any:
        harness = Harness(url)
        try:
            return await story(harness)
        finally:
            await harness.close()

    played = asyncio.run(play())
    sink_of(sys.stderr).drain()
    return played


def die(url: str, count: int = 1, name: str = "mail", data: Mapping[str, Any] | None = None) -> list[str]:
    """Let ``count`` jobs fail for good, each with a dead letter, and return their ids."""

    async def story(harness: Harness) -> list[str]:
        before = sum((await harness.counts()).values())
        await harness.processor(failing)
        jobs: list[BulkJob] = [
            {"name": name, "data": {"n": n, **(data or {})}, "opts": {"attempts": 4}} for n in range(count)
        ]
        ids = await harness.jobs.add_bulk(jobs)
        await harness.settled(before + count)
        return list(ids)

    found: list[str] = with_harness(url, story)
    return found


def add(url: str, count: int = 1, name: str = "mail", **options: Unpack[JobOptionsDict]) -> list[str]:
    """Add ``count`` jobs that no worker processes."""

    async def story(harness: Harness) -> list[str]:
        ids = await harness.jobs.add_bulk(
            {"name": name, "data": {"user": {"id": n}, "secret": SECRET}, "opts": options} for n in range(count)
        )
        return list(ids)

    found: list[str] = with_harness(url, story)
    return found
