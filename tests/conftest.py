"""The server all tests share; a test that stops or freezes its server starts one of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from servers import Server
from telemetry_side import Traces, tracing
from workers import Desk

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")  # how fast it is is no property of what is tried

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop, or production's where ``AUTH_TEST_LOOP`` says so: ``make redis`` does."""
    chosen = os.environ.get("AUTH_TEST_LOOP", "asyncio")
    return {chosen: LOOPS[chosen]}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole run. Leave it running, thawed and with its configuration unchanged."""
    with Server() as running:
        yield running


@pytest.fixture
def redis_url(server: Server) -> str:
    """The address of the shared server, emptied."""
    server.flush()
    return server.url


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    """A queue on the session's server, empty; its processors are stopped afterwards."""
    desk = Desk(redis_url)
    yield desk
    await desk.close()


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """What the application's tracer provider gets; without this fixture there is none."""
    with tracing(monkeypatch) as kept:
        yield kept
