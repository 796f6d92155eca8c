"""The sampler looks once for all who have a page open."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from auth_worker.admin.models import Diagnosis
from auth_worker.admin.operations import Operations
from auth_worker.http.dashboard import sampler
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.sampler import Sampler
from support.operators import operations_on
from support.processors import Harness


async def test_each_of_many_requests_gets_the_diagnosis_or_none(monkeypatch: Any) -> None:
    monkeypatch.setattr(sampler, "DIAGNOSIS_S", 0.0)
    diagnosis = cast("Diagnosis", object())
    examined = asyncio.Event()

    async def examine() -> Diagnosis:
        await examined.wait()
        return diagnosis

    async def operations() -> Any:
        return SimpleNamespace(doctor=SimpleNamespace(examine=examine))

    found = Sampler(cast("Host", SimpleNamespace(operations=operations)))
    requests = [asyncio.create_task(found.diagnosis())]
    await asyncio.sleep(0)
    examined.set()
    for _ in range(20):  # one comes in each turn of the loop, and the first examination ends in one of them
        requests.append(asyncio.create_task(found.diagnosis()))
        await asyncio.sleep(0)
    assert all(each is diagnosis for each in await asyncio.gather(*requests))
    await found.stop()


async def test_where_finding_the_queues_takes_long_their_names_are_kept_for_a_while(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "LIFETIME_S", -1.0)
    await harness.jobs.add("first", {})
    async with operations_on(harness.url) as operations:

        async def opened() -> Operations:
            return operations

        async def searches(long_s: float) -> int:
            monkeypatch.setattr(sampler, "LONG_SEARCH_S", long_s)
            found = Sampler(cast("Host", SimpleNamespace(operations=opened)))
            await harness.redis.config_resetstat()
            for _ in range(3):
                (queue,) = (await found.overview()).queues
                assert queue.counts["wait"] == 1
            stats = await harness.redis.info("commandstats")
            return int(stats["cmdstat_scan"]["calls"])

        assert await searches(0.0) == 1
        assert await searches(1000.0) == 3
