"""The counters of the ledger, and the metrics that are made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.core.report import Metrics
from auth_worker.engine.ledger import Tally


def tally(completed: int = 0, failed: int = 0, total_ms: float = 0.0) -> Tally:
    counted = Tally()
    counted.completed, counted.failed, counted.total_ms = completed, failed, total_ms
    return counted


def test_without_processed_jobs_all_rates_are_zero() -> None:
    metrics = Tally().metrics(active=0)
    assert metrics == Metrics()
    assert (metrics.success_rate, metrics.failure_rate, metrics.average_processing_time) == (0, 0, 0)


@given(completed=st.integers(0, 10**9), failed=st.integers(0, 10**9), each=st.floats(0, 10**6))
def test_rates_are_percentages_and_the_average_is_ms_per_job(completed: int, failed: int, each: float) -> None:
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
