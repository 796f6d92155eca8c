"""The doctor's checks of job schedulers: those that cannot be read, and those without a next iteration."""

from __future__ import annotations

from collections.abc import Sequence

from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.repetition import REMEDY
from auth_worker.core.report import Finding

UNREVIVED_MS = 120_000
"""A running worker revives a scheduler that has stopped within its reconcile_interval, which is shorter."""
MOST = 1000
"""How many schedulers to check."""
_NAMED = 5


async def scheduler_findings(broker: OperatorBroker, queues: Sequence[str]) -> list[Finding]:
    """Check the job schedulers of these queues. Raises ``BrokerError``."""
    count = 0
    unreadable: list[str] = []
    stopped: list[str] = []
    for queue in queues:
        late = now_ms() - UNREVIVED_MS
        found = await broker.queue(queue).schedulers(max(MOST - count, 0), late)
        count += found.seen
        unreadable += [f"{queue}: {name!r}: {fault}" for name, fault in found.unreadable.items()]
        stopped += [f"{queue}: {name!r}" for name in found.stopped]
    findings = []
    if unreadable:
        detail = f"{len(unreadable)} cannot be read: {_listed(unreadable)}"
        findings.append(Finding(level="fail", name="schedulers", detail=detail, remedy=REMEDY))
    if stopped:
        detail = f"{len(stopped)} have no next iteration: {_listed(stopped)}"
        remedy = "start a worker for the queue: it revives them within reconcile_interval"
        findings.append(Finding(level="fail", name="schedulers", detail=detail, remedy=remedy))
    if not findings:
        detail = f"{min(count, MOST)} seen, each with its next iteration"
        findings.append(Finding(level="ok", name="schedulers", detail=detail))
    return findings


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
