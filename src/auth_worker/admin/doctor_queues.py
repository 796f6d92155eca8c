"""What the doctor finds in queues: jobs nobody works on, active ones nobody holds, failed ones without letter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from auth_worker.admin.models import Finding, QueueList, QueueOverview
from auth_worker.broker.link import Link
from auth_worker.broker.queue_view import QueueView
from auth_worker.coercion import stored_number
from auth_worker.dead_letter import MARK

MOST = 1000
"""How many jobs of a state to look at."""
ABANDONED_MS = 180_000
"""A stalled check would have found a job by then: twice the interval of 60 s, and some."""
UNRECONCILED_MS = 120_000
_NAMED = 5


async def queue_findings(link: Link, prefix: str, found: QueueList) -> list[Finding]:
    """What is wrong in these queues; one line for each kind. Raises ``BrokerError``."""
    findings = [
        Finding(level="ok", name="queues", detail=f"{len(found.queues)} found, with {_jobs(found.queues)} jobs")
    ]
    if not found.complete:
        findings.append(Finding(level="warn", name="queues", detail="too many keys to find all queues"))
    findings += _unattended(found.queues)
    findings += await _abandoned(link, prefix, found.queues)
    findings += await _unburied(link, prefix, found.queues)
    return findings


def _jobs(queues: Sequence[QueueOverview]) -> int:
    return sum(sum(queue.counts.values()) for queue in queues)


def _unattended(queues: Sequence[QueueOverview]) -> list[Finding]:
    findings = []
    idle = [q for q in queues if q.workers == 0 and q.waiting and not q.dead_letters_of and not q.paused]
    if idle:
        findings.append(
            Finding(
                level="warn",
                name="workers",
                detail=f"nobody works on {_named([f'{q.name} ({q.waiting} waiting)' for q in idle])}",
                remedy="start a worker for it: auth-worker run APP",
            )
        )
    paused = [q for q in queues if q.paused and q.waiting]
    if paused:
        findings.append(
            Finding(
                level="warn",
                name="paused",
                detail=_named([f"{q.name} ({q.waiting} waiting)" for q in paused]),
                remedy=f"auth-worker resume {paused[0].name}",
            )
        )
    return findings


async def _abandoned(link: Link, prefix: str, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Active jobs without a lock: their worker is dead, and the next stalled check of a living one takes them."""
    now = time.time() * 1000
    fresh: list[str] = []
    old: list[str] = []
    for queue in queues:
        if not queue.counts["active"]:
            continue
        key = f"{prefix}:{queue.name}:".encode()
        ids = await QueueView(link, prefix, queue.name).ids("active", 0, MOST)
        if not ids:
            continue
        locks = await link.execute("MGET", *(key + job_id + b":lock" for job_id in ids))
        free = [job_id for job_id, lock in zip(ids, locks, strict=True) if lock is None]
        began = await asyncio.gather(*(link.execute("HGET", key + job_id, "processedOn") for job_id in free))
        for job_id, at in zip(free, began, strict=True):
            name = f"{queue.name}:{job_id.decode(errors='replace')}"
            (old if now - (stored_number(at) or 0) > ABANDONED_MS else fresh).append(name)
    if old:
        remedy = (
            "start a worker for the queue: its stalled check puts them back to wait within two stalled_intervals"
        )
        detail = f"{len(old)} jobs are active without a lock, and nobody takes them over: {_named(old)}"
        return [Finding(level="fail", name="locks", detail=detail, remedy=remedy)]
    if fresh:
        detail = f"{len(fresh)} jobs have lost their worker: {_named(fresh)}"
        return [Finding(level="warn", name="locks", detail=detail, remedy="wait for the next stalled check")]
    return [Finding(level="ok", name="locks", detail="every active job has its lock")]


async def _unburied(link: Link, prefix: str, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Failed jobs without their letter, where others of the queue have one: nobody reconciles."""
    missing, looked = [], 0
    for queue in queues:
        if not queue.counts["failed"]:
            continue
        key = f"{prefix}:{queue.name}:".encode()
        ids = await QueueView(link, prefix, queue.name).ids("failed", 0, MOST)
        marks = await asyncio.gather(*(link.execute("HMGET", key + job_id, MARK, "finishedOn") for job_id in ids))
        if not queue.dead_letters and not any(mark for mark, _ in marks):
            continue
        looked += 1
        late = time.time() * 1000 - UNRECONCILED_MS
        ends = [stored_number(finished) for mark, finished in marks if mark is None]
        count = sum(1 for end in ends if end is not None and end < late)
        if count:
            missing.append(f"{queue.name} ({count})")
    if missing:
        remedy = "start a service with a dead-letter queue for it: it writes the letters within reconcile_interval"
        detail = f"failed jobs without a dead letter: {_named(missing)}"
        return [Finding(level="fail", name="dead letters", detail=detail, remedy=remedy)]
    return [Finding(level="ok", name="dead letters", detail=f"none is missing; queues that have some: {looked}")]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
