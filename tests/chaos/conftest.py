"""Real servers and real worker processes; each test gets a stage with both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.stage import Stage
from chaos.supervisor import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the worker processes of the run come from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
async def stage(nursery: Nursery, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on the shared server; whoever kills the server wants one of its own."""
    async with Stage(nursery, tmp_path, redis_url) as stage:
        yield stage
