"""A search through all queues finds each job that matches once, however often it is interrupted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from auth_worker.admin.operations import Operations
from auth_worker.admin.search import Place, SearchPage, search_jobs
from auth_worker.admin.search_query import parse_query
from support.failed_jobs import add_failed_jobs
from support.processors import QUEUE, Harness


async def counts_of(operations: Operations) -> dict[str, Mapping[str, int]]:
    """The numbers of jobs of all queues."""
    return {queue.name: queue.counts for queue in (await operations.queues.overview()).queues}


async def everything(operations: Operations, query: str, *, limit: int, scan: int) -> list[SearchPage]:
    """Every page of a search."""
    counts = await counts_of(operations)
    pages: list[SearchPage] = []
    start: Place | None = None
    while not pages or start is not None:
        pages.append(await search_jobs(operations.jobs, parse_query(query), counts, start, limit=limit, scan=scan))
        start = Place.of(pages[-1].next_place or "")
    return pages


@pytest.mark.parametrize(("limit", "scan"), [(100, 10_000), (3, 10_000), (100, 7), (1, 1)])
async def test_it_goes_on_where_it_stopped(
    harness: Harness, operations: Operations, limit: int, scan: int
) -> None:
    await add_failed_jobs(harness, 20)
    for number in range(5):
        await harness.jobs.add("welcome", {"user": {"id": 2**60 + number}}, job_id=f"w{number}")
    pages = await everything(operations, "queue:*", limit=limit, scan=scan)
    found = [one.job.id for page in pages for one in page.jobs]
    assert len(found) == len(set(found)) == 25
    assert [page.looked_at for page in pages] == sorted(page.looked_at for page in pages)
    assert {page.total for page in pages} == {25}
    assert pages[-1].looked_at == 25
    assert all(len(page.jobs) <= limit for page in pages)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state:waiting name:wel*", {"w0", "w1", "w2"}),
        (f"data.user.id={2**60 + 1}", {"w1"}),
        (f"queue:{QUEUE} id:w2", {"w2"}),
        ("w2 state:failed", set()),
        ("w2 name:other", set()),
        ("queue:other w2", set()),
        ("w*", {"w0", "w1", "w2"}),
        ("name:welcome older:1h", set()),
        ("name:welcome worker:*", {"w0", "w1", "w2"}),
        ("worker:?", set()),
        ("state:failed name:welcome", set()),
    ],
)
async def test_every_qualifier_narrows_it(
    harness: Harness, operations: Operations, query: str, expected: set[str]
) -> None:
    await add_failed_jobs(harness, 3)
    for number in range(3):
        await harness.jobs.add("welcome", {"user": {"id": 2**60 + number}}, job_id=f"w{number}")
    (page,) = await everything(operations, query, limit=100, scan=10_000)
    assert {one.job.id for one in page.jobs} == expected


@pytest.mark.parametrize("text", ["", "a", "a:failed", "a:failed:-1", "a:nothing:1", "a:failed:²", "a:failed:1:2"])
def test_a_place_that_is_none_is_no_error(text: str) -> None:
    assert Place.of(text) is None
