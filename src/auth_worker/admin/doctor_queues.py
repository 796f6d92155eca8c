"""The doctor's checks of queues: jobs without a worker, a lock or a dead letter that should have one."""

from __future__ import annotations

from collections.abc import Sequence

from auth_worker.admin.models import QueueList, QueueOverview
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.report import Finding

MOST = 1000
"""How many jobs of each state to check."""
ABANDONED_MS = 180_000
"""The time by which a stalled check would have found a job: a little more than twice its interval of 60 s."""
UNRECONCILED_MS = 120_000
"""How long after its failure a job without a dead letter counts as forgotten. Reconciliation runs more often."""
_NAMED = 5


async def queue_findings(broker: OperatorBroker, found: QueueList) -> list[Finding]:
    """Check these queues, and return one finding for each kind of fault. Raises ``BrokerError``."""
    findings = [
        Finding(level="ok", name="queues", detail=f"{len(found.queues)} found, with {_jobs(found.queues)} jobs")
    ]
    if not found.complete:
        findings.append(Finding(level="warn", name="queues", detail="there are too many keys to find all queues"))
    findings += _unattended(found.queues)
    findings += await _abandoned(broker, found.queues)
    findings += await _without_dead_letter(broker, found.queues)
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
                detail=f"no worker for {_named([f'{q.name} ({q.waiting} waiting)' for q in idle])}",
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


async def _abandoned(broker: OperatorBroker, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Find active jobs without a lock. Their worker is dead, and a stalled check will recover them."""
    now = now_ms()
    fresh: list[str] = []
    old: list[str] = []
    for queue in queues:
        if not queue.counts["active"]:
            continue
        for job_id, began in await broker.queue(queue.name).unlocked(MOST):
            (old if now - (began or 0) > ABANDONED_MS else fresh).append(f"{queue.name}:{job_id}")
    if old:
        remedy = "start a worker for the queue: its stalled check recovers them within two stalled_intervals"
        detail = f"{len(old)} jobs are active without a lock, and no worker recovers them: {_named(old)}"
        return [Finding(level="fail", name="locks", detail=detail, remedy=remedy)]
    if fresh:
        detail = f"{len(fresh)} jobs have lost their worker: {_named(fresh)}"
        return [Finding(level="warn", name="locks", detail=detail, remedy="wait for the next stalled check")]
    return [Finding(level="ok", name="locks", detail="every active job has its lock")]


async def _without_dead_letter(broker: OperatorBroker, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Find failed jobs without a dead letter in queues whose other jobs have one: nobody reconciles them."""
    missing, looked = [], 0
    for queue in queues:
        if not queue.counts["failed"]:
            continue
        marks = await broker.queue(queue.name).dead_letter_marks(MOST)
        if not queue.dead_letters and not any(mark for mark, _ in marks):
            continue
        looked += 1
        late = now_ms() - UNRECONCILED_MS
        count = sum(1 for mark, end in marks if mark is None and end is not None and end < late)
        if count:
            missing.append(f"{queue.name} ({count})")
    if missing:
        remedy = (
            "start a service with a dead-letter queue for it: it adds the dead letters within reconcile_interval"
        )
        detail = f"failed jobs without a dead letter: {_named(missing)}"
        return [Finding(level="fail", name="dead letters", detail=detail, remedy=remedy)]
    return [
        Finding(
            level="ok", name="dead letters", detail=f"no dead letter is missing; queues that have some: {looked}"
        )
    ]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
