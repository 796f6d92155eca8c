"""A job without data, as Node's ``queue.add("nightly")`` or a job scheduler adds it."""

from __future__ import annotations

import pytest

from support.processors import Harness
from support.task_services import add_raw, completed, task_queue, working


@pytest.mark.parametrize("data", [None, {}], ids=["null", "empty"])
async def test_a_job_without_data_calls_a_task_without_arguments(harness: Harness, data: object) -> None:
    queue = task_queue(harness)

    @queue.task
    async def nightly(times: int = 1) -> int:
        return times

    async with working(harness, queue):
        assert await completed(harness, await add_raw(harness, "nightly", data)) == 1
