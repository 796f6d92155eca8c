"""An operator on the test's server, and jobs that finish or die there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker import Job, UnrecoverableError
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from support.operators import operations_on
from support.processors import Harness


@pytest.fixture
def changes() -> list[Change]:
    """What was told of the changes."""
    return []


@pytest.fixture
async def operations(harness: Harness, changes: list[Change]) -> AsyncIterator[Operations]:
    """An operator on the harness's server."""
    async with operations_on(harness.url, record=changes.append) as operations:
        yield operations


async def failing(job: Job) -> None:
    await job.log(f"trying {job.name}, password: hunter2")
    raise UnrecoverableError("broken, password: hunter2")


async def finishing(job: Job) -> int:
    return 1


async def die(harness: Harness, count: int, **options: Any) -> list[str]:
    """Let ``count`` jobs die."""
    processor = await harness.processor(failing, **options)
    ids = await harness.jobs.add_bulk({"name": "n", "data": {"n": n}} for n in range(count))
    await harness.settled(count)
    await processor.close()
    return list(ids)
