"""An asynchronous credential_provider is asked in one event loop, its home, until that ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.brokers.redis.wire.credentials import CredentialSource
from brokers.redis.wire.test_credentials import Asynchronous


@pytest.mark.parametrize("refuses", [True, False])
def test_a_home_that_ends_as_it_is_asked_is_left(refuses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.wire.credentials.HOME_TIMEOUT", 0.05)
    provider = Asynchronous("ann", "t1")
    source = CredentialSource(provider)
    source._home = Ending(refuses)  # type: ignore[assignment]
    assert asyncio.run(asyncio.wait_for(source.get(), 3)) == ("ann", "t1")
    assert len(provider.asked) == 1


class Ending:
    """A loop that runs when it is looked at, and then refuses what it is given, or never begins with it."""

    def __init__(self, refuses: bool) -> None:
        self._looks = iter([True])
        self._refuses = refuses

    def is_running(self) -> bool:
        return next(self._looks, False)

    def call_soon_threadsafe(self, callback: Callable[[], Any]) -> None:
        if self._refuses:
            raise RuntimeError("Event loop is closed")


def test_a_home_that_ends_while_the_provider_thinks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.wire.credentials.HOME_TIMEOUT", 10)
    thinking, at_home = asyncio.Event(), threading.Event()

    class Thinking(Asynchronous):
        async def get_credentials_async(self) -> Any:
            if at_home.is_set() and threading.current_thread() is home:
                thinking.set()
                await asyncio.sleep(60)
            return self.now

    async def begin() -> None:
        await source.get()
        at_home.set()
        await thinking.wait()

    source = CredentialSource(Thinking("ann", "t1"))
    home = threading.Thread(target=asyncio.run, args=(begin(),))
    home.start()
    assert at_home.wait(10)
    assert asyncio.run(asyncio.wait_for(source.get(), 4)) == ("ann", "t1")
    home.join(10)
