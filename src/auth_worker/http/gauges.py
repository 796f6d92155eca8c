"""The gauges of ``/metrics``: the state of this process and of its queues. The observer has the counters.

Queue counts are read from Redis over the watch loop's connection, at most once a second and within a second. While
Redis is away they are left out, since old values would mislead. Every worker of a queue shows the same values:
take their ``max`` over the workers, not their sum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from auth_worker.core.ports.operator import DeadLetterStore, QueueReader
from auth_worker.errors import BrokerError
from auth_worker.http.caching import TimedCache
from auth_worker.http.service_view import ServiceView

LIFETIME_S = 1.0
"""How long (s) a reading is shown again."""
READ_TIMEOUT_S = 1.0


class QueueReading(NamedTuple):
    """The counts of a queue. ``oldest`` is when the job that has waited longest was added (epoch ms), if any."""

    queue: str
    counts: dict[str, int]
    oldest: int | None


class Reading(NamedTuple):
    """The counts of all queues, and the number of dead letters by dead-letter queue."""

    queues: list[QueueReading]
    letters: dict[str, int]


NOTHING = Reading([], {})


class Gauges:
    """A collector for a ``CollectorRegistry``; call ``refresh`` before it collects. Belongs to the watch loop."""

    def __init__(self, service: ServiceView) -> None:
        self._service = service
        self._remembered = TimedCache(self._read, LIFETIME_S)
        self._reading = NOTHING
        self._made: tuple[list[QueueReader], dict[str, DeadLetterStore]] | None = None

    async def refresh(self) -> None:
        """Read the queues, unless that was done within the last second. Never raises."""
        self._reading = await self._remembered.get()

    def collect(self) -> Iterator[Metric]:
        """Return the gauges."""
        runtime = self._service.runtime
        links = runtime.links
        active = GaugeMetricFamily(
            "auth_worker_jobs_active", "Jobs that run or wait in this process.", labels=("queue",)
        )
        for processor in self._service.get_processors():
            active.add_metric((processor.queue_name,), processor.active)
        yield active
        suspects = GaugeMetricFamily(
            "auth_worker_suspects",
            "Jobs recovered from dead workers that wait in this process until they can run alone.",
            labels=("queue",),
        )
        for processor in self._service.get_processors():
            suspects.add_metric((processor.queue_name,), processor.suspects)
        yield suspects
        yield GaugeMetricFamily(
            "auth_worker_quarantine_seconds",
            "How long this process has started no other job because of a recovered one; normally 0.",
            value=runtime.quarantine.closed_s,
        )
        yield from _queue_gauges(self._reading)
        yield GaugeMetricFamily(
            "auth_worker_event_loop_lag_seconds",
            "How long the last callback waited for the event loop; grows while a consumer blocks it.",
            value=runtime.lag.lag_s,
        )
        yield GaugeMetricFamily(
            "auth_worker_broker_up",
            "Whether every connection to Redis is up.",
            value=bool(links) and all(link.is_up for link in links),
        )

    async def _read(self) -> Reading:
        runtime = self._service.runtime
        if not runtime.started or not all(view.is_up for view in runtime.broker_views):
            return NOTHING
        queues, dead = self._readers()
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                readings, letters = await asyncio.gather(
                    asyncio.gather(*map(_read, queues)),
                    asyncio.gather(*(store.count() for store in dead.values())),
                )
        except (BrokerError, TimeoutError):
            return NOTHING
        return Reading(readings, dict(zip(dead, letters, strict=True)))

    def _readers(self) -> tuple[list[QueueReader], dict[str, DeadLetterStore]]:
        """Return the readers of the queues, and of the dead-letter queues by name.

        They are created once the processors are known.
        """
        if self._made is None:
            queues: list[QueueReader] = []
            dead: dict[str, DeadLetterStore] = {}
            for processor in self._service.get_processors():
                view = processor.connections.view
                queues.append(view.queue(processor.queue_name))
                dead |= {name: view.dead_letters(name) for name in processor.dead_letter_queues}
            self._made = queues, {name: dead[name] for name in sorted(dead)}
        return self._made


async def _read(queue: QueueReader) -> QueueReading:
    counts, oldest = await asyncio.gather(queue.counts(), queue.oldest_waiting())
    return QueueReading(queue.queue, counts, oldest)


def _queue_gauges(reading: Reading) -> Iterable[Metric]:
    jobs = GaugeMetricFamily(
        "auth_worker_queue_jobs", "Jobs of the queue in Redis, by state.", labels=("queue", "state")
    )
    oldest = GaugeMetricFamily(
        "auth_worker_queue_oldest_job_seconds",
        "The age of the oldest of the jobs next in line; 0 if none waits.",
        labels=("queue",),
    )
    letters = GaugeMetricFamily(
        "auth_worker_dead_letter_jobs", "Dead letters in the dead-letter queue.", labels=("queue",)
    )
    now = time.time()
    for queue, counts, added in reading.queues:
        for state, count in counts.items():
            jobs.add_metric((queue, state), count)
        oldest.add_metric((queue,), 0.0 if added is None else max(now - added / 1000, 0.0))
    for queue, count in reading.letters.items():
        letters.add_metric((queue,), count)
    return jobs, oldest, letters
