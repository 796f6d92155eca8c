"""A worker process is replaced for what it leaks, and not for what it has loaded."""

from __future__ import annotations

import sys

import pytest

from auth_worker.engine.executors import ProcessExecutor, leaks
from auth_worker.engine.executors.leaks import (
    JOBS_PER_CHECK,
    MORE_BYTES,
    MORE_CHILDREN,
    MORE_FILES,
    MORE_THREADS,
    Held,
    LeakDetector,
)
from support import process_consumers
from support.factories import a_job

MB = 2**20
START = Held(50 * MB, 10, 2, 1)


def looks(monkeypatch: pytest.MonkeyPatch, *seen: Held) -> list[bool]:
    """What is said at each look, when the process holds what was ``seen``."""
    left = iter(seen)
    monkeypatch.setattr(leaks, "held", lambda: next(left))
    asked = LeakDetector()
    said = [asked.finds_leak() for _ in range(JOBS_PER_CHECK * len(seen))]
    assert not any(each for number, each in enumerate(said, 1) if number % JOBS_PER_CHECK)
    return said[JOBS_PER_CHECK - 1 :: JOBS_PER_CHECK]


@pytest.mark.parametrize(
    ("later", "large"),
    [
        (START, False),
        (START._replace(memory=START.memory + MORE_BYTES), False),
        (START._replace(memory=START.memory + MORE_BYTES + 1), True),
        (START._replace(files=START.files + MORE_FILES), False),
        (START._replace(files=START.files + MORE_FILES + 1), True),
        (START._replace(threads=START.threads + MORE_THREADS), False),
        (START._replace(threads=START.threads + MORE_THREADS + 1), True),
        (START._replace(children=START.children + MORE_CHILDREN), False),
        (START._replace(children=START.children + MORE_CHILDREN + 1), True),
    ],
)
def test_growth_since_the_first_look_counts(later: Held, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, START, START, later) == [False, False, large]


def test_a_process_with_a_large_model_may_grow_by_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    large = START._replace(memory=2000 * MB)
    grown = large._replace(memory=3900 * MB)
    assert looks(monkeypatch, large, grown, large._replace(memory=4001 * MB)) == [False, False, True]


async def test_a_process_that_leaves_files_open_is_replaced_before_it_can_open_no_more() -> None:
    executor = ProcessExecutor(process_consumers.leave_files_open, 1)
    try:
        ids = [await executor(a_job(3)) for _ in range(3 * JOBS_PER_CHECK)]
    finally:
        executor.close()
    assert len(set(ids)) == 2
    assert ids.index(ids[-1]) == 2 * JOBS_PER_CHECK


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what has lost its parent")
async def test_a_process_that_has_adopted_many_programs_is_replaced() -> None:
    """Nobody waits for their end, so that what is left of each takes an id."""
    executor = ProcessExecutor(process_consumers.leave_orphans, 1)
    try:
        ids = [await executor(a_job(2)) for _ in range(2 * JOBS_PER_CHECK + 1)]
    finally:
        executor.close()
    assert len(set(ids[:-1])) == 1
    assert ids[-1] != ids[0]
