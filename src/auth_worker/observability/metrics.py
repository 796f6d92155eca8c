"""The metrics observer: counts how runs end, for Prometheus. It depends on the events only.

A job costs it a dictionary look-up and a few additions to plain integers, a fifth of what the counters and
histograms of prometheus_client cost; metrics are built when they are scraped. Only the work loop writes, any
thread may read: a scrape during a job may miss that job in one of the numbers, and finds it next time.

Labels are the queue and the outcome, both from short lists. A job's name is not a label, since producers choose
it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from auth_worker.events import (
    EventBus,
    JobCompleted,
    JobFailed,
    JobMoved,
    JobRetried,
    LeaseLost,
    OutcomeName,
    ProcessorChanged,
    ResourceEnded,
)
from auth_worker.observability.duration_buckets import BOUNDS_S

BOUNDS_MS = tuple(bound * 1000 for bound in BOUNDS_S)
LABELS = (*map(str, BOUNDS_S), "+Inf")


class Histogram:
    """Counts of durations by bucket, and their sum in ms."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * len(LABELS)
        self.total_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.total_ms += ms

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative buckets, as Prometheus defines them."""
        return list(zip(LABELS, accumulate(self.counts), strict=True))


class QueueCounts:
    """Counts the outcomes of one queue's runs. Common ones start at 0, so that their rate exists at once."""

    __slots__ = ("completed", "durations", "ended_resources", "others", "waits")

    def __init__(self) -> None:
        self.completed = 0
        self.others = dict.fromkeys((OutcomeName.RETRIED, OutcomeName.FAILED, OutcomeName.LOST), 0)
        self.ended_resources = 0
        self.durations = Histogram()
        self.waits = Histogram()

    def outcomes(self) -> Iterable[tuple[OutcomeName, int]]:
        """Return every outcome and its count, under the names that the logs use."""
        return ((OutcomeName.COMPLETED, self.completed), *list(self.others.items()))


class MetricsObserver:
    """Counts the events of a bus. A collector for a ``CollectorRegistry``."""

    def __init__(self) -> None:
        self._queues: dict[str, QueueCounts] = {}

    def attach(self, bus: EventBus) -> None:
        """Subscribe to ``bus``."""
        bus.subscribe(JobCompleted, self._completed)
        bus.subscribe(JobRetried, self._retried)
        bus.subscribe(JobFailed, self._failed)
        bus.subscribe(JobMoved, self._moved)
        bus.subscribe(LeaseLost, self._lease_lost)
        bus.subscribe(ProcessorChanged, self._processor_changed)
        bus.subscribe(ResourceEnded, self._resource_ended)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        jobs = CounterMetricFamily("auth_worker_jobs", "Runs that ended, by outcome.", labels=("queue", "outcome"))
        lost = CounterMetricFamily("auth_worker_lease_lost", "Leases lost while a job ran.", labels=("queue",))
        ended = CounterMetricFamily(
            "auth_worker_resources_ended", "Resources of tasks that ended by themselves.", labels=("queue",)
        )
        durations = HistogramMetricFamily(
            "auth_worker_job_duration_seconds", "How long the consumer took.", labels=("queue",)
        )
        waits = HistogramMetricFamily(
            "auth_worker_job_wait_seconds",
            "How long a job waited before its first run; 0 for retries.",
            labels=("queue",),
        )
        for queue, counts in sorted(self._queues.items()):
            for outcome, count in counts.outcomes():
                jobs.add_metric((queue, outcome), count)
            lost.add_metric((queue,), counts.others[OutcomeName.LOST])
            ended.add_metric((queue,), counts.ended_resources)
            durations.add_metric((queue,), counts.durations.buckets(), counts.durations.total_ms / 1000)
            waits.add_metric((queue,), counts.waits.buckets(), counts.waits.total_ms / 1000)
        return iter((jobs, lost, ended, durations, waits))

    def _processor_changed(self, event: ProcessorChanged) -> None:
        self._of(event.queue)

    def _of(self, queue: str) -> QueueCounts:
        counts = self._queues.get(queue)
        if counts is None:
            counts = self._queues[queue] = QueueCounts()
        return counts

    def _completed(self, event: JobCompleted) -> None:
        """Count a completed job. The hot path is inlined, since a call costs as much as the work."""
        counts = self._queues.get(event.queue) or self._of(event.queue)
        counts.completed += 1
        took, waited = event.duration_ms, event.wait_ms
        durations, waits = counts.durations, counts.waits
        durations.counts[bisect_left(BOUNDS_MS, took)] += 1
        durations.total_ms += took
        waits.counts[bisect_left(BOUNDS_MS, waited)] += 1
        waits.total_ms += waited

    def _retried(self, event: JobRetried) -> None:
        self._timed(OutcomeName.RETRIED, event)

    def _failed(self, event: JobFailed) -> None:
        self._timed(event.outcome, event)

    def _timed(self, outcome: OutcomeName, event: JobRetried | JobFailed) -> None:
        counts = self._of(event.queue)
        counts.others[outcome] = counts.others.get(outcome, 0) + 1
        counts.durations.add(event.duration_ms)
        counts.waits.add(event.wait_ms)

    def _moved(self, event: JobMoved) -> None:
        others = self._of(event.queue).others
        others[event.to] = others.get(event.to, 0) + 1

    def _resource_ended(self, event: ResourceEnded) -> None:
        self._of(event.queue).ended_resources += 1

    def _lease_lost(self, event: LeaseLost) -> None:
        self._of(event.queue).others[OutcomeName.LOST] += 1
