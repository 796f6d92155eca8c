"""A worker process is replaced for what it leaks, and not for what it has loaded."""

from __future__ import annotations

import os
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
    said = [asked.finds_leak(failed=False) for _ in range(JOBS_PER_CHECK * len(seen))]
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


def test_a_job_that_failed_is_followed_by_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "held", lambda: START)
    asked = LeakDetector()
    assert not asked.finds_leak(failed=True)
    assert not any(asked.finds_leak(failed=False) for _ in range(JOBS_PER_CHECK))
    monkeypatch.setattr(leaks, "held", lambda: START._replace(files=START.files + MORE_FILES + 1))
    assert asked.finds_leak(failed=True)


async def test_a_process_that_can_open_no_more_files_is_replaced_at_once() -> None:
    executor = ProcessExecutor(process_consumers.use_up_files, 1)
    try:
        first = await executor(a_job("tell"))
        with pytest.raises(OSError, match="Too many open files"):
            await executor(a_job("use up"))
        assert await executor(a_job("tell")) != first
    finally:
        executor.close()


def test_files_are_not_counted_where_the_system_does_not_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", missing)
    assert leaks._files() == 0


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
