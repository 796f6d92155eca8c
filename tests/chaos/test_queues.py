"""Pauses, and workers of the same name: what concerns a queue holds for every process that works it."""

from __future__ import annotations

import asyncio
import time

from bullmq import Queue

from chaos.orders import QUEUE
from chaos.stage import Stage

SETTLED_S = 0.3
"""How long after a pause the jobs fetched before it may take to start, on a busy machine."""


async def test_paused_starts_nothing(stage: Stage) -> None:
    """Paused and resumed again and again by another process, under load on two workers."""
    queue = Queue(QUEUE, {"connection": stage.jobs_url})
    pauses: list[tuple[float, float]] = []
    async with stage.crew.kept_at(2):
        for _ in range(6):
            await stage.add(*({"s": 0.01} for _ in range(60)))
            await stage.started(len(stage.ledger.entries("started")) + 10)
            await queue.pause()
            since = time.monotonic() + SETTLED_S
            await asyncio.sleep(2 * SETTLED_S)
            pauses.append((since, time.monotonic()))
            await queue.resume()
        await queue.close()
        assert await stage.verdict() == []
    starts = [run.start for run in stage.ledger.runs()]
    assert not [start for start in starts for since, until in pauses if since < start < until]
    assert len(starts) == 360


async def test_two_services_of_one_name_do_not_get_in_each_others_way(stage: Stage) -> None:
    for _ in range(2):
        await stage.crew.hire(settings={"name": "twin"}, config={"name": "twin"})
    clients = [client["name"] for client in await stage.redis.client_list()]
    assert len([name for name in clients if name.endswith(":w:twin")]) == 2
    await stage.add(*({"s": 0.05} for _ in range(40)), *({"do": "die"} for _ in range(40)))
    await stage.started(20)
    await stage.crew.alive[0].kill()
    assert await stage.verdict() == []
    assert len((await stage.census()).letters) == 40
