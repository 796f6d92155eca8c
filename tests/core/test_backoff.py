"""How long a failed job waits, by the rules of BullMQ's Backoffs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bullmq.backoffs import Backoffs
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.core.backoff import LONGEST_DELAY, NO_RETRY, backoff_ms

delays = st.integers(0, 10**7)
attempts = st.integers(1, 900)


def official(backoff: Any, attempt: int) -> int:
    """Return the delay that BullMQ's own worker would use."""
    rule = Backoffs.builtin_strategies[backoff["type"]](backoff["delay"])
    return int(rule(attempt, backoff["type"], None, None))


@given(kind=st.sampled_from(["fixed", "exponential"]), delay=delays, attempt=attempts)
def test_the_delay_is_that_of_bullmq(kind: str, delay: int, attempt: int) -> None:
    backoff = {"type": kind, "delay": delay}
    assert backoff_ms(backoff, attempt) == min(official(backoff, attempt), LONGEST_DELAY)


@given(delay=delays, attempt=attempts)
def test_a_number_is_a_fixed_delay(delay: int, attempt: int) -> None:
    assert backoff_ms(delay, attempt) == delay


@given(kind=st.sampled_from(["fixed", "exponential"]), delay=delays, jitter=st.floats(0, 1), attempt=attempts)
def test_jitter_spreads_the_delay_downwards_within_its_share(
    kind: str, delay: int, jitter: float, attempt: int
) -> None:
    full = official({"type": kind, "delay": delay}, attempt)
    waited = backoff_ms({"type": kind, "delay": delay, "jitter": jitter}, attempt)
    assert math.floor(min(full, LONGEST_DELAY) * (1 - jitter)) - 1 <= waited <= full


def test_jitter_spreads_delays() -> None:
    waits = {backoff_ms({"type": "fixed", "delay": 1000, "jitter": 1}, 1) for _ in range(50)}
    assert len(waits) > 10


@pytest.mark.parametrize("backoff", [None, False, 0, 0.0, "", "0", {}, {"delay": 0}, {"type": "exponential"}])
@pytest.mark.parametrize("attempt", [1, 10, 5000])
def test_no_backoff_means_no_delay(backoff: Any, attempt: int) -> None:
    assert backoff_ms(backoff, attempt) == 0


@given(delay=st.integers(1, 10**300), attempt=st.integers(1, 10**6))
def test_no_delay_is_longer_than_the_scripts_can_add_to_a_time(delay: int, attempt: int) -> None:
    assert 0 < backoff_ms({"type": "exponential", "delay": delay}, attempt) <= LONGEST_DELAY


whatever = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "delay", "jitter", "x"]), inner, max_size=4)
    ),
    max_leaves=6,
)


@given(backoff=whatever, attempt=st.integers(-5, 5000))
@example(backoff=10**400, attempt=1)
@example(backoff={"delay": 10**400}, attempt=1)
@example(backoff={"type": ["fixed"], "delay": 1}, attempt=1)
def test_anything_else_is_a_delay_or_a_value_error(backoff: Any, attempt: int) -> None:
    try:
        waited = backoff_ms(backoff, attempt)
    except ValueError:
        return
    assert type(waited) is int
    assert waited == NO_RETRY or 0 <= waited <= LONGEST_DELAY


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        ("50", [50, 50, 50]),
        ({"type": "fixed", "delay": "50"}, [50, 50, 50]),
        ({"type": "exponential", "delay": " 50 "}, [50, 100, 200]),
        ({"type": "fixed", "delay": "5e1"}, [50, 50, 50]),
        ({"type": "fixed", "delay": None}, [0, 0, 0]),
        ({"type": "fixed", "delay": -5}, [0, 0, 0]),
        ({"type": "fixed", "delay": -1}, [NO_RETRY] * 3),
        ({"type": "fixed", "delay": 50, "jitter": "none"}, [50, 50, 50]),
        ({"type": "fixed", "delay": 50, "jitter": -1}, [50, 50, 50]),
        (10**400, [LONGEST_DELAY] * 3),
    ],
)
def test_what_node_coerces_is_read(backoff: Any, waits: list[int]) -> None:
    assert [backoff_ms(backoff, attempt) for attempt in (1, 2, 3)] == waits


@pytest.mark.parametrize("jitter", ["0.5", 0.5])
def test_a_jitter_that_came_as_a_text_spreads(jitter: Any) -> None:
    waits = {backoff_ms({"type": "fixed", "delay": "1000", "jitter": jitter}, 1) for _ in range(50)}
    assert len(waits) > 10
    assert min(waits) >= 500


@pytest.mark.parametrize(
    ("backoff", "complaint"),
    [
        (True, "backoff is a bool"),
        ("soon", "backoff.delay"),
        ([], "backoff is a list"),
        (math.nan, "backoff.delay"),
        ({"delay": "soon"}, "backoff.delay"),
        ({"delay": {}}, "backoff.delay"),
        ({"type": "custom", "delay": 5}, "backoff.type 'custom'"),
    ],
)
def test_an_invalid_backoff_is_refused_by_name(backoff: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        backoff_ms(backoff, 1)
