"""Many jobs at a time: in small batches, told step by step, and stopped between two of them.

Redis does one thing at a time, so a batch is as large as it can be without keeping others waiting: it starts
small, and its size follows the time the last one took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

from auth_worker.admin.models import BulkStep, Change
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link

MOST, FIRST = 100, 20
TARGET_S = 0.003
"""How long (s) Redis may be busy with one batch."""
MOST_PROBLEMS = 20
Steps = AsyncGenerator[BulkStep, None]
"""A bulk operation under way; ``aclose`` stops it between two batches."""
Act = Callable[[Sequence[str]], Awaitable[Sequence[str | None]]]
"""Does something to each of these ids; answers None for each that is done, or why it is skipped."""


class Pace:
    """How many may go into the next batch. ``rate``: at most so many a second (None: as fast as it goes)."""

    def __init__(self, link: Link, rate: float | None = None) -> None:
        self._link = link
        self._rate = rate
        self._size = FIRST
        self._round_trip = 0.0
        self._began = 0.0
        self._due = 0.0

    async def next_size(self) -> int:
        """How many to do now; waits where the rate asks for it. Raises ``BrokerError``."""
        if not self._began:
            asked = time.monotonic()
            await self._link.execute("PING")
            self._round_trip = time.monotonic() - asked
            self._due = time.monotonic()
        if self._rate is not None:
            await asyncio.sleep(max(self._due - time.monotonic(), 0))
        self._began = time.monotonic()
        if self._rate is None:
            return self._size
        return max(1, min(self._size, round(self._rate / 10)))

    def took(self, count: int) -> None:
        """Say that the batch of ``count`` is done."""
        now = time.monotonic()
        busy = max(now - self._began - self._round_trip, 1e-6)
        self._size = min(max(round(count * TARGET_S / busy), 1), self._size * 2, MOST)
        if self._rate is not None:
            self._due = max(self._due, self._began) + count / self._rate


async def in_batches(link: Link, ids: Sequence[str], act: Act, rate: float | None = None) -> Steps:
    """Do ``act`` to ``ids`` batch by batch; the last step tells the whole.

    Raises ``BrokerError``.
    """
    pace = Pace(link, rate)
    done = skipped = position = 0
    problems: list[str] = []
    yield BulkStep(total=len(ids))
    while position < len(ids):
        batch = ids[position : position + await pace.next_size()]
        for job_id, problem in zip(batch, await act(batch), strict=True):
            if problem is None:
                done += 1
                continue
            skipped += 1
            if len(problems) < MOST_PROBLEMS:
                problems.append(f"{job_id}: {problem}")
        position += len(batch)
        pace.took(len(batch))
        yield BulkStep(done=done, skipped=skipped, total=len(ids), problems=list(problems))


def only_jobs(view: JobView, act: Act) -> Act:
    """``act``, but not on what is no job: the queue's own keys have names an id may be equal to.

    An id without anything goes on: it may stand in a list, and ``remove`` takes it from there.
    """

    async def guarded(ids: Sequence[str]) -> list[str | None]:
        kinds = await asyncio.gather(*(view.kind(job_id) for job_id in ids))
        ours = [job_id for job_id, kind in zip(ids, kinds, strict=True) if kind != "other"]
        answers = iter(await act(ours))
        return ["there is no such job" if kind == "other" else next(answers) for kind in kinds]

    return guarded


async def recorded(steps: Steps, record: Callable[[Change], None], action: str, queue: str, target: str) -> Steps:
    """``steps``; at their end, also one before its time, ``record`` is told how much was done."""
    done = 0
    result: Literal["done", "stopped", "failed"] = "failed"
    try:
        async with contextlib.aclosing(steps):
            async for step in steps:
                done = step.done
                yield step
        result = "done"
    except (GeneratorExit, asyncio.CancelledError):
        result = "stopped"
        raise
    finally:
        record(Change(action=action, queue=queue, target=target, count=done, result=result))


async def one_after_another(each: Sequence[Steps]) -> Steps:
    """Several bulk operations as one; the last step tells the whole. Raises as they do."""
    before = BulkStep()
    for steps in each:
        last = BulkStep()
        async with contextlib.aclosing(steps):
            async for last in steps:
                yield added(before, last)
        before = added(before, last)


def added(one: BulkStep, other: BulkStep) -> BulkStep:
    """What two bulk operations have done together."""
    return BulkStep(
        done=one.done + other.done,
        skipped=one.skipped + other.skipped,
        total=one.total + other.total,
        problems=[*one.problems, *other.problems][:MOST_PROBLEMS],
    )


async def finish(steps: AsyncIterator[BulkStep]) -> BulkStep:
    """Run a bulk operation to its end; returns the last step. Raises as it does."""
    last = BulkStep()
    async for step in steps:
        last = step
    return last
