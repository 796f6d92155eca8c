"""A producer in forked children: nothing that was accepted is lost, there or in the parent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from support.embedded_users import nothing_runs
from support.forking import program
from support.polling import wait_until
from support.producer_clients import until_connected, waiting

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
PROGRAM = Path(__file__).parent / "support" / "forked_producers.py"
each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@each_loop
@pytest.mark.parametrize(
    "scenario",
    [
        "in_a_running_loop",
        "by_multiprocessing",
        "between_two_loops",
        "while_a_thread_adds",
        "while_a_result_is_awaited",
        "grandchildren",
        "with_every_lock_held",
    ],
)
def test_every_job_that_was_accepted_is_there(
    scenario: str, loop: str, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    ids = json.loads(program(PROGRAM, scenario, loop, redis_url, str(tmp_path / "state")).stdout)
    assert len(ids) == len(set(ids)), "no id was given twice"
    assert sorted(waiting(redis)) == sorted(ids)
    until_connected(redis, 0)


def test_the_embedded_broker_lives_as_long_as_parent_or_child_uses_it(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    ids = json.loads(program(Path(__file__).parent / "support" / "forked_embedded.py", str(state_dir)).stdout)
    assert len(set(ids)) == 6
    wait_until(lambda: nothing_runs(state_dir), "the broker has outlived its users")
