"""A cached value is never older than a change that its owner knows of."""

from __future__ import annotations

import asyncio
import itertools

from auth_worker.http.caching import TimedCache


async def test_what_is_asked_for_during_a_change_is_not_kept() -> None:
    numbers = itertools.count(1)
    go_on = asyncio.Event()

    async def ask() -> int:
        number = next(numbers)
        await go_on.wait()
        return number

    cache = TimedCache(ask, 3600.0)
    first = asyncio.create_task(cache.get())
    await asyncio.sleep(0)
    cache.forget()
    go_on.set()
    assert await first == 1
    assert [await cache.get(), await cache.get()] == [2, 2]
    cache.forget()
    assert await cache.get() == 3
