"""What the doctor finds in job schedulers: those that cannot be read, and those without a next iteration."""

from __future__ import annotations

import time
from collections.abc import Sequence

from auth_worker.admin.models import Finding
from auth_worker.broker.link import Link
from auth_worker.broker.schedulers import REMEDY, Schedulers

UNREVIVED_MS = 120_000
"""A living worker lets a scheduler that has stopped go on within reconcile_interval."""
MOST = 1000
"""How many schedulers to look at."""
_NAMED = 5


async def scheduler_findings(link: Link, prefix: str, queues: Sequence[str]) -> list[Finding]:
    """What is wrong with the job schedulers of these queues. Raises ``BrokerError``."""
    count, unreadable, stopped = 0, [], []
    for queue in queues:
        schedulers = Schedulers(link, prefix, queue)
        sound = set()
        async for found in schedulers.stored():
            count += 1
            if count > MOST:
                break
            try:
                found.check()
            except ValueError as error:
                unreadable.append(f"{queue}: {found.scheduler_id!r}: {error}")
            else:
                sound.add(found.scheduler_id)
        late = time.time() * 1000 - UNREVIVED_MS
        stopped += [
            f"{queue}: {found.scheduler_id!r}"
            async for found, _ in schedulers.stopped()
            if found.scheduler_id in sound and found.due < late and not found.ended()
        ]
    findings = []
    if unreadable:
        detail = f"{len(unreadable)} cannot be read: {_listed(unreadable)}"
        findings.append(Finding(level="fail", name="schedulers", detail=detail, remedy=REMEDY))
    if stopped:
        detail = f"{len(stopped)} have no next iteration: {_listed(stopped)}"
        remedy = "start a worker for the queue: it lets them go on within reconcile_interval"
        findings.append(Finding(level="fail", name="schedulers", detail=detail, remedy=remedy))
    if not findings:
        detail = f"{min(count, MOST)} seen, each with its next iteration"
        findings.append(Finding(level="ok", name="schedulers", detail=detail))
    return findings


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
