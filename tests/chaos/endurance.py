"""Endurance: a great many jobs of every ending through one process, which may not need more for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from chaos.harness import ChaosHarness
from chaos.worker_options import QUEUE
from chaos.worker_pool import Vitals
from support.processors import eventually

WARM_UP = 5000
BATCH = 1000
MOST_WAITING = 3000
MIXED: tuple[dict[str, Any], ...] = (*({},) * 48, {"do": "fail", "times": 1}, {"do": "die"})
KEEP = {"remove_on_complete": {"count": 100}, "remove_on_fail": {"count": 100}, "concurrency": 50}
BLOCKS_A_JOB = 0.1
"""A leak of one object a job is ten times as much."""
GROWTH, SLACK = 0.10, 2 * 2**20
"""Of the resident memory, which also depends on how the allocator has cut it up; SLACK in bytes."""
FEW = 4
"""How many files, threads and tasks more or less are chance: a check of the queue that is just under way."""


@dataclass(frozen=True)
class Endurance:
    """What the process needed before so many jobs, and after."""

    jobs: int
    before: Vitals
    after: Vitals

    def __str__(self) -> str:
        return f"{self.jobs} jobs\nbefore: {self.before}\nafter:  {self.after}"

    @property
    def violations(self) -> list[str]:
        """What has grown."""
        before, after = self.before, self.after
        limits = {
            "memory": before.memory * (1 + GROWTH) + SLACK,
            "blocks": before.blocks + SLACK // 512 + BLOCKS_A_JOB * self.jobs,
            **{name: getattr(before, name) + FEW for name in ("files", "threads", "tasks")},
        }
        return [
            f"{name}: {getattr(before, name)} before, {getattr(after, name)} after {self.jobs} jobs"
            for name, limit in limits.items()
            if getattr(after, name) > limit
        ]


async def endure(harness: ChaosHarness, jobs: int, warm_up: int) -> Endurance:
    """Work ``warm_up`` jobs, then ``jobs`` more, never with many of them waiting."""
    settings = {"dead_letter_max_count": 100}
    worker = await harness.workers.start(unwritten=True, config=KEEP, settings=settings, log="/dev/null")
    await _feed(harness, warm_up)
    before = await worker.vitals()
    await _feed(harness, jobs)
    return Endurance(jobs, before, await worker.vitals())


async def _feed(harness: ChaosHarness, jobs: int) -> None:
    works = itertools.cycle(MIXED)

    async def few_wait() -> bool:
        return bool(await harness.redis.llen(f"bull:{QUEUE}:wait") <= MOST_WAITING)

    for done in range(0, jobs, BATCH):
        batch = itertools.islice(works, min(BATCH, jobs - done))
        await harness.jobs.add_bulk({"name": "work", "data": work, "opts": {"attempts": 2}} for work in batch)
        await eventually(few_wait, "the worker keeps up", within=30)
    await harness.drained()
