"""A prepared call adds what the official builder would add."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.brokers.redis.additions import Additions
from auth_worker.core.json_codec import encode_json
from auth_worker.errors import ConfigurationError

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "attempts": st.integers(0, 1000),
        "backoff": st.one_of(st.integers(0, 10_000), st.just({"type": "exponential", "delay": 100})),
        "delay": st.integers(0, 10_000),
        "priority": st.integers(0, 2**21 - 1),
        "lifo": st.booleans(),
        "removeOnComplete": st.one_of(st.booleans(), st.integers(0, 10), st.just({"age": 60, "count": 5})),
        "keepLogs": st.integers(0, 10),
    },
)


@pytest.fixture(scope="module")
def additions() -> Additions:
    return Additions("bull", "mail%d{tag}")


@given(
    options=OPTIONS,
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    data=st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=20))),
    timestamp=st.integers(1, 2**53 - 1),
)
def test_a_frame_gives_the_builders_own_call(
    additions: Additions, options: dict[str, Any], name: str, data: dict[str, Any], timestamp: int
) -> None:
    job = name, encode_json(data), "a-1", timestamp
    kind, content = additions.frame(options).call(job)
    command = content if kind is None else kind.alone(content)
    assert (None, command) == additions.call(job, options)


def test_options_that_exclude_each_other_are_refused_as_options(additions: Additions) -> None:
    with pytest.raises(ConfigurationError, match=r"job options.*failParentOnFailure"):
        additions.frame({"failParentOnFailure": True, "ignoreDependencyOnFailure": True})
