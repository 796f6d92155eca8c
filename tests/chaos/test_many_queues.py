"""Two hundred queues in one process: few connections, and a queue that fails slows no other one down."""

from __future__ import annotations

import time

import pytest

from auth_worker import JobQueue
from auth_worker.brokers.redis.doorbell import BLOCK_S
from chaos.final_states import read_final_states
from chaos.harness import ChaosHarness
from chaos.worker_options import DEAD, QUEUE
from support.processors import eventually

QUEUES = 200
CONNECTIONS = 3 + 64
"""Commands, doorbell and watch; and those that only show the worker in a queue's list, of which there are few."""
LATE_S = BLOCK_S / 2
"""After how long (s) a job may have been found in passing: its doorbell did not ring, or the machine was busy."""


@pytest.mark.timeout(120)
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
    late = [name for name in names[10::10] if await pickup_s(harness, name) > LATE_S]
    late_again = [name for name in late if await pickup_s(harness, name) > LATE_S]
    assert late_again == [], "the doorbell did not ring: the queue was looked at in passing"
    assert await harness.verdict() == []
    assert worker.code is None


async def pickup_s(harness: ChaosHarness, queue: str) -> float:
    """How long a job of ``queue`` takes from being added to being completed, in s."""
    async with JobQueue(queue, harness.jobs_url) as jobs:
        added = time.monotonic()
        job_id = await jobs.add("work", {})

        async def completed() -> bool:
            return job_id in (await read_final_states(harness.redis, queue, DEAD)).completed

        await eventually(completed, f"the job of {queue}", within=4 * BLOCK_S)
        return time.monotonic() - added
