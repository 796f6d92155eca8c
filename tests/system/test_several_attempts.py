"""Attempts that take long, or fail, do not make those wait that succeed."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.system.several_attempts import wait_for_most


async def succeed() -> None:
    """An attempt that succeeds at once."""


async def fail() -> None:
    """An attempt that fails at once."""
    raise ValueError("no")


@pytest.mark.timeout(10)
async def test_one_that_never_ends_is_waited_for_with_patience_only() -> None:
    attempts = [asyncio.create_task(each) for each in (asyncio.Event().wait(), fail(), succeed())]
    await wait_for_most(attempts, 0.01)
    assert [task.done() for task in attempts] == [False, True, True]
    attempts[0].cancel()
    assert isinstance(attempts[1].exception(), ValueError)


@pytest.mark.timeout(10)
async def test_all_that_succeed_are_waited_for() -> None:
    attempts = [asyncio.create_task(asyncio.sleep(delay)) for delay in (0, 0.02)]
    await wait_for_most(attempts, 5)
    assert all(task.done() for task in attempts)


@pytest.mark.timeout(10)
async def test_if_all_fail_so_does_the_wait() -> None:
    attempts = [asyncio.create_task(fail()) for _ in range(2)]
    with pytest.raises(ValueError, match="no"):
        await wait_for_most(attempts, 5)
    assert isinstance(attempts[1].exception(), ValueError)
