"""Histories: their size is bounded, their percentiles close, and what is not theirs is not read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.core.history import (
    CLASSES,
    MINUTE_MS,
    SPANS,
    Bucket,
    classes_of,
    percentile,
    series,
)

NOW = 1_800_000_123_456
HOUR = SPANS["hour"]


@given(st.lists(st.integers(0, 2**23), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_off_by_no_more_than_its_class(times: list[int], share: float) -> None:
    exact = next(time for rank, time in enumerate(sorted(times), 1) if rank >= share * len(times))
    estimated = percentile(classes_of(times), share)
    assert estimated is not None
    assert exact // 2 <= estimated <= max(2 * exact, 1)


def test_without_jobs_there_is_no_percentile() -> None:
    assert percentile((), 0.5) is None
    assert percentile(classes_of([]), 0.99) is None


def test_times_without_an_end_are_in_the_last_class() -> None:
    assert classes_of([10**18]) == (0,) * (CLASSES - 1) + (1,)
    assert classes_of([-5, 0, 1]) == (3,)


def test_buckets_are_put_together() -> None:
    one = Bucket(7, done=1, failed=2, oldest_ms=30, waiting=4, active=1, waits=(1,), runs=(0, 2))
    other = Bucket(9, done=10, oldest_ms=50, waiting=3, active=2, waits=(1, 1))
    assert one.with_added(other) == Bucket(7, 11, 2, 50, 4, 2, (2, 1), (0, 2))
    assert one.beside(other) == Bucket(7, 11, 2, 50, 7, 3, (2, 1), (0, 2))
    assert Bucket(7).is_empty
    assert not one.is_empty
    assert Bucket.decoded(one.encoded()) == one


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "[1,2,3,4,5,6,7,8]", '["x",1,1,1,1,1,[],[]]', f"[1,1,1,1,1,1,[{'1,' * CLASSES}1],[]]"],
)
def test_what_is_no_bucket_is_not_read(text: str) -> None:
    assert Bucket.decoded(text) is None


def test_a_series_has_every_bucket_of_its_span_and_none_of_the_turn_before() -> None:
    stored = {
        HOUR.slot_of(NOW): Bucket(HOUR.start_of(NOW), done=1).encoded(),
        HOUR.slot_of(NOW - 5 * MINUTE_MS): Bucket(HOUR.start_of(NOW) - 5 * MINUTE_MS, done=2).encoded(),
        HOUR.slot_of(NOW - 9 * MINUTE_MS): Bucket(HOUR.start_of(NOW) - 69 * MINUTE_MS, done=4).encoded(),
    }
    found = series(HOUR, stored, NOW)
    assert len(found) == 60
    assert [bucket.done for bucket in found if bucket.done] == [2, 1]
    assert found[-1].start == HOUR.start_of(NOW)
    assert {later.start - earlier.start for earlier, later in pairwise(found)} == {MINUTE_MS}


def test_the_history_of_a_queue_takes_32_kb_and_never_more_than_140() -> None:
    fullest = Bucket(NOW, *(10**9,) * 5, (10**5,) * CLASSES, (10**5,) * CLASSES)
    assert sum(span.buckets for span in SPANS.values()) * len(fullest.encoded()) < 140_000
    usual = Bucket(NOW, 84_000, 120, 41_000, 312, 40, (0, 0, 20, 20, 9, 1), (0, 0, 0, 0, 3, 40, 7))
    assert sum(span.buckets for span in SPANS.values()) * len(usual.encoded()) < 32_000
