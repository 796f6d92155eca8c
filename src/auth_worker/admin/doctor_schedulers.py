"""The doctor's checks of job schedulers: those that cannot be read, and those without a next iteration."""

from __future__ import annotations

from collections.abc import Sequence

from auth_worker.admin.batches import read_each
from auth_worker.admin.doctor_queues import listed
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.repetition import REMEDY
from auth_worker.core.report import Finding

UNREVIVED_MS = 120_000
"""A running worker revives a scheduler that has stopped within its reconcile_interval, which is shorter."""
MOST, FEW = 1000, 10
"""How many schedulers to check in all, and how many of each queue at least."""


async def scheduler_findings(broker: OperatorBroker, queues: Sequence[str]) -> list[Finding]:
    """Check the job schedulers of these queues. Raises ``BrokerError``."""
    count = 0
    unreadable: list[str] = []
    stopped: list[str] = []
    late = now_ms() - UNREVIVED_MS
    readings = await read_each(queues, lambda queue: broker.queue(queue).schedulers(FEW, late))
    for queue, reading in zip(queues, readings, strict=True):
        found = reading
        if found.seen > FEW and count + FEW < MOST:
            found = await broker.queue(queue).schedulers(MOST - count, late)
        count += found.seen
        unreadable += [f"{queue}: {name!r}: {fault}" for name, fault in found.unreadable.items()]
        stopped += [f"{queue}: {name!r}" for name in found.stopped]
    findings = []
    if unreadable:
        detail = f"{len(unreadable)} cannot be read: {listed(unreadable, '; ')}"
        findings.append(Finding.fail("schedulers", detail, REMEDY))
    if stopped:
        detail = f"{len(stopped)} have no next iteration: {listed(stopped, '; ')}"
        remedy = "start a worker for the queue: it revives them within reconcile_interval"
        findings.append(Finding.fail("schedulers", detail, remedy))
    if not findings:
        detail = f"{min(count, MOST)} found, each with its next iteration" if count else "none found"
        findings.append(Finding.ok("schedulers", detail))
    return findings
