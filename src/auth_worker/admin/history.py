"""The history of queues: one elected process records it each minute, and the charts show it."""

from __future__ import annotations

from auth_worker.admin.batches import read_each
from auth_worker.admin.models import QueueOverview
from auth_worker.admin.queues import QueueOperations
from auth_worker.core.clock import now_ms
from auth_worker.core.history import MINUTE_MS, SPANS, Bucket, Span, VersionMark, classes_of, series
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.values import StoredJob

LEASE_MS = 150_000
"""How long an election lasts. A recorder that does not renew it by then is replaced by another process."""
MOST_QUEUES = 500
"""How many queues get a history: the busiest ones."""
MOST_VERSIONS = 50
"""How many changes of the workers' version are kept, the newest."""
SAMPLE = 50
"""How many completed and failed jobs of a minute, the newest, show how long jobs waited and ran."""


class HistoryOperations:
    """Reads and records the histories of the queues of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker, queues: QueueOperations) -> None:
        self._broker = broker
        self._queues = queues

    async def read(self, queue: str | None, span: Span) -> list[Bucket]:
        """Return the buckets of a span up to now, the oldest first, of a queue (None: of all together)."""
        return series(span, await self._broker.history(queue).read(span), now_ms())

    async def elect(self, owner: str) -> bool:
        """Take part in the election, and return whether ``owner`` is the recorder now."""
        return await self._broker.history(None).elect(owner, LEASE_MS)

    async def resign(self, owner: str) -> None:
        """Let another be elected at once, if ``owner`` is the recorder."""
        await self._broker.history(None).resign(owner)

    async def versions(self) -> list[VersionMark]:
        """Return since when which version of the workers has been running, the oldest first."""
        return await self._broker.history(None).marks()

    async def mark_version(self, version: str) -> None:
        """Record that a worker of this version has started, unless the last one that did had the same."""
        history = self._broker.history(None)
        known = await history.marks()
        if not known:
            await history.mark(VersionMark(now_ms(), version), MOST_VERSIONS)
        elif known[-1].version != version:  # its time is later, whatever the clocks of two machines say
            await history.mark(VersionMark(max(now_ms(), known[-1].at + 1), version), MOST_VERSIONS)

    async def record_minute(self) -> None:
        """Record the last minute of each queue in which something happened, and of all together."""
        since = now_ms() - MINUTE_MS
        found = [queue for queue in (await self._queues.overview()).queues if not queue.dead_letters_of]
        busy = [queue for queue in found if not _bucket_of(queue, since).is_empty]
        busy.sort(key=lambda queue: queue.done_per_minute + queue.failed_per_minute, reverse=True)
        total = Bucket(since)
        for bucket in await read_each(busy[:MOST_QUEUES], lambda queue: self._record(queue, since)):
            total = total.beside(bucket)
        if not total.is_empty:
            await self._keep(None, total)

    async def _record(self, queue: QueueOverview, since: int) -> Bucket:
        jobs = [*await self._ended(queue, "completed", since), *await self._ended(queue, "failed", since)]
        bucket = _bucket_of(queue, since)._replace(
            waits=classes_of(waited for job in jobs if (waited := _waited(job)) is not None),
            runs=classes_of(ran for job in jobs if (ran := _ran(job)) is not None),
        )
        await self._keep(queue.name, bucket)
        return bucket

    async def _ended(self, queue: QueueOverview, state: str, since: int) -> list[StoredJob]:
        if not queue.counts[state]:
            return []
        ids = await self._broker.queue(queue.name).ids(state, 0, SAMPLE)
        found = await self._broker.jobs(queue.name).rows(ids)
        return [job for job in found if job is not None and (job.finished_on or 0) >= since]

    async def _keep(self, queue: str | None, minute: Bucket) -> None:
        keeper = self._broker.history(queue)
        for span in SPANS.values():
            slot, start = span.slot_of(minute.start), span.start_of(minute.start)
            known = Bucket.decoded(await keeper.read_slot(span, slot))
            if known is None or known.start != start:
                known = Bucket(start)
            await keeper.write(span, {slot: known.with_added(minute).encoded()})


def _bucket_of(queue: QueueOverview, since: int) -> Bucket:
    return Bucket(
        since,
        done=queue.done_per_minute,
        failed=queue.failed_per_minute,
        oldest_ms=queue.oldest_waiting_ms or 0,
        waiting=queue.waiting,
        active=queue.counts["active"],
    )


def _waited(job: StoredJob) -> int | None:
    """Return how long (ms) the job waited though it could have run; None after a retry, where that is unknown."""
    if job.processed_on is None or job.timestamp is None or (job.attempts_made or 0) > 1:
        return None
    return max(job.processed_on - job.timestamp - (job.delay or 0), 0)


def _ran(job: StoredJob) -> int | None:
    if job.processed_on is None or job.finished_on is None:
        return None
    return max(job.finished_on - job.processed_on, 0)
