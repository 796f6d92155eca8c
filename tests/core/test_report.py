"""The reports of a processor have the reference's shape."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from auth_worker.core.report import Metrics, ProcessorHealth, QueueMetrics, ServiceHealth

REFERENCE_METRICS = {
    "processed": 1250,
    "completed": 1200,
    "failed": 50,
    "active": 5,
    "averageProcessingTime": 245,
    "successRate": 96,
    "failureRate": 4,
}


def part_of(small: dict[str, Any], large: dict[str, Any]) -> bool:
    return small == {key: large.get(key) for key in small}


def test_the_metrics_have_the_shape_of_the_reference() -> None:
    metrics = Metrics(
        processed=1250,
        completed=1200,
        failed=50,
        active=5,
        average_processing_time=245,
        success_rate=96,
        failure_rate=4,
    )
    shown = QueueMetrics(queue_name="emailQueue", metrics=metrics).model_dump(by_alias=True)
    assert set(shown) == {"queueName", "metrics"}
    assert shown["queueName"] == "emailQueue"
    assert part_of(REFERENCE_METRICS, shown["metrics"])


def test_the_health_has_the_shape_of_the_reference() -> None:
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


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Metrics().failed = 1  # type: ignore[misc]
