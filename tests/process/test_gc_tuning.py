"""How often cycles are collected follows what collections find."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from auth_worker.process.gc_tuning import MIDDLE, MOST_YOUNG, OLD, YOUNG, adapt_threshold, tune_gc


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks[:] = callbacks
    gc.unfreeze()


def _end_collection(collected: int, generation: int = 0) -> int:
    adapt_threshold("stop", {"generation": generation, "collected": collected, "uncollectable": 0})
    return gc.get_threshold()[0]


def test_collections_in_vain_become_rarer_within_a_bound() -> None:
    young = [_end_collection(0) for _ in range(10)]
    assert young == sorted(young)
    assert young[0] > YOUNG
    assert young[-1] == MOST_YOUNG


def test_garbage_makes_collections_as_frequent_as_at_first() -> None:
    while _end_collection(0) < MOST_YOUNG:
        pass
    assert _end_collection(MOST_YOUNG // 2) == YOUNG


def test_a_collection_that_an_application_asks_for_changes_nothing() -> None:
    assert _end_collection(0, generation=2) == YOUNG


@pytest.mark.parametrize("thresholds", [(0, MIDDLE), (700, MIDDLE), (50_000, 10)])
def test_thresholds_of_an_application_stay(thresholds: tuple[int, int]) -> None:
    gc.set_threshold(*thresholds)
    assert _end_collection(0) == thresholds[0]


def test_tuning_twice_watches_collections_once() -> None:
    tune_gc()
    tune_gc()
    assert gc.callbacks.count(adapt_threshold) == 1
