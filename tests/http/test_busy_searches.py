"""Searches through the data of many jobs hold up no probe, and nobody else who asks."""

from __future__ import annotations

import asyncio

import pytest

from support.admin_api import ADMIN, READER, service_at
from support.failed_jobs import add_failed_jobs
from support.http_requests import Answer, Api, asked
from support.processors import QUEUE, Harness

MANY = 10_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("query", [{"where": "user.id=nobody"}, {"where": "user.id=nobody", "groupBy": "error"}])
async def test_probes_are_answered_during_six_searches(harness: Harness, query: dict[str, str]) -> None:
    async with service_at(harness.url) as service:
        await add_failed_jobs(harness, MANY)
        apis = [Api(service.http_port, token) for token in (ADMIN, READER)] * 3
        path = f"/queues/{QUEUE}/jobs"
        searches = [asyncio.create_task(api.get(path, state="failed", **query)) for api in apis]
        answered = 0
        while not all(search.done() for search in searches):
            statuses = [(await asked(service.http_port, probe)).status for probe in ("/livez", "/readyz")]
            assert statuses == [200, 200]
            answered += not all(search.done() for search in searches)
            await asyncio.sleep(0.05)
        answers: list[Answer] = await asyncio.gather(*searches)
        assert answered >= 5, "the probes waited for the searches"
        assert {answer.status for answer in answers} <= {200, 429, 503}
        found = [answer.json for answer in answers if answer.status == 200]
        assert found
        assert all(page["scanned"] == MANY for page in found)
