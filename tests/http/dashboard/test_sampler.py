"""The sampler looks once for all who have a page open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from auth_worker.admin.models import Diagnosis, QueueList
from auth_worker.errors import BrokerUnavailableError
from auth_worker.http.dashboard import sampler
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.sampler import Changes, Sampler


def looking_at(overview: Callable[[], Awaitable[QueueList]]) -> Sampler:
    """A sampler whose queues are what ``overview`` returns."""
    queues = SimpleNamespace(overview=overview)

    async def operations() -> Any:
        return SimpleNamespace(queues=queues)

    return Sampler(cast("Host", SimpleNamespace(operations=operations)))


@pytest.mark.timeout(20)
async def test_a_page_that_opens_when_the_last_one_closes_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "INTERVAL_S", 0.01)
    reads = asyncio.Semaphore(0)

    async def overview() -> QueueList:
        reads.release()
        return QueueList(queues=[], complete=True)

    found = looking_at(overview)
    last = found.changes("one")
    await anext(last)
    await reads.acquire()
    await last.aclose()
    other = found.changes("one")
    await anext(other)
    for _ in range(3):
        assert await anext(other) == Changes([])
    await other.aclose()
    await found.stop()


@pytest.mark.timeout(20)
async def test_while_redis_is_silent_a_page_still_gets_events_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "INTERVAL_S", 0.01)
    monkeypatch.setattr(sampler, "SILENCE_S", 0.05)
    tries = 0

    async def overview() -> QueueList:
        nonlocal tries
        tries += 1
        if tries > 1:
            await asyncio.Event().wait()
        raise BrokerUnavailableError("it is away")

    found = looking_at(overview)
    page = found.changes("one")
    assert await anext(page) == Changes([])
    for _ in range(3):
        assert "it is away" in (await anext(page)).trouble
    await page.aclose()
    await found.stop()


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
