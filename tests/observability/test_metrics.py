"""The metrics observer: exact, valid by the official parsers, and bounded in its labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from auth_worker.events import (
    EventBus,
    JobCompleted,
    JobFailed,
    JobMoved,
    JobRetried,
    LeaseLost,
    OutcomeName,
    ProcessorChanged,
)
from auth_worker.observability.duration_buckets import BOUNDS_S
from auth_worker.observability.metrics import MetricsObserver
from support.http_requests import Samples, samples_of, value

EVENTS: dict[str, Callable[[str, float], Any]] = {
    "completed": lambda queue, ms: JobCompleted(queue, "1", "secret-name", 1, ms, ms * 2),
    "retried": lambda queue, ms: JobRetried(queue, "1", "secret-name", 1, ms, ms * 2, 10, "boom"),
    "failed": lambda queue, ms: JobFailed(queue, "1", "secret-name", 3, ms, ms * 2, "boom", "exhausted", ""),
    "delayed": lambda queue, ms: JobMoved(queue, "1", "secret-name", 1, ms, OutcomeName.DELAYED, ""),
    "waiting": lambda queue, ms: JobMoved(queue, "1", "secret-name", 1, ms, OutcomeName.WAITING, ""),
    "lost": lambda queue, ms: LeaseLost(queue, "1", "secret-name", 1, ms),
}
TIMED = ("completed", "retried", "failed")


class Counting:
    """An observer on a bus, and the text that Prometheus would scrape."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.observer = MetricsObserver()
        self.observer.attach(self.bus)
        self.registry = CollectorRegistry()
        self.registry.register(self.observer)

    def emit(self, outcome: str, queue: str = "work", ms: float = 5.0) -> None:
        self.bus.emit(EVENTS[outcome](queue, ms))

    def samples(self) -> Samples:
        return samples_of(generate_latest(self.registry).decode())


@pytest.mark.parametrize("outcome", EVENTS)
def test_every_way_a_run_ends_is_counted_by_its_outcome(outcome: str) -> None:
    counting = Counting()
    for _ in range(3):
        counting.emit(outcome)
    samples = counting.samples()
    assert value(samples, "auth_worker_jobs_total", queue="work", outcome=outcome) == 3
    assert value(samples, "auth_worker_lease_lost_total", queue="work") == (3 if outcome == "lost" else 0)
    timed = 3 if outcome in TIMED else 0
    assert value(samples, "auth_worker_job_duration_seconds_count", queue="work") == timed
    assert value(samples, "auth_worker_job_duration_seconds_sum", queue="work") == pytest.approx(0.005 * timed)
    assert value(samples, "auth_worker_job_wait_seconds_sum", queue="work") == pytest.approx(0.01 * timed)


def test_the_counters_of_a_queue_start_at_zero_so_that_a_first_failure_is_an_increase() -> None:
    counting = Counting()
    counting.bus.emit(ProcessorChanged("work", "ready"))
    samples = counting.samples()
    for outcome in ("completed", "retried", "failed", "lost"):
        assert value(samples, "auth_worker_jobs_total", queue="work", outcome=outcome) == 0


@pytest.mark.parametrize("bound", BOUNDS_S)
@pytest.mark.parametrize("outcome", TIMED)
def test_a_duration_falls_into_the_bucket_that_names_it_and_into_no_smaller_one(
    bound: float, outcome: str
) -> None:
    counting = Counting()
    counting.emit(outcome, ms=bound * 1000)
    samples = counting.samples()
    for edge in BOUNDS_S:
        counted = value(samples, "auth_worker_job_duration_seconds_bucket", queue="work", le=str(edge))
        assert counted == (1 if edge >= bound else 0)


def test_the_buckets_suit_jobs_from_1_ms_to_10_min() -> None:
    assert BOUNDS_S[0] == 0.001
    assert BOUNDS_S[-1] == 600
    assert list(BOUNDS_S) == sorted(BOUNDS_S)


@given(st.lists(st.tuples(st.sampled_from(TIMED), st.floats(0, 10_000_000)), max_size=50))
def test_buckets_count_and_sum_agree(runs: list[tuple[str, float]]) -> None:
    counting = Counting()
    counting.bus.emit(ProcessorChanged("work", "ready"))
    for outcome, ms in runs:
        counting.emit(outcome, ms=ms)
    samples = counting.samples()
    for histogram in ("auth_worker_job_duration_seconds", "auth_worker_job_wait_seconds"):
        edges = [value(samples, f"{histogram}_bucket", queue="work", le=str(edge)) for edge in (*BOUNDS_S, "+Inf")]
        assert edges == sorted(edges)
        assert edges[-1] == value(samples, f"{histogram}_count", queue="work") == len(runs)
    seconds = sum(ms for _, ms in runs) / 1000
    assert value(samples, "auth_worker_job_duration_seconds_sum", queue="work") == pytest.approx(seconds)


def test_the_metrics_are_valid_openmetrics_too() -> None:
    counting = Counting()
    for outcome in EVENTS:
        counting.emit(outcome)
    text = openmetrics.generate_latest(counting.registry, version="1.0.0").decode()  # type: ignore[no-untyped-call]
    parse: Any = openmetrics_parser.text_string_to_metric_families
    assert {family.name for family in parse(text)} == {
        "auth_worker_jobs",
        "auth_worker_lease_lost",
        "auth_worker_resources_ended",
        "auth_worker_job_duration_seconds",
        "auth_worker_job_wait_seconds",
    }


def test_labels_are_the_queue_and_the_outcome_whatever_jobs_are_called() -> None:
    counting = Counting()
    for number in range(1000):
        counting.bus.emit(JobCompleted("work", str(number), f"name {number}", 1, 1, 1))
    samples = counting.samples()
    assert {label for _, labels in samples for label, _ in labels} == {"queue", "outcome", "le"}
    assert len(samples) < 60


def test_queues_have_their_own_counts_and_their_names_are_escaped() -> None:
    counting = Counting()
    strange = 'a"b\\c\nd'
    counting.emit("completed", queue=strange)
    counting.emit("completed", queue="work")
    counting.emit("completed", queue="work")
    samples = counting.samples()
    assert value(samples, "auth_worker_jobs_total", queue=strange, outcome="completed") == 1
    assert value(samples, "auth_worker_jobs_total", queue="work", outcome="completed") == 2


def test_a_scrape_from_another_thread_during_load_sees_numbers_that_only_grow() -> None:
    counting = Counting()
    counting.emit("completed")
    seen: list[float] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            seen.append(value(counting.samples(), "auth_worker_jobs_total", queue="work", outcome="completed"))

    scraping = threading.Thread(target=scrape)
    scraping.start()
    for number in range(20_000):
        counting.emit(("completed", "delayed")[number % 2])
    done.set()
    scraping.join()
    assert seen == sorted(seen)
    assert value(counting.samples(), "auth_worker_jobs_total", queue="work", outcome="completed") == 10_001
