"""Jobs that are cancelled at every moment of their lives, under workers that are killed."""

from __future__ import annotations

import asyncio
import random

from auth_worker import JobQueue
from auth_worker.flow import Flow, FlowProducer
from chaos.harness import ChaosHarness
from chaos.worker_options import QUEUE

JOBS = 60


async def test_a_cancelled_job_has_one_outcome_whatever_is_killed(harness: ChaosHarness) -> None:
    """Each job waits, runs, is delayed or lies with a dead worker when it is cancelled; nothing is lost."""
    moments = random.Random(16)
    for _ in range(2):
        await harness.workers.start(config={"concurrency": 5})
    ids = await harness.add(*({"s": 0.3} for _ in range(JOBS // 2)))
    ids += await harness.add(*({"s": 0.1} for _ in range(JOBS // 2)), delay=1500)

    async def cancel(job_id: str, after: float) -> None:
        await asyncio.sleep(after)
        await queue.cancel(job_id, "chaos")

    async with JobQueue(QUEUE, harness.jobs_url) as queue:
        cancelling = [asyncio.create_task(cancel(job_id, moments.uniform(0, 3))) for job_id in ids]
        for _ in range(2):
            await asyncio.sleep(0.7)
            await harness.workers.alive[0].kill()
            await harness.workers.start(config={"concurrency": 5})
        await asyncio.gather(*cancelling)
    await harness.drained()
    states = await harness.redis.zrange(f"bull:{QUEUE}:completed", 0, -1)
    failed = await harness.redis.zrange(f"bull:{QUEUE}:failed", 0, -1)
    ended = [job_id.decode() if isinstance(job_id, bytes) else job_id for job_id in (*states, *failed)]
    assert sorted(ended) == sorted(ids)
    assert failed
    for job_id in failed:
        name = job_id.decode() if isinstance(job_id, bytes) else job_id
        reason = await harness.redis.hget(f"bull:{QUEUE}:{name}", "failedReason")
        assert reason in (b"job was cancelled: chaos", "job was cancelled: chaos")


async def test_a_cancelled_flow_ends_as_a_whole_whatever_is_killed(harness: ChaosHarness) -> None:
    """The parent waits, runs or has ended when it is cancelled, and so does each child; none is left behind."""
    moments = random.Random(61)
    for _ in range(2):
        await harness.workers.start(config={"concurrency": 5})

    def child() -> Flow:
        return Flow("job", {"s": moments.uniform(0, 0.4)}, queue=QUEUE, delay=moments.choice((0, 1500)))

    trees = [Flow("job", {"s": 0.2}, queue=QUEUE, children=[child() for _ in range(3)]) for _ in range(20)]

    async def cancel(job_id: str, after: float) -> None:
        await asyncio.sleep(after)
        await queue.cancel(job_id, "chaos")

    async with JobQueue(QUEUE, harness.jobs_url) as queue, FlowProducer(harness.jobs_url) as flows:
        added = await flows.add_bulk(trees)
        cancelling = [asyncio.create_task(cancel(flow.job, moments.uniform(0, 3))) for flow in added]
        for _ in range(2):
            await asyncio.sleep(0.7)
            await harness.workers.alive[0].kill()
            await harness.workers.start(config={"concurrency": 5})
        await asyncio.gather(*cancelling)
        await harness.drained()
        ids = [job for flow in added for job in (flow.job, *(child.job for child in flow.children))]
        ended = [await queue.get(job_id) for job_id in ids]
    assert {job.state for job in ended if job is not None} == {"completed", "failed"}
    assert {job.failed_reason for job in ended if job is not None and job.state == "failed"} == {
        "job was cancelled: chaos"
    }
    counts = (
        await harness.redis.zcard(f"bull:{QUEUE}:completed"),
        await harness.redis.zcard(f"bull:{QUEUE}:failed"),
    )
    assert sum(counts) == len(ids)
