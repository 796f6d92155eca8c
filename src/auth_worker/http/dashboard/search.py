"""The search through the jobs of all queues."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from auth_worker.admin.job_conditions import literal_pattern
from auth_worker.admin.search import Counts, Place, SearchPage, search_jobs
from auth_worker.admin.search_query import QUALIFIERS, SearchQuery, parse_query
from auth_worker.admin.selection import JobFilter
from auth_worker.core.config_errors import nearest
from auth_worker.errors import ConfigurationError
from auth_worker.http.dashboard.jobs import ACTIONS
from auth_worker.http.dashboard.visit import LONGEST, PAGE, Visit


async def show_search(visit: Visit) -> Response:
    """Show the jobs that are searched for, and the queues whose name contains the text.

    A text that is no query is looked up as it is, since an id may have any character.
    """
    given = visit.asked("q").strip()[:LONGEST]
    query, fault = _read(given)
    found = SearchPage(jobs=[], looked_at=0, total=0)
    counts: Counts = {}
    queues: list[str] = []
    looked_at = 0
    if given:
        counts = {queue.name: queue.counts for queue in (await visit.sampler.overview()).queues}
        looked_at = len(counts)
        start = Place.of(visit.asked("from"))
        found = await search_jobs((await visit.operations()).jobs, query, counts, start, limit=PAGE)
        if query.is_id:
            queues = [name for name in sorted(counts) if query.text.casefold() in name.casefold()][:PAGE]
        elif query.queue is not None and not any(map(query.matches_queue, counts)):
            fault = f"there is no queue {query.queue!r:.80}{nearest(query.queue, counts)}"
    bulk = _bulk_of(query, counts)
    return visit.page(
        "search.html",
        actions=ACTIONS.get(bulk.get("state", ""), ()),
        bulk=bulk,
        fault="" if found.jobs or queues else fault,
        found=found,
        looked_at=looked_at,
        qualifiers=QUALIFIERS,
        queues=queues,
        query=query,
        wanted=given,
    )


def _bulk_of(query: SearchQuery, counts: Counts) -> dict[str, Any]:
    """Return the fields of a form that selects all jobs that match, in every page of the search.

    There are some only if the query names a state, and one queue alone matches it.
    """
    searched = [name for name in counts if query.matches_queue(name)] if query.queue is not None else []
    if len(searched) != 1 or query.state is None:
        return {}
    wanted = query.filter
    fields = {
        "queue": searched[0],
        "state": query.state,
        "id": wanted.id,
        "name": wanted.name,
        "error": wanted.text,
        "worker": wanted.worker,
        "olderThan": wanted.older_than,
        "newerThan": wanted.newer_than,
        "where": [str(condition) for condition in wanted.where],
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _read(given: str) -> tuple[SearchQuery, str]:
    """Return the query, and why it is none."""
    try:
        return parse_query(given), ""
    except ConfigurationError as error:
        return SearchQuery(text=given, filter=JobFilter(id=literal_pattern(given))), str(error)
