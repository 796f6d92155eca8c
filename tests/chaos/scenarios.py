"""Scenarios that a safeguard exists for: each returns what went wrong, nothing as long as the safeguard works."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from chaos.orders import QUEUE
from chaos.stage import Stage
from workers import eventually

Scenario = Callable[[Stage, str], Awaitable[list[str]]]
PATIENCE_S = 3.0
"""How long a scenario may take until everything has come to rest; more than twice what it needs."""


async def longer_than_the_lock(stage: Stage, off: str) -> list[str]:
    """A job runs for longer than its lock, and another worker looks for stalled ones."""
    await stage.crew.hire(off=off, config={"concurrency": 1})
    await stage.add({"s": 1.5})
    await stage.started()
    await stage.crew.hire(off=off)
    return await stage.verdict(PATIENCE_S)


async def killed_while_it_works(stage: Stage, off: str) -> list[str]:
    """A worker is killed with a job in hand; another one is there."""
    await stage.add({"do": "hang once"})
    victim = await stage.crew.hire(off=off)
    await stage.started()
    await victim.kill()
    await stage.crew.hire(off=off)
    return await stage.verdict(PATIENCE_S)


async def stopped_while_it_works(stage: Stage, off: str) -> list[str]:
    """A worker is stopped, with a job that does not end in time; another one takes over."""
    await stage.add({"s": 0.8})
    leaver = await stage.crew.hire(off=off, settings={"shutdown_timeout": 0.1})
    await stage.started()
    await stage.crew.hire(off=off)
    leaver.signal(signal.SIGTERM)
    problems = await stage.verdict(PATIENCE_S)
    return problems + [f"{run.id} was charged for a stop" for run in stage.ledger.runs() if run.stalled]


async def lock_taken_before_the_letter(stage: Stage, off: str) -> list[str]:
    """The lock is somebody else's by the time the job is to be buried."""
    await stage.add({"do": "lose the lock and die"})
    await stage.crew.hire(off=off)
    return await stage.verdict(PATIENCE_S)


async def reply_to_a_fetch_lost(stage: Stage, off: str) -> list[str]:
    """The job is locked for a worker that never hears of it."""
    async with stage.behind_a_proxy() as proxy:
        await stage.crew.hire(off=off, url=proxy.url)
        await stage.idle()
        proxy.swallow_reply_to = b"lockDuration"
        await stage.add({"s": 0})
        await eventually(lambda: proxy.swallowed)
        proxy.heal()
        problems = await stage.verdict(PATIENCE_S)
        return problems + [f"{run.id} had stalled" for run in stage.ledger.runs() if run.stalled]


async def job_ends_during_an_outage(stage: Stage, off: str) -> list[str]:
    """The line is cut for a moment, shorter than the lock, and meanwhile a job ends."""
    async with stage.behind_a_proxy() as proxy:
        await stage.crew.hire(off=off, url=proxy.url, config={"lock_duration": 2000})
        await stage.add({"s": 0.3})
        await stage.started()
        proxy.refuse = True
        proxy.cut()
        await asyncio.sleep(0.6)
        proxy.heal()
        return await stage.verdict(PATIENCE_S + 2)


async def poison_among_innocents(stage: Stage, off: str) -> list[str]:
    """One job kills its process again and again while others are running."""
    innocents = await stage.add(*({"s": 0.4} for _ in range(4)))
    await stage.add({"do": "kill the process", "s": 0.1})
    innocents += await stage.add(*({"s": 0.4} for _ in range(4)))
    async with stage.crew.kept_at(1, off=off, config={"concurrency": 10, "max_stalled_count": 2}):
        problems = await stage.verdict(4 * PATIENCE_S)
    dead = (await stage.census()).dead
    return problems + [f"{job_id} died with the poison" for job_id in innocents if job_id in dead]


async def malformed_payload(stage: Stage, off: str) -> list[str]:
    """A payload that is no JSON, before good jobs."""
    await stage.crew.hire(off=off)
    await stage.add_malformed()
    await stage.add({"s": 0}, {"s": 0})
    return await stage.verdict(PATIENCE_S)


async def failed_elsewhere(stage: Stage, off: str) -> list[str]:
    """Another worker moved a job to failed, as Node's does, and wrote no letter."""
    (job_id,) = await stage.add({"s": 0})
    key = f"bull:{QUEUE}:{job_id}"
    await stage.redis.lrem(f"bull:{QUEUE}:wait", 0, job_id)
    now = round(time.time() * 1000)
    await stage.redis.hset(key, mapping={"finishedOn": now, "failedReason": "elsewhere", "atm": 3})
    await stage.redis.zadd(f"bull:{QUEUE}:failed", {job_id: now})
    await stage.crew.hire(off=off)
    return await stage.verdict(PATIENCE_S)


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
