"""One caller takes no more than its part, and waits but a moment for it."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.admin import throttle as module
from auth_worker.admin.throttle import Throttle


async def test_what_is_above_a_bound_waits_and_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    throttle = Throttle(each=1, most=2)
    assert await throttle.enter("one") == 0
    assert await throttle.enter("one") == 429
    assert await throttle.enter("two") == 0
    assert await throttle.enter("three") == 503
    monkeypatch.setattr(module, "PATIENCE_S", 10)
    waiting = asyncio.create_task(throttle.enter("one"))
    await asyncio.sleep(0)
    await throttle.leave("one")
    assert await waiting == 0
    monkeypatch.setattr(module, "MOST_WAITING", 0)
    assert await throttle.enter("two") == 429
