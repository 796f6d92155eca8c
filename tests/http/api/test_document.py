"""The OpenAPI document, asked of a running service with whatever it allows, and with what it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from support.admin_api import ADMIN, service_at
from support.processors import DEAD, QUEUE, Harness, eventually

HEADERS = {"Authorization": f"Bearer {ADMIN}", "X-Auth-Worker": "1"}
EXAMPLES = 5
SEED = 20


@pytest.fixture
def address(redis_url: str) -> Iterator[str]:
    """Where a service answers that has jobs in every state; it runs in a thread of its own."""
    ready, done = threading.Event(), threading.Event()
    ports: list[int | None] = []

    async def serve() -> None:
        harness = Harness(redis_url)
        async with service_at(redis_url) as service:
            await harness.jobs.add_bulk({"name": name, "data": {"n": 1}} for name in ("good", "bad", "bad"))
            await harness.jobs.add("late", {}, job_id="late", delay=600_000)
            await eventually(lambda: finished(harness), "the jobs have finished")
            ports.append(service.http_port)
            ready.set()
            await asyncio.to_thread(done.wait)
        await harness.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{ports[0]}"
    done.set()
    thread.join()


async def finished(harness: Harness) -> bool:
    counts = await harness.counts()
    return counts["completed"] + counts["failed"] == 3


def aim(case: Any) -> None:
    """Ask for what is there."""
    there = {"queue": DEAD if "letter_id" in case.path_parameters else QUEUE, "job_id": "late"}
    case.path_parameters |= {name: there[name] for name in case.path_parameters.keys() & there.keys()}


@pytest.mark.timeout(120)
def test_nothing_the_document_allows_or_forbids_ends_in_a_5xx(address: str) -> None:
    import schemathesis  # here, as it takes long and most runs need other tests
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi import checks

    rules = [
        *(not_a_server_error, checks.status_code_conformance),
        *(checks.content_type_conformance, checks.response_schema_conformance),
    ]
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json", headers=HEADERS)
    asked = 0
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr] # an Err raises, which is what it should
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(SEED)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                if asked % 2:
                    aim(case)
                case.call_and_validate(headers=HEADERS, checks=rules)

            ask()
    assert asked > 100
