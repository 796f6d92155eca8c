"""The OpenTelemetry metrics: how runs ended, and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from auth_worker import Job
from auth_worker.events import EventBus, JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost, OutcomeName
from auth_worker.observability.duration_buckets import BOUNDS_S
from auth_worker.observability.telemetry.meters import Meters
from support.processors import Harness, eventually
from support.telemetry_capture import Traces, measuring

EVENTS: dict[str, Callable[[], Any]] = {
    "completed": lambda: JobCompleted("work", "1", "secret-name", 1, 20.0, 0),
    "retried": lambda: JobRetried("work", "1", "secret-name", 1, 20.0, 0, 10, "boom", "", OSError("boom")),
    "failed": lambda: JobFailed("work", "1", "secret-name", 3, 20.0, 0, "boom", "exhausted", "", "", OSError()),
    "delayed": lambda: JobMoved("work", "1", "secret-name", 1, 20.0, OutcomeName.DELAYED, ""),
    "lost": lambda: LeaseLost("work", "1", "secret-name", 1, 20.0),
}
TIMED = ("completed", "retried", "failed")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """The reader of the application's meter provider."""
    with measuring(monkeypatch) as kept:
        yield kept


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    """Return the data points of the metric ``name`` so far."""
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


@pytest.mark.parametrize("outcome", EVENTS)
def test_every_way_a_run_ends_is_counted_by_its_outcome(reader: InMemoryMetricReader, outcome: str) -> None:
    bus = EventBus()
    Meters().attach(bus)
    for _ in range(3):
        bus.emit(EVENTS[outcome]())
    (counted,) = points(reader, "auth_worker.jobs")
    assert counted.value == 3
    assert counted.attributes["auth_worker.outcome"] == outcome
    assert counted.attributes["messaging.destination.name"] == "work"
    assert "secret-name" not in str(dict(counted.attributes))
    timed = points(reader, "messaging.process.duration")
    assert len(timed) == (outcome in TIMED)
    if timed:
        assert (timed[0].count, round(timed[0].sum, 6)) == (3, 0.06)
        assert timed[0].explicit_bounds == BOUNDS_S


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (EVENTS["retried"](), "OSError"),
        (EVENTS["retried"]()._replace(error=None), "_OTHER"),
        (EVENTS["failed"](), "OSError"),
        (EVENTS["failed"]()._replace(error=None), "exhausted"),
        (EVENTS["completed"](), None),
    ],
)
def test_the_kind_of_error_is_an_attribute(reader: InMemoryMetricReader, event: Any, kind: str | None) -> None:
    bus = EventBus()
    Meters().attach(bus)
    bus.emit(event)
    (counted,) = points(reader, "auth_worker.jobs")
    assert counted.attributes.get("error.type") == kind


async def test_a_worker_measures_its_jobs(harness: Harness, traces: Traces, reader: InMemoryMetricReader) -> None:
    async def consumer(job: Job) -> None:
        return None

    await harness.processor(consumer)
    await harness.jobs.add_bulk({"name": "job", "data": {}} for _ in range(5))
    await harness.settled(5)
    await eventually(lambda: [point.count for point in points(reader, "messaging.process.duration")] == [5])
