"""Scenarios that a safeguard exists for: each returns what went wrong, nothing as long as the safeguard works."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from chaos.harness import ChaosHarness
from chaos.worker_options import QUEUE
from support.processors import eventually

Scenario = Callable[[ChaosHarness, str], Awaitable[list[str]]]
PATIENCE_S = 3.0
"""How long a scenario may take until everything has come to rest; more than twice what it needs."""
LOCK_OF_INNOCENTS_MS = 2000
"""A busy machine costs no lease of this length: a job that stalls for want of time looks like one more kill."""


async def longer_than_the_lock(harness: ChaosHarness, off: str) -> list[str]:
    """A job runs for longer than its lock, and another worker looks for stalled ones."""
    await harness.workers.start(off=off, config={"concurrency": 1})
    await harness.add({"s": 1.5})
    await harness.started()
    await harness.workers.start(off=off)
    return await harness.verdict(PATIENCE_S)


async def killed_while_it_works(harness: ChaosHarness, off: str) -> list[str]:
    """A worker is killed with a job in hand; another one is there."""
    await harness.add({"do": "hang once"})
    victim = await harness.workers.start(off=off)
    await harness.started()
    await victim.kill()
    await harness.workers.start(off=off)
    return await harness.verdict(PATIENCE_S)


async def stopped_while_it_works(harness: ChaosHarness, off: str) -> list[str]:
    """A worker is stopped, with a job that does not end in time; another one takes over."""
    await harness.add({"s": 0.8})
    leaver = await harness.workers.start(off=off, settings={"shutdown_timeout": 0.1})
    await harness.started()
    await harness.workers.start(off=off)
    leaver.signal(signal.SIGTERM)
    problems = await harness.verdict(PATIENCE_S)
    return problems + [f"{run.id} was charged for a stop" for run in harness.run_log.runs() if run.stalled]


async def lock_taken_before_the_letter(harness: ChaosHarness, off: str) -> list[str]:
    """The lock is somebody else's by the time the job is to be buried."""
    await harness.add({"do": "lose the lock and die"})
    await harness.workers.start(off=off)
    return await harness.verdict(PATIENCE_S)


async def reply_to_a_fetch_lost(harness: ChaosHarness, off: str) -> list[str]:
    """The job is locked for a worker that never hears of it."""
    async with harness.behind_a_proxy() as proxy:
        await harness.workers.start(off=off, url=proxy.url)
        await harness.idle()
        proxy.swallow_reply_to = b"lockDuration"
        await harness.add({"s": 0})
        await eventually(lambda: proxy.swallowed)
        proxy.heal()
        problems = await harness.verdict(PATIENCE_S)
        return problems + [f"{run.id} had stalled" for run in harness.run_log.runs() if run.stalled]


async def job_ends_during_an_outage(harness: ChaosHarness, off: str) -> list[str]:
    """The line is cut for a moment, shorter than the lock, and meanwhile a job ends."""
    async with harness.behind_a_proxy() as proxy:
        await harness.workers.start(off=off, url=proxy.url, config={"lock_duration": 2000})
        await harness.add({"s": 0.3})
        await harness.started()
        proxy.refuse = True
        proxy.cut()
        await asyncio.sleep(0.6)
        proxy.heal()
        return await harness.verdict(PATIENCE_S + 2)


async def poison_among_innocents(harness: ChaosHarness, off: str) -> list[str]:
    """One job kills its process again and again while others are running."""
    innocents = await harness.add(*({"s": 0.4} for _ in range(4)))
    await harness.add({"do": "kill the process", "s": 0.1})
    innocents += await harness.add(*({"s": 0.4} for _ in range(4)))
    config = {"concurrency": 10, "max_stalled_count": 2, "lock_duration": LOCK_OF_INNOCENTS_MS}
    async with harness.workers.kept_at(1, off=off, config=config):
        problems = await harness.verdict(8 * PATIENCE_S)
    dead = (await harness.final_states()).dead
    return problems + [f"{job_id} died with the poison" for job_id in innocents if job_id in dead]


async def malformed_payload(harness: ChaosHarness, off: str) -> list[str]:
    """A payload that is no JSON, before good jobs."""
    await harness.workers.start(off=off)
    await harness.add_malformed()
    await harness.add({"s": 0}, {"s": 0})
    return await harness.verdict(PATIENCE_S)


async def failed_elsewhere(harness: ChaosHarness, off: str) -> list[str]:
    """Another worker moved a job to failed, as Node's does, and wrote no letter."""
    (job_id,) = await harness.add({"s": 0})
    key = f"bull:{QUEUE}:{job_id}"
    await harness.redis.lrem(f"bull:{QUEUE}:wait", 0, job_id)
    now = round(time.time() * 1000)
    await harness.redis.hset(key, mapping={"finishedOn": now, "failedReason": "elsewhere", "atm": 3})
    await harness.redis.zadd(f"bull:{QUEUE}:failed", {job_id: now})
    await harness.workers.start(off=off)
    return await harness.verdict(PATIENCE_S)


SCENARIOS: dict[str, Scenario] = {
    "lease renewal": longer_than_the_lock,
    "stalled check": killed_while_it_works,
    "hand-back": stopped_while_it_works,
    "guard of the letter": lock_taken_before_the_letter,
    "recovery of lost fetches": reply_to_a_fetch_lost,
    "insisting on a result": job_ends_during_an_outage,
    "quarantine": poison_among_innocents,
    "decoding": malformed_payload,
    "reconciliation": failed_elsewhere,
}
"""By the safeguard that keeps it right."""
