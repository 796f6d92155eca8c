"""A search through the data of many jobs or dead letters lets others have a turn between two pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from admin.conftest import die
from auth_worker.admin.job_conditions import Condition
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import SMALL_PAGE, DeadLetterFilter, JobFilter
from support.failed_jobs import add_failed_jobs
from support.processors import DEAD, QUEUE, Harness

NOBODY = Condition.of("user.id=nobody")
Search = Callable[[Operations], Awaitable[Any]]
JOBS: list[Search] = [
    lambda operations: operations.jobs.select(QUEUE, "failed", JobFilter(where=(NOBODY,))),
    lambda operations: operations.jobs.page(QUEUE, "failed", JobFilter(where=(NOBODY,))),
    lambda operations: operations.jobs.error_groups(QUEUE, JobFilter(where=(NOBODY,))),
]
DEAD_LETTERS: list[Search] = [
    lambda operations: operations.dead.select(DEAD, DeadLetterFilter(where=(NOBODY,))),
    lambda operations: operations.dead.page(DEAD, DeadLetterFilter(where=(NOBODY,))),
]


async def turns_during(search: Awaitable[Any]) -> int:
    """How many turns of the loop somebody else has until ``search`` ends."""
    searching = asyncio.ensure_future(search)
    turns = 0
    while not searching.done():
        turns += 1
        await asyncio.sleep(0)
    await searching
    return turns


@pytest.mark.parametrize("search", JOBS)
async def test_a_search_through_jobs_lets_others_have_a_turn_between_two_pages(
    harness: Harness, operations: Operations, search: Search
) -> None:
    await add_failed_jobs(harness, 400)
    assert await turns_during(search(operations)) >= 400 / SMALL_PAGE


@pytest.mark.parametrize("search", DEAD_LETTERS)
async def test_a_search_through_dead_letters_lets_others_have_a_turn_between_two_pages(
    harness: Harness, operations: Operations, search: Search
) -> None:
    await die(harness, 100)
    assert await turns_during(search(operations)) >= 100 / SMALL_PAGE
