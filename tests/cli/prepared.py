"""Queues in the states that an operator meets, made by real workers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker import Job, UnrecoverableError
from auth_worker.logs.sink import sink_of
from cli.commands import Terminal
from workers import Desk

SECRET = "hunter2hunter2"


class Typist(Terminal):
    """A terminal with somebody at the keys."""

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._ours, text.encode())


async def failing(job: Job) -> None:
    """Log a line, and die."""
    await job.log(f"trying {job.name}")
    raise UnrecoverableError(f"{job.name} refused, password: {SECRET}")


def on_desk(url: str, story: Callable[[Desk], Awaitable[Any]]) -> Any:
    """Play ``story`` at a desk of its own on the server; what its workers logged is written when it ends."""

    async def play() -> Any:
        desk = Desk(url)
        try:
            return await story(desk)
        finally:
            await desk.close()

    played = asyncio.run(play())
    sink_of(sys.stderr).drain()
    return played


def die(url: str, count: int = 1, name: str = "mail", data: Mapping[str, Any] | None = None) -> list[str]:
    """Let ``count`` jobs die, with a letter each; returns their ids."""

    async def story(desk: Desk) -> list[str]:
        before = sum((await desk.counts()).values())
        await desk.processor(failing)
        jobs = [{"name": name, "data": {"n": n, **(data or {})}, "opts": {"attempts": 4}} for n in range(count)]
        ids = await desk.jobs.add_bulk(jobs)
        await desk.settled(before + count)
        return ids

    found: list[str] = on_desk(url, story)
    return found


def add(url: str, count: int = 1, name: str = "mail", **options: Any) -> list[str]:
    """Put ``count`` jobs on the queue, which nobody works on."""

    async def story(desk: Desk) -> list[str]:
        return await desk.jobs.add_bulk(
            {"name": name, "data": {"user": {"id": n}, "secret": SECRET}, "opts": options} for n in range(count)
        )

    found: list[str] = on_desk(url, story)
    return found
