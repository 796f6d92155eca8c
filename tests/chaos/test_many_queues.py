"""Two hundred queues in one process: few connections, and a queue that fails slows no other one down."""

from __future__ import annotations

import time

from auth_worker import JobQueue
from auth_worker.brokers.redis.doorbell import BLOCK_S
from chaos.final_states import read_final_states
from chaos.harness import ChaosHarness
from chaos.worker_options import DEAD, QUEUE
from support.processors import eventually

QUEUES = 200
CONNECTIONS = 3 + 64
"""Commands, doorbell and watch; and those that only show the worker in a queue's list, of which there are few."""


async def test_many_queues_share_a_handful_of_connections_and_their_troubles_stay_apart(
    harness: ChaosHarness,
) -> None:
    names = [QUEUE, *(f"queue{number}" for number in range(1, QUEUES))]
    before = len(await harness.redis.client_list(_type="normal"))
    worker = await harness.workers.start(queues=names, settings={"reconcile_interval": 30})
    clients = await harness.redis.client_list(_type="normal")
    assert len(clients) - before <= CONNECTIONS
    await harness.add(*({"do": "die"} for _ in range(300)), *({"do": "fail", "times": 2} for _ in range(300)))
    await harness.redis.set("bull:queue107:wait", "of the wrong type")
    delays = [await pickup_s(harness, names[number]) for number in range(10, QUEUES, 10)]
    assert max(delays) < BLOCK_S - 0.5, "the doorbell did not ring: the queue was looked at in passing"
    assert await harness.verdict() == []
    assert worker.code is None


async def pickup_s(harness: ChaosHarness, queue: str) -> float:
    """How long a job of ``queue`` takes from being added to being completed, in s."""
    async with JobQueue(queue, harness.jobs_url) as jobs:
        added = time.monotonic()
        await jobs.add("work", {})

        async def completed() -> bool:
            return len((await read_final_states(harness.redis, queue, DEAD)).completed) == 1

        await eventually(completed, f"the job of {queue}", within=5)
        return time.monotonic() - added
