"""The gauges: how things stand now, in this process and in its queues. The counters are the observer's.

Queue counts come from Redis over the watch loop's connection, at most once a second and within a second. While
Redis is away they are left out, since old ones would lie; every worker of a queue tells the same ones, so take
their ``max`` over the workers, not their sum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from auth_worker.admin.subject import Remembered, Subject
from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.queue_view import QueueView
from auth_worker.errors import BrokerError

LIFETIME_S = 1.0
PATIENCE_S = 1.0


class QueueReading(NamedTuple):
    """A queue as it stands. ``oldest``: when the job was added (epoch ms) that has waited longest, if any."""

    queue: str
    counts: dict[str, int]
    oldest: int | None


class Reading(NamedTuple):
    """All queues, and the number of letters of each dead-letter queue."""

    queues: list[QueueReading]
    letters: dict[str, int]


NOTHING = Reading([], {})


class Gauges:
    """A collector for a ``CollectorRegistry``; call ``refresh`` before it collects. Belongs to the watch loop."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._remembered = Remembered(self._read, LIFETIME_S)
        self._reading = NOTHING
        self._made: tuple[list[QueueView], list[DeadLetters]] | None = None

    async def refresh(self) -> None:
        """Look at the queues, unless that was done within the last second. Never raises."""
        self._reading = await self._remembered.get()

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        runtime = self._subject.runtime
        links = runtime.links
        active = GaugeMetricFamily("auth_worker_jobs_active", "Jobs running in this process.", labels=("queue",))
        for processor in self._subject.get_processors():
            active.add_metric((processor.queue_name,), processor.active)
        yield active
        suspects = GaugeMetricFamily(
            "auth_worker_suspects",
            "Jobs recovered from dead workers that wait in this process until they can run alone.",
            labels=("queue",),
        )
        for processor in self._subject.get_processors():
            suspects.add_metric((processor.queue_name,), processor.suspects)
        yield suspects
        yield GaugeMetricFamily(
            "auth_worker_quarantine_seconds",
            "For how long this process has started no other job for the sake of a recovered one; 0 normally.",
            value=runtime.quarantine.closed_s,
        )
        yield from _queue_gauges(self._reading)
        yield GaugeMetricFamily(
            "auth_worker_event_loop_lag_seconds",
            "How long the event loop took to turn when it was last asked to; grows while a consumer blocks it.",
            value=runtime.lag.lag_s,
        )
        yield GaugeMetricFamily(
            "auth_worker_broker_up",
            "Whether every connection to Redis stands.",
            value=bool(links) and all(link.is_up for link in links),
        )

    async def _read(self) -> Reading:
        runtime = self._subject.runtime
        if not runtime.started or not all(link.is_up for link in runtime.watch_links):
            return NOTHING
        views, dead = self._windows()
        try:
            async with asyncio.timeout(PATIENCE_S):
                queues, letters = await asyncio.gather(
                    asyncio.gather(*(_look_at(view) for view in views)),
                    asyncio.gather(*(box.count() for box in dead)),
                )
        except (BrokerError, TimeoutError):
            return NOTHING
        return Reading(queues, dict(zip((box.queue for box in dead), letters, strict=True)))

    def _windows(self) -> tuple[list[QueueView], list[DeadLetters]]:
        """What to look through: made once, since the processors are known by then."""
        if self._made is None:
            prefix = self._subject.runtime.settings.prefix
            views, dead = [], {}
            for processor in self._subject.get_processors():
                link, letters = processor.connections.watch_link, processor.dead_letter_queue_name
                views.append(QueueView(link, prefix, processor.queue_name))
                if letters is not None:
                    dead[letters] = DeadLetters(link, prefix, letters)
            self._made = views, [dead[name] for name in sorted(dead)]
        return self._made


async def _look_at(view: QueueView) -> QueueReading:
    counts, oldest = await asyncio.gather(view.counts(), view.oldest_waiting())
    return QueueReading(view.queue, counts, oldest)


def _queue_gauges(reading: Reading) -> Iterable[Metric]:
    jobs = GaugeMetricFamily(
        "auth_worker_queue_jobs", "Jobs of the queue in Redis, by state.", labels=("queue", "state")
    )
    oldest = GaugeMetricFamily(
        "auth_worker_queue_oldest_job_seconds",
        "How long ago the job was added that has waited longest of those next in line; 0 if none waits.",
        labels=("queue",),
    )
    letters = GaugeMetricFamily(
        "auth_worker_dead_letter_jobs", "Letters in the dead-letter queue.", labels=("queue",)
    )
    now = time.time()
    for queue, counts, added in reading.queues:
        for state, count in counts.items():
            jobs.add_metric((queue, state), count)
        oldest.add_metric((queue,), 0.0 if added is None else max(now - added / 1000, 0.0))
    for queue, count in reading.letters.items():
        letters.add_metric((queue,), count)
    return jobs, oldest, letters
