"""Searches the jobs of all queues, so many at a time, from wherever the search before stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from auth_worker.admin.job_queries import JobQueries
from auth_worker.admin.models import JobRow
from auth_worker.admin.search_query import SearchQuery
from auth_worker.admin.selection import PAGE, STATES_BY_INTEREST
from auth_worker.core.camel_model import CamelModel

SEARCH_S = 2.0
"""How long (s) a search goes on before it offers to be continued."""
LOOKED_AT = 2500
"""How many jobs it looks at, which costs Redis less than 50 ms."""
STEP = 500
"""How many jobs of a queue are looked at before the time is checked again."""
Counts = Mapping[str, Mapping[str, int]]
"""The number of jobs of each queue, by state."""


class Place(NamedTuple):
    """Where a search goes on: at a job of a state of a queue. Its text is ``queue:state:offset``."""

    queue: str
    state: str
    offset: int

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Return the place that ``text`` says; None if it says none."""
        queue, _, rest = text.partition(":")
        state, _, offset = rest.partition(":")
        if state not in STATES_BY_INTEREST or not (offset.isascii() and offset.isdecimal() and len(offset) < 10):
            return None
        return cls(queue, state, int(offset))

    def __str__(self) -> str:
        return f"{self.queue}:{self.state}:{self.offset}"


class FoundJob(CamelModel):
    """A job that was found, and its queue."""

    queue: str
    job: JobRow


class SearchPage(CamelModel):
    """What a search found. It has looked at ``looked_at`` of ``total`` jobs since its first page.

    ``next_place`` is where it goes on (``Place``); None at the end.
    """

    jobs: list[FoundJob]
    looked_at: int
    total: int
    next_place: str | None = None


async def search_jobs(
    jobs: JobQueries,
    query: SearchQuery,
    counts: Counts,
    start: Place | None = None,
    *,
    limit: int = PAGE,
    scan: int = LOOKED_AT,
) -> SearchPage:
    """Return ``limit`` jobs that match, queue by queue and the states of most interest first, from ``start`` on.

    ``counts`` are those of all queues, which may be a little old. Looks at ``scan`` jobs at most, or as many as it
    can in ``SEARCH_S``; a job whose id is known is looked up instead. May raise ``BrokerError``.
    """
    if query.job_id is not None:
        found = await _look_up(jobs, query, query.job_id, [name for name in counts if query.matches_queue(name)])
        return SearchPage(jobs=found, looked_at=len(found), total=len(found))
    places = [
        Place(name, state, 0)
        for name in sorted(counts)
        if query.matches_queue(name)
        for state in query.states
        if counts[name][state]
    ]
    total = sum(counts[place.queue][place.state] for place in places)
    left = [place for place in places if start is None or _order(place) >= _order(start)]
    looked_at = total - sum(counts[place.queue][place.state] for place in left)
    if start is not None and left and left[0][:2] == start[:2]:
        left[0], looked_at = start, looked_at + start.offset
    return await _search(jobs, query, left, SearchPage(jobs=[], looked_at=looked_at, total=total), limit, scan)


async def _search(
    jobs: JobQueries, query: SearchQuery, places: Sequence[Place], page: SearchPage, limit: int, scan: int
) -> SearchPage:
    """Continue ``page`` at ``places``."""
    deadline = time.monotonic() + SEARCH_S
    found, seen = list(page.jobs), 0
    for place in places:
        offset: int | None = place.offset
        while offset is not None:
            if len(found) >= limit or seen >= scan or time.monotonic() > deadline:
                there = str(place._replace(offset=offset))
                return page.model_copy(
                    update={"jobs": found, "looked_at": page.looked_at + seen, "next_place": there}
                )
            some = await jobs.page(
                place.queue,
                place.state,
                query.filter,
                offset=offset,
                limit=limit - len(found),
                scan=min(STEP, scan - seen),
            )
            found += [FoundJob(queue=place.queue, job=job) for job in some.jobs]
            seen += some.scanned
            offset = some.next_offset
    return page.model_copy(update={"jobs": found, "looked_at": page.looked_at + seen})


async def _look_up(jobs: JobQueries, query: SearchQuery, job_id: str, queues: Sequence[str]) -> list[FoundJob]:
    found = await asyncio.gather(*(jobs.find(name, job_id, query.filter) for name in queues))
    return [
        FoundJob(queue=name, job=job)
        for name, job in zip(queues, found, strict=True)
        if job is not None and query.state in (None, job.state)
    ]


def _order(place: Place) -> tuple[str, int]:
    return place.queue, STATES_BY_INTEREST.index(place.state)
