"""Runs bulk operations: in small batches, with a report after each, and stoppable between two of them.

Redis executes one command at a time, so a batch must not keep other clients waiting: it starts small, and its size
follows the time that the last one took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar

from auth_worker.admin.models import BulkStep, Change
from auth_worker.core.ports.operator import JobReader, OperatorBroker

T = TypeVar("T")
MOST, FIRST = 100, 20
"""The largest batch, and the first one."""
TARGET_S = 0.003
"""How long (s) one batch may keep the broker busy."""
MOST_PROBLEMS = 20
"""How many of the skipped ids a step names."""
Steps = AsyncGenerator[BulkStep, None]
"""A running bulk operation. ``aclose`` stops it between two batches."""
Act = Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[str | None]]]
"""Changes each of these ids. Returns for each the reason why it was skipped, or None if it was changed."""


class Pace:
    """Decides how many go into the next batch. ``rate``: at most so many a second (None: no limit)."""

    def __init__(self, broker: OperatorBroker, rate: float | None = None) -> None:
        self._broker = broker
        self._rate = rate
        self._size = FIRST
        self._round_trip = 0.0
        self._began = 0.0
        self._due = 0.0
        self._stopped = False

    async def next_size(self) -> int:
        """Return the size of the next batch, after the wait that the rate requires. Raises ``BrokerError``."""
        if self._stopped:
            raise asyncio.CancelledError
        if not self._began:
            asked = time.monotonic()
            await self._broker.ping()
            self._round_trip = time.monotonic() - asked
            self._due = time.monotonic()
        if self._rate is not None:
            await asyncio.sleep(max(self._due - time.monotonic(), 0))
        self._began = time.monotonic()
        if self._rate is None:
            return self._size
        return max(1, min(self._size, round(self._rate / 10)))

    async def whole(self, batch: Coroutine[Any, Any, T]) -> T:
        """Return the result of a batch. Whoever is cancelled meanwhile is stopped after it, so that it counts."""
        running = asyncio.ensure_future(batch)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._stopped = True
            return await running

    def finished(self, count: int) -> None:
        """Record that a batch of ``count`` is done."""
        now = time.monotonic()
        busy = max(now - self._began - self._round_trip, 1e-6)
        self._size = min(max(round(count * TARGET_S / busy), 1), self._size * 2, MOST)
        if self._rate is not None:
            self._due = max(self._due, self._began) + count / self._rate


async def in_batches(broker: OperatorBroker, ids: Sequence[str], act: Act, rate: float | None = None) -> Steps:
    """Apply ``act`` to ``ids``, batch by batch. The last step has the totals. Raises ``BrokerError``."""
    pace = Pace(broker, rate)
    done = skipped = position = 0
    problems: list[str] = []
    yield BulkStep(total=len(ids))
    while position < len(ids):
        batch = ids[position : position + await pace.next_size()]
        for job_id, problem in zip(batch, await pace.whole(act(batch)), strict=True):
            if problem is None:
                done += 1
                continue
            skipped += 1
            if len(problems) < MOST_PROBLEMS:
                problems.append(f"{job_id}: {problem}")
        position += len(batch)
        pace.finished(len(batch))
        yield BulkStep(done=done, skipped=skipped, total=len(ids), problems=list(problems))


def only_jobs(jobs: JobReader, act: Act) -> Act:
    """Restrict ``act`` to jobs, since an id may be equal to the name of one of the queue's own keys.

    An id without a job is passed on: it may still be in a list, from which ``remove`` takes it.
    """

    async def guarded(ids: Sequence[str]) -> list[str | None]:
        kinds = await asyncio.gather(*(jobs.kind(job_id) for job_id in ids))
        ours = [job_id for job_id, kind in zip(ids, kinds, strict=True) if kind != "other"]
        answers = iter(await act(ours))
        return ["there is no such job" if kind == "other" else next(answers) for kind in kinds]

    return guarded


async def recorded(steps: Steps, record: Callable[[Change], None], action: str, queue: str, target: str) -> Steps:
    """Yield ``steps``. When they end, even early, pass the change and its count to ``record``."""
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
    """Run several bulk operations as one. The last step has the totals. Raises what they raise."""
    before = BulkStep()
    for steps in each:
        last = BulkStep()
        async with contextlib.aclosing(steps):
            async for last in steps:
                yield added(before, last)
        before = added(before, last)


async def only_total(total: int) -> Steps:
    """Yield one step that changes nothing and says how many would be changed."""
    yield BulkStep(total=total)


def added(one: BulkStep, other: BulkStep) -> BulkStep:
    """Return the sum of two steps."""
    return BulkStep(
        done=one.done + other.done,
        skipped=one.skipped + other.skipped,
        total=one.total + other.total,
        problems=[*one.problems, *other.problems][:MOST_PROBLEMS],
    )


async def finish(steps: AsyncIterator[BulkStep]) -> BulkStep:
    """Run a bulk operation to its end and return the last step. Raises what it raises."""
    last = BulkStep()
    async for step in steps:
        last = step
    return last
