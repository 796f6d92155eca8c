"""What a processor reports of itself has the reference's shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auth_worker.report import Metrics, ProcessorHealth, QueueMetrics, ServiceHealth, Tally

REFERENCE_METRICS = {
    "processed": 1250,
    "completed": 1200,
    "failed": 50,
    "active": 5,
    "averageProcessingTime": 245,
    "successRate": 96,
    "failureRate": 4,
}


def tally(completed: int = 0, failed: int = 0, total_ms: float = 0.0) -> Tally:
    counted = Tally()
    counted.completed, counted.failed, counted.total_ms = completed, failed, total_ms
    return counted


def part_of(small: dict[str, Any], large: dict[str, Any]) -> bool:
    return small == {key: large.get(key) for key in small}


def test_the_metrics_of_the_reference_come_out_as_it_shows_them() -> None:
    metrics = tally(1200, 50, 1250 * 245).metrics(active=5)
    shown = QueueMetrics(queue_name="emailQueue", metrics=metrics).model_dump(by_alias=True)
    assert set(shown) == {"queueName", "metrics"}
    assert shown["queueName"] == "emailQueue"
    assert part_of(REFERENCE_METRICS, shown["metrics"])


def test_the_health_of_the_reference_comes_out_as_it_shows_it() -> None:
    health = ServiceHealth(
        healthy=True,
        processors=[
            ProcessorHealth(
                healthy=True, queue_name="emailQueue", is_running=True, is_paused=False, metrics=Metrics()
            )
        ],
        database={"healthy": True},
    ).model_dump(by_alias=True)
    assert part_of({"healthy": True, "database": {"healthy": True}}, health)
    [processor] = health["processors"]
    assert part_of({"healthy": True, "queueName": "emailQueue", "isRunning": True, "isPaused": False}, processor)
    assert set(REFERENCE_METRICS) <= set(processor["metrics"])


def test_nothing_processed_is_zero_percent_of_nothing() -> None:
    metrics = Tally().metrics(active=0)
    assert metrics == Metrics()
    assert (metrics.success_rate, metrics.failure_rate, metrics.average_processing_time) == (0, 0, 0)


@given(completed=st.integers(0, 10**9), failed=st.integers(0, 10**9), each=st.floats(0, 10**6))
def test_rates_are_percent_and_the_average_is_ms_a_job(completed: int, failed: int, each: float) -> None:
    processed = completed + failed
    metrics = tally(completed, failed, each * processed).metrics(active=0)
    assert metrics.processed == processed
    if processed:
        assert metrics.success_rate + metrics.failure_rate == pytest.approx(100, abs=0.02)
        assert metrics.average_processing_time == pytest.approx(each, abs=0.01, rel=1e-6)


def test_every_other_counter_is_passed_on() -> None:
    counted = Tally()
    names = ("retried", "delayed", "handed_back", "leases_lost", "dead_lettered")
    for number, name in enumerate(names, 1):
        setattr(counted, name, number)
    assert counted.metrics(active=9).model_dump(include={*names, "active"}) == {
        **dict(zip(names, range(1, 6), strict=True)),
        "active": 9,
    }


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Metrics().failed = 1  # type: ignore[misc]
