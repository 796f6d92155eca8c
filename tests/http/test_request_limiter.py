"""One caller takes no more than its part, and waits but a moment for it."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.http import request_limiter as module
from auth_worker.http.request_limiter import RequestLimiter


async def test_what_is_above_a_bound_waits_and_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    limiter = RequestLimiter(each=1, most=2)
    assert await limiter.enter("one") == 0
    assert await limiter.enter("one") == 429
    assert await limiter.enter("two") == 0
    assert await limiter.enter("three") == 503
    monkeypatch.setattr(module, "WAIT_S", 10)
    waiting = asyncio.create_task(limiter.enter("one"))
    await asyncio.sleep(0)
    await limiter.leave("one")
    assert await waiting == 0
    assert await RequestLimiter(each=0, most=1, most_waiting=0).enter("two") == 429
