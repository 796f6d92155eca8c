"""The queues under a prefix: what stands in them, who works on them, and whether they are paused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from auth_worker.admin.letters_read import LetterReading
from auth_worker.admin.models import Change, QueueList, QueueOverview, WorkerEntry
from auth_worker.broker.job_changes import JobChanges
from auth_worker.broker.link import Link
from auth_worker.broker.queue_finder import WorkerConnection, find_queues, find_workers
from auth_worker.broker.queue_view import WAITING, QueueView
from auth_worker.errors import BrokerError, BrokerUnavailableError

AT_ONCE = 50
"""How many queues to ask about at a time, so that a thousand of them do not hold up the others."""
MOST_LETTERS = 1000


class QueueOperations:
    """The queues under ``prefix``. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str, dead: LetterReading, record: Callable[[Change], None]) -> None:
        self._link = link
        self._prefix = prefix
        self._dead = dead
        self._record = record

    async def overview(self) -> QueueList:
        """Every queue, by name."""
        names, complete = await find_queues(self._link, self._prefix)
        return QueueList(queues=await self.describe(names, names), complete=complete)

    async def describe(self, names: Sequence[str], among: Sequence[str] | None = None) -> list[QueueOverview]:
        """These queues; their dead letters are looked for ``among`` those, None: among all."""
        workers = await self._worker_counts()
        origins, letters = await self._letters(among)
        described: list[QueueOverview] = []
        for start in range(0, len(names), AT_ONCE):
            described += await asyncio.gather(
                *(self._describe(name, workers) for name in names[start : start + AT_ONCE])
            )
        return [
            queue.model_copy(
                update={
                    "dead_letters": letters.get(queue.name, 0),
                    "dead_letters_of": sorted(origins.get(queue.name, ())),
                }
            )
            for queue in described
        ]

    async def workers(self, queue: str | None = None) -> list[WorkerEntry]:
        """The workers of a queue, or of all."""
        return [
            WorkerEntry(
                queue=worker.queue,
                name=worker.worker,
                address=worker.address,
                connected_s=worker.connected_s,
                idle_s=worker.idle_s,
            )
            for worker in await find_workers(self._link, self._prefix)
            if queue in (None, worker.queue)
        ]

    async def pause(self, queue: str) -> None:
        """Let no worker, anywhere, take another job of the queue. Those running go on."""
        await JobChanges(self._link, self._prefix, queue).pause(True)
        self._record(Change(action="pause", queue=queue, target=queue))

    async def resume(self, queue: str) -> None:
        """Let the workers of the queue take jobs again."""
        await JobChanges(self._link, self._prefix, queue).pause(False)
        self._record(Change(action="resume", queue=queue, target=queue))

    async def _describe(self, name: str, workers: dict[str, int] | None) -> QueueOverview:
        view = QueueView(self._link, self._prefix, name)
        now = round(time.time() * 1000)
        counts, (paused, concurrency, rests), oldest, (done, failed) = await asyncio.gather(
            view.counts(), view.settings(), view.oldest_waiting(), view.finish_rates(now)
        )
        return QueueOverview(
            name=name,
            paused=paused,
            counts=counts,
            waiting=sum(counts[state] for state in WAITING),
            oldest_waiting_ms=None if oldest is None else max(now - oldest, 0),
            concurrency=concurrency,
            rate_limited_ms=rests,
            workers=None if workers is None else workers.get(name, 0),
            done_per_minute=done,
            failed_per_minute=failed,
        )

    async def _letters(self, among: Sequence[str] | None) -> tuple[dict[str, list[str]], dict[str, int | None]]:
        """Of each dead-letter queue, where its letters come from; and how many letters each queue has."""
        origins: dict[str, list[str]] = {}
        letters: dict[str, int | None] = {}
        for name, count in (await self._dead.queues(among)).items():
            found = await self._dead.origins(name, MOST_LETTERS)
            origins[name] = list(found)
            for origin, seen in found.items():
                exact = seen if count <= MOST_LETTERS else count if len(found) == 1 else None
                before = letters.get(origin, 0)
                letters[origin] = None if exact is None or before is None else before + exact
        return origins, letters

    async def _worker_counts(self) -> dict[str, int] | None:
        try:
            return _counted(await find_workers(self._link, self._prefix))
        except BrokerUnavailableError:
            raise
        except BrokerError:  # an ACL may refuse CLIENT LIST; the rest is worth showing
            return None


def _counted(workers: Iterable[WorkerConnection]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in workers:
        counts[worker.queue] = counts.get(worker.queue, 0) + 1
    return counts
