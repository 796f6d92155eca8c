"""Programs in which a process with a connected producer forks: ``forked_producers.py SCENARIO LOOP URL``.

Each prints, as JSON, the ids that were added.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from auth_worker.config import Settings
from auth_worker.errors import JobCancelledError
from auth_worker.queue import JobQueue
from support.forking import Child, run

LOOP = sys.argv[2]


async def add(queue: JobQueue, number: int = 10) -> list[str]:
    return [await queue.add("send", each) for each in range(number)]


def add_in_child(queue: JobQueue) -> list[str]:
    return run(add(queue), LOOP) + run(add(queue), LOOP)


def in_a_running_loop(queue: JobQueue) -> list[str]:
    """Children by os.fork, one of which closes the queue, and one unwinds its parent's loop."""

    async def main() -> list[str]:
        ids = await add(queue)
        children = [
            Child(lambda: add_in_child(queue)),
            Child(lambda: run(close_and_add(queue), LOOP)),
            Child(lambda: add_in_child(queue), leave=sys.exit),
        ]
        ids += await add(queue)
        for child in children:
            ids += child.result()
        return ids + await asyncio.wait_for(add(queue), 5)

    return run(main(), LOOP)


async def close_and_add(queue: JobQueue) -> list[str]:
    await queue.close()
    async with queue:
        return await add(queue)


def by_multiprocessing(queue: JobQueue) -> list[str]:
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()

    async def main() -> list[str]:
        ids = await add(queue)
        children = [
            context.Process(target=lambda: results.put(add_in_child(queue)), daemon=True) for _ in range(3)
        ]
        for child in children:
            child.start()
        ids += await add(queue, 100)
        for child in children:
            await asyncio.to_thread(child.join, 20)
            assert child.exitcode == 0
            ids += results.get()
        return ids + await asyncio.wait_for(add(queue), 5)

    return run(main(), LOOP)


def between_two_loops(queue: JobQueue) -> list[str]:
    ids = run(add(queue), LOOP)
    children = [Child(lambda: add_in_child(queue), leave=sys.exit) for _ in range(2)]
    ids += run(add(queue), LOOP)
    return ids + [job_id for child in children for job_id in child.result()]


def while_a_thread_adds(queue: JobQueue) -> list[str]:
    """The thread's loop is adding a job at each fork."""
    added: list[str] = []
    stop = threading.Event()

    async def keep_adding() -> None:
        while not stop.is_set():
            added.extend(await asyncio.gather(*(queue.add("send", each, attempts=each) for each in range(20))))

    thread = threading.Thread(target=lambda: run(keep_adding(), LOOP))
    thread.start()
    ids: list[str] = []
    for _ in range(15):
        ids += Child(lambda: run(add(queue, 3), LOOP)).result()
    stop.set()
    thread.join(10)
    return ids + added


async def await_cancellation(queue: JobQueue, between: Callable[[], list[str]]) -> list[str]:
    """Await the end of a job, which it cancels after ``between``."""
    job_id = await queue.add("send", 0)
    waiting = asyncio.create_task(queue.result(job_id, 20))
    with contextlib.suppress(TimeoutError):
        await queue.result(job_id, 0.1)  # when this is over the reader of the events is connected
    ids = between()
    await queue.cancel(job_id)
    with contextlib.suppress(JobCancelledError):
        await waiting
    return ids + await add(queue)


def while_a_result_is_awaited(queue: JobQueue) -> list[str]:
    def child() -> list[str]:
        return run(await_cancellation(queue, list), LOOP)

    return run(await_cancellation(queue, lambda: Child(child).result()), LOOP)


def grandchildren(queue: JobQueue) -> list[str]:
    async def child() -> list[str]:
        await queue.add("send", 0, job_id="first")
        inner: list[str] = Child(lambda: add_in_child(queue)).result()
        return ["first"] + await add(queue) + inner + await add(queue)

    async def main() -> list[str]:
        ids = await add(queue)
        inner: list[str] = Child(lambda: run(child(), LOOP)).result()
        return ids + inner + await add(queue)

    return run(main(), LOOP)


def with_every_lock_held(queue: JobQueue) -> list[str]:
    """Another thread holds the locks of the queue for as long as the child lives."""
    embedded = JobQueue("work", settings=Settings(state_dir=Path(sys.argv[4]), http_port=None))
    ids = run(add(queue), LOOP)
    source = embedded._broker._links._source  # type: ignore[attr-defined]
    locks = [source._mutex, source._embedded._mutex]
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    ids += Child(lambda: [run(add(queue), LOOP), run(close_and_add(embedded), LOOP)][0]).result()
    leave.set()
    return ids


if __name__ == "__main__":
    scenario: Callable[[JobQueue], list[str]] = globals()[sys.argv[1]]
    print(json.dumps(scenario(JobQueue("work", sys.argv[3]))))
