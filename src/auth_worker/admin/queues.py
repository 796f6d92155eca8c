"""Reads queues, with the numbers of their jobs and workers, and pauses and resumes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from auth_worker.admin.batches import read_each
from auth_worker.admin.dead_letter_queries import DeadLetterQueries
from auth_worker.admin.existence_checks import check_prefix, check_queue
from auth_worker.admin.models import Change, QueueList, QueueOverview, RateLimit, WorkerEntry
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.values import WAITING, QueueSummary, WorkerConnection
from auth_worker.errors import BrokerError, BrokerUnavailableError

MOST_LETTERS = 1000
"""How many dead letters of a dead-letter queue are read to see where they come from."""


class QueueOperations:
    """Reads, pauses and resumes the queues of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker, dead: DeadLetterQueries, record: Callable[[Change], None]) -> None:
        self._broker = broker
        self._dead = dead
        self._record = record

    async def check_exists(self, queue: str) -> None:
        """Raise ``NotFoundError``, naming the queues that exist, unless this one does."""
        await check_queue(self._broker, queue)

    async def check_prefix(self) -> None:
        """Raise ``NotFoundError`` if no queue has this prefix but some have others, which it names."""
        await check_prefix(self._broker)

    async def overview(self) -> QueueList:
        """Return every queue, sorted by name."""
        names, complete = await self._broker.find_queues()
        return QueueList(queues=await self.describe(names, names), complete=complete)

    async def describe_one(self, name: str) -> QueueOverview:
        """Return the queue ``name``."""
        return (await self.describe([name]))[0]

    async def describe(self, names: Sequence[str], among: Sequence[str] | None = None) -> list[QueueOverview]:
        """Return these queues. Their dead letters are searched for in the queues ``among`` (None: in all)."""
        workers = await self._worker_counts()
        now = now_ms()
        found = await read_each(names, lambda name: self._broker.queue(name).summary(now))
        summaries = dict(zip(names, found, strict=True))
        letter_counts = {name: summary.dead_letters for name, summary in summaries.items() if summary.dead_letters}
        origins, letters = await self._letters(letter_counts if among == names else await self._dead.queues(among))
        return [
            _overview(name, summaries[name], now, workers).model_copy(
                update={"dead_letters": letters.get(name, 0), "dead_letters_of": sorted(origins.get(name, ()))}
            )
            for name in names
        ]

    async def workers(self, queue: str | None = None) -> list[WorkerEntry]:
        """Return the workers of a queue, or of all."""
        return [
            WorkerEntry(
                queue=worker.queue,
                name=worker.worker,
                address=worker.address,
                connected_s=worker.connected_s,
                idle_s=worker.idle_s,
            )
            for worker in await self._broker.find_workers()
            if queue in (None, worker.queue)
        ]

    async def pause(self, queue: str) -> None:
        """Stop all workers, wherever they run, from taking jobs of the queue. Running jobs go on."""
        await self._broker.queue_changes(queue).set_paused(True)
        self._record(Change(action="pause", queue=queue, target=queue))

    async def resume(self, queue: str) -> None:
        """Let the workers take jobs of the queue again."""
        await self._broker.queue_changes(queue).set_paused(False)
        self._record(Change(action="resume", queue=queue, target=queue))

    async def _letters(self, counts: Mapping[str, int]) -> tuple[dict[str, list[str]], dict[str, int | None]]:
        """Return where the dead letters of each dead-letter queue come from, and how many each queue has.

        ``counts`` is the number of dead letters in each dead-letter queue.
        """
        origins: dict[str, list[str]] = {}
        letters: dict[str, int | None] = {}
        for name, count in counts.items():
            found = await self._dead.origins(name, MOST_LETTERS)
            origins[name] = list(found)
            for origin, seen in found.items():
                exact = seen if count <= MOST_LETTERS else count if len(found) == 1 else None
                before = letters.get(origin, 0)
                letters[origin] = None if exact is None or before is None else before + exact
        return origins, letters

    async def _worker_counts(self) -> dict[str, int] | None:
        try:
            return _counted(await self._broker.find_workers())
        except BrokerUnavailableError:
            raise
        except BrokerError:  # the user may not list connections; the rest is worth showing
            return None


def _overview(name: str, summary: QueueSummary, now: int, workers: Mapping[str, int] | None) -> QueueOverview:
    """Return the overview of a queue, without its dead letters."""
    counts, settings, oldest = summary.counts, summary.settings, summary.oldest_waiting
    rate = settings.rate_limit
    return QueueOverview(
        name=name,
        paused=settings.paused,
        counts=counts,
        waiting=sum(counts[state] for state in WAITING),
        oldest_waiting_ms=None if oldest is None else max(now - oldest, 0),
        concurrency=settings.concurrency,
        rate_limit=None if rate is None else RateLimit(max=rate[0], duration=rate[1]),
        rate_limited_ms=settings.limited_ms,
        workers=None if workers is None else workers.get(name, 0),
        done_per_minute=summary.done_per_minute,
        failed_per_minute=summary.failed_per_minute,
    )


def _counted(workers: Iterable[WorkerConnection]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in workers:
        counts[worker.queue] = counts.get(worker.queue, 0) + 1
    return counts
