"""A job that closes or replaces a standard stream of its process spoils no later job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker.engine.executors import ProcessExecutor
from support import process_consumers
from support.factories import a_job


@pytest.fixture
async def executor() -> AsyncIterator[ProcessExecutor]:
    made = ProcessExecutor(process_consumers.spoil_streams, 1)
    yield made
    made.close()


async def process_of(executor: ProcessExecutor, data: Any) -> int:
    """The process that ran a job with ``data``."""
    try:
        return int(await asyncio.wait_for(executor(a_job(data)), 30))
    except ValueError as error:
        return int(str(error))


@pytest.mark.parametrize(
    ("way", "number"), [("close", 0), ("close and open", 1), ("redirect", 2), ("close and raise", 2)]
)
async def test_a_process_whose_streams_a_job_has_spoiled_gets_no_other_job(
    executor: ProcessExecutor, tmp_path: Path, way: str, number: int
) -> None:
    spoiled = await process_of(executor, {way: number, "path": str(tmp_path / "file")})
    assert await process_of(executor, {}) != spoiled


async def test_a_process_whose_streams_are_as_they_were_goes_on(executor: ProcessExecutor) -> None:
    assert await process_of(executor, {}) == await process_of(executor, {})
