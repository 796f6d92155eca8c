"""The sampler looks once for all who have a page open."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from auth_worker.admin.models import Diagnosis
from auth_worker.http.dashboard import sampler
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.sampler import Sampler


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
