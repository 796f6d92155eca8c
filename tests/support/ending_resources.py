"""A TaskQueue with a resource that fails while a job uses it, in a module that worker processes can import."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

from auth_worker.tasks import INJECTED, TaskQueue

queue = TaskQueue("ending", worker_config={"concurrency": 1})


@dataclass
class Feed:
    """Breaks when the job says so. ``ended`` is set once the resource has begun to close."""

    loop: asyncio.AbstractEventLoop
    breaks: asyncio.Event
    ended: threading.Event


@queue.resource
async def feed() -> AsyncIterator[Feed]:
    opened = Feed(asyncio.get_running_loop(), asyncio.Event(), threading.Event())

    async def read() -> None:
        await opened.breaks.wait()
        raise RuntimeError("the feed broke")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            yield opened
    finally:
        opened.loop.call_later(0.05, opened.ended.set)


@queue.task(execution="process")
def use(*, feed: Feed = INJECTED) -> int:
    feed.loop.call_soon_threadsafe(feed.breaks.set)
    feed.ended.wait(10)
    return os.getpid()
