"""Pauses, and workers of the same name: what concerns a queue holds for every process that works it."""

from __future__ import annotations

import asyncio
import time

from bullmq import Queue

from chaos.harness import ChaosHarness
from chaos.worker_options import QUEUE

SETTLED_S = 0.3
"""How long after a pause the jobs fetched before it may take to start, on a busy machine."""


async def test_paused_starts_nothing(harness: ChaosHarness) -> None:
    """Paused and resumed again and again by another process, under load on two workers."""
    queue = Queue(QUEUE, {"connection": harness.jobs_url})
    pauses: list[tuple[float, float]] = []
    async with harness.workers.kept_at(2):
        for _ in range(6):
            await harness.add(*({"s": 0.01} for _ in range(60)))
            await harness.started(len(harness.run_log.entries("started")) + 10)
            await queue.pause()
            since = time.monotonic() + SETTLED_S
            await asyncio.sleep(2 * SETTLED_S)
            pauses.append((since, time.monotonic()))
            await queue.resume()
        await queue.close()
        assert await harness.verdict() == []
    starts = [run.start for run in harness.run_log.runs()]
    assert not [start for start in starts for since, until in pauses if since < start < until]
    assert len(starts) == 360


async def test_two_services_of_one_name_do_not_get_in_each_others_way(harness: ChaosHarness) -> None:
    for _ in range(2):
        await harness.workers.start(settings={"name": "twin"}, config={"name": "twin"})
    clients = [client["name"] for client in await harness.redis.client_list()]
    assert len([name for name in clients if name.endswith(":w:twin")]) == 2
    await harness.add(*({"s": 0.05} for _ in range(40)), *({"do": "die"} for _ in range(40)))
    await harness.started(20)
    await harness.workers.alive[0].kill()
    assert await harness.verdict() == []
    assert len((await harness.final_states()).letters) == 40
