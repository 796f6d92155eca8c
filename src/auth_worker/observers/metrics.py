"""The metrics observer: counts how runs end, for Prometheus. It knows the events and nothing else.

A job costs it a dictionary look-up and a few additions to plain integers, a fifth of what the counters and
histograms of prometheus_client cost; metrics are made of them when somebody asks. Only the work loop writes, any
thread may read: a scrape in the midst of a job may miss that job in one of the numbers, and finds it next time.

Labels are the queue and the outcome, both from short lists. A job's name is none: producers choose it.
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
    ProcessorChanged,
)

BOUNDS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""The buckets of the histograms: jobs take from 1 ms to 10 min."""
BOUNDS_MS = tuple(bound * 1000 for bound in BOUNDS_S)
LABELS = (*map(str, BOUNDS_S), "+Inf")


class Histogram:
    """Counts of durations by bucket, and their sum in ms."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * len(LABELS)
        self.total_ms = 0.0

    def add(self, ms: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.total_ms += ms

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: how many took so long or less."""
        return list(zip(LABELS, accumulate(self.counts), strict=True))


class QueueCounts:
    """What became of the runs of one queue. The usual outcomes stand at 0 from the start: so a rate exists."""

    __slots__ = ("completed", "durations", "others", "waits")

    def __init__(self) -> None:
        self.completed = 0
        self.others = {"retried": 0, "failed": 0, "lost": 0}
        self.durations = Histogram()
        self.waits = Histogram()

    def outcomes(self) -> Iterable[tuple[str, int]]:
        """Every outcome and how often it came; the words are those of the logs."""
        return (("completed", self.completed), *list(self.others.items()))


class MetricsObserver:
    """Counts from the events of a bus; a collector for a ``CollectorRegistry``."""

    def __init__(self) -> None:
        self._queues: dict[str, QueueCounts] = {}

    def attach(self, bus: EventBus) -> None:
        """Listen to ``bus`` from now on."""
        bus.subscribe(JobCompleted, self._completed)
        bus.subscribe(JobRetried, self._retried)
        bus.subscribe(JobFailed, self._failed)
        bus.subscribe(JobMoved, self._moved)
        bus.subscribe(LeaseLost, self._lease_lost)
        bus.subscribe(ProcessorChanged, self._processor_changed)

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        jobs = CounterMetricFamily("auth_worker_jobs", "Runs that ended, by outcome.", labels=("queue", "outcome"))
        lost = CounterMetricFamily("auth_worker_lease_lost", "Leases lost while a job ran.", labels=("queue",))
        durations = HistogramMetricFamily(
            "auth_worker_job_duration_seconds", "How long the consumer took.", labels=("queue",)
        )
        waits = HistogramMetricFamily(
            "auth_worker_job_wait_seconds",
            "How long a job stood ready before its first run; 0 for retries.",
            labels=("queue",),
        )
        for queue, counts in sorted(self._queues.items()):
            for outcome, count in counts.outcomes():
                jobs.add_metric((queue, outcome), count)
            lost.add_metric((queue,), counts.others["lost"])
            durations.add_metric((queue,), counts.durations.buckets(), counts.durations.total_ms / 1000)
            waits.add_metric((queue,), counts.waits.buckets(), counts.waits.total_ms / 1000)
        return iter((jobs, lost, durations, waits))

    def _processor_changed(self, event: ProcessorChanged) -> None:
        self._of(event.queue)

    def _of(self, queue: str) -> QueueCounts:
        counts = self._queues.get(queue)
        if counts is None:
            counts = self._queues[queue] = QueueCounts()
        return counts

    def _completed(self, event: JobCompleted) -> None:
        """The hot path: written out, since a call costs as much as what it does."""
        counts = self._queues.get(event.queue) or self._of(event.queue)
        counts.completed += 1
        took, waited = event.duration_ms, event.wait_ms
        durations, waits = counts.durations, counts.waits
        durations.counts[bisect_left(BOUNDS_MS, took)] += 1
        durations.total_ms += took
        waits.counts[bisect_left(BOUNDS_MS, waited)] += 1
        waits.total_ms += waited

    def _retried(self, event: JobRetried) -> None:
        self._timed("retried", event)

    def _failed(self, event: JobFailed) -> None:
        self._timed("failed", event)

    def _timed(self, outcome: str, event: JobRetried | JobFailed) -> None:
        counts = self._of(event.queue)
        counts.others[outcome] += 1
        counts.durations.add(event.duration_ms)
        counts.waits.add(event.wait_ms)

    def _moved(self, event: JobMoved) -> None:
        others = self._of(event.queue).others
        others[event.to] = others.get(event.to, 0) + 1

    def _lease_lost(self, event: LeaseLost) -> None:
        self._of(event.queue).others["lost"] += 1
