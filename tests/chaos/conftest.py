"""Real servers and real worker processes; each test gets a harness with both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.harness import ChaosHarness
from chaos.worker_pool import ForkServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Where the worker processes of the run come from."""
    fork_server = ForkServer()
    yield fork_server
    fork_server.close()


@pytest.fixture
async def harness(fork_server: ForkServer, redis_url: str, tmp_path: Path) -> AsyncIterator[ChaosHarness]:
    """A harness on the shared server; whoever kills the server wants one of its own."""
    async with ChaosHarness(fork_server, tmp_path, redis_url) as harness:
        yield harness
