"""The doctor's checks of queues: jobs without a worker, a lock or a dead letter that should have one."""

from __future__ import annotations

from collections.abc import Sequence

from auth_worker.admin.batches import read_each
from auth_worker.admin.models import QueueList, QueueOverview
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker, QueueReader
from auth_worker.core.ports.values import WAITING
from auth_worker.core.report import Finding

MOST = 1000
"""How many jobs of a queue to check for their lock."""
MOST_FAILED, FEWEST_FAILED = 3000, 3
"""How many failed jobs to check for their dead letter: of all queues together, and of each at least."""
ABANDONED_MS = 180_000
"""The time by which a stalled check would have found a job: a little more than twice its interval of 60 s."""
UNRECONCILED_MS = 120_000
"""How long after its failure a job without a dead letter counts as forgotten. Reconciliation runs more often."""
MOST_NAMED = 5
"""How many queues or jobs a finding names."""


async def queue_findings(broker: OperatorBroker, found: QueueList) -> list[Finding]:
    """Check these queues, and return one finding for each kind of fault. Raises ``BrokerError``."""
    jobs = sum(sum(queue.counts.values()) for queue in found.queues)
    findings = [Finding.ok("queues", f"{len(found.queues)} found, with {jobs} jobs")]
    if not found.complete:
        findings.append(
            Finding.warn(
                "queues", "some may be missing: there are too many keys to find all in time, or a node is away"
            )
        )
    findings += _unattended(found.queues)
    findings += await _unworked(broker)
    findings += await _abandoned(broker, found.queues)
    findings += await _without_dead_letter(broker, found.queues)
    return findings


def _unattended(queues: Sequence[QueueOverview]) -> list[Finding]:
    findings = []
    idle = [q for q in queues if q.workers == 0 and q.waiting and not q.dead_letters_of and not q.paused]
    if idle:
        detail = f"no worker for {listed([f'{q.name} ({q.waiting} waiting)' for q in idle])}"
        findings.append(Finding.warn("workers", detail, "start a worker for it: auth-worker run APP"))
    paused = [q for q in queues if q.paused and q.waiting]
    if paused:
        detail = listed([f"{q.name} ({q.waiting} waiting)" for q in paused])
        findings.append(Finding.warn("paused", detail, f"auth-worker resume {paused[0].name}"))
    return findings


def _named(part: QueueReader) -> str:
    return part.queue if part.queue.startswith("{") else f"{part.queue} without partitions"


async def _unworked(broker: OperatorBroker) -> list[Finding]:
    """Find jobs in partitions that no worker works, though other partitions of the queue are worked."""
    findings = []
    for queue, parts in (await broker.unworked_partitions()).items():
        counts = await read_each(parts, lambda part: part.counts())
        waiting = [sum(each[state] for state in WAITING) for each in counts]
        full = [f"{_named(part)} ({n} waiting)" for part, n in zip(parts, waiting, strict=True) if n]
        if full:
            remedy = (
                f"give the producers of {queue} the partitions of its workers, and start workers with the number "
                "in these names until they are empty"
            )
            findings.append(Finding.warn("partitions", f"no worker for {listed(full)}", remedy))
    return findings


async def _abandoned(broker: OperatorBroker, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Find active jobs without a lock. Their worker is dead, and a stalled check will recover them."""
    now = now_ms()
    fresh: list[str] = []
    old: list[str] = []
    active = [queue for queue in queues if queue.counts["active"]]
    found = await read_each(active, lambda queue: broker.queue(queue.name).unlocked(MOST))
    for queue, unlocked in zip(active, found, strict=True):
        for job_id, began in unlocked:
            (old if now - (began or 0) > ABANDONED_MS else fresh).append(f"{queue.name}:{job_id}")
    if old:
        remedy = "start a worker for the queue: its stalled check recovers them within two stalled_intervals"
        detail = f"{len(old)} jobs are active without a lock, and no worker recovers them: {listed(old)}"
        return [Finding.fail("locks", detail, remedy)]
    if fresh:
        detail = f"{len(fresh)} jobs have lost their worker: {listed(fresh)}"
        return [Finding.warn("locks", detail, "wait for the next stalled check")]
    return [Finding.ok("locks", "every active job has its lock")]


async def _without_dead_letter(broker: OperatorBroker, queues: Sequence[QueueOverview]) -> list[Finding]:
    """Find failed jobs without a dead letter in queues whose other jobs have one: nobody reconciles them."""
    missing, looked = [], 0
    failed = [queue for queue in queues if queue.counts["failed"]]
    share = max(MOST_FAILED // max(len(failed), 3), FEWEST_FAILED)
    found = await read_each(failed, lambda queue: broker.queue(queue.name).dead_letter_marks(share))
    for queue, marks in zip(failed, found, strict=True):
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
        return [Finding.fail("dead letters", f"failed jobs without a dead letter: {listed(missing)}", remedy)]
    return [Finding.ok("dead letters", f"no dead letter is missing; queues that have some: {looked}")]


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first five names as a text, with how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return separator.join(names[:MOST_NAMED]) + more
