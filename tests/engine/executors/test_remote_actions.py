"""A job in a worker process reaches its queue as one in a thread does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from auth_worker.engine.executors import Executor, ProcessExecutor
from auth_worker.errors import BrokerError, LeaseLostError
from auth_worker.job import BlockingActions, Job
from support import process_consumers
from support.factories import a_job


class Actions:
    """Records what a job fetch_next for; raises ``error`` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self.error = error
        self.rows: list[str] = []
        self.done: list[Any] = []

    async def add_log(self, job: Job, row: str) -> int:
        """Keep the row."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.rows.append(row)
        return len(self.rows)

    async def update_progress(self, job: Job, value: Any) -> None:
        """Note it."""
        self.done.append(value)

    async def extend_lease(self, job: Job) -> None:
        """Note the token, which the worker process does not have."""
        self.done.append(job.token)

    async def children_values(self, job: Job) -> dict[str, Any]:
        """A value."""
        return {"bull:work:1": [1]}

    async def children_failures(self, job: Job) -> dict[str, str]:
        """A failure."""
        return {"bull:work:2": "no"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """One process for all tests of this file."""
    executor = ProcessExecutor(process_consumers.ask_queue, 1)
    yield executor
    executor.close()


async def run(pool: Executor, data: Any, actions: Actions) -> Any:
    return await asyncio.wait_for(asyncio.ensure_future(pool(a_job(data, actions=actions, token="t:1"))), 30)


async def test_a_process_logs_reports_progress_renews_its_lease_and_reads_its_children(pool: Executor) -> None:
    actions = Actions()
    told = await run(pool, {"do": "all"}, actions)
    assert told == [1, {"percent": 50}, {"bull:work:1": [1]}, {"bull:work:2": "no"}, False]
    assert actions.rows == ["half way"]
    assert actions.done == [{"percent": 50}, "t:1"]


async def test_a_coroutine_in_a_process_awaits_the_same(pool: Executor) -> None:
    assert await run(pool, {"do": "await"}, Actions()) == [1, 2]


async def test_threads_of_a_process_ask_at_the_same_time(pool: Executor) -> None:
    actions = Actions()
    assert sorted(await run(pool, {"do": "threads", "rows": 40}, actions)) == list(range(1, 41))
    assert sorted(map(int, actions.rows)) == list(range(40))


@pytest.mark.parametrize("error", [BrokerError("away"), LeaseLostError("lost")])
async def test_what_the_queue_refuses_is_raised_in_the_process(pool: Executor, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        await run(pool, {"do": "log"}, Actions(error))
    assert await run(pool, {"do": "log"}, Actions()) == 1


async def test_what_is_no_json_is_refused_in_the_process(pool: Executor) -> None:
    with pytest.raises(TypeError, match="update_progress takes JSON"):
        await run(pool, {"do": "no JSON"}, Actions())


async def test_a_forked_child_cannot_ask(pool: Executor) -> None:
    actions = Actions()
    assert await run(pool, {"do": "fork"}, actions) == 7
    assert actions.rows == []


async def test_a_run_that_has_ended_cannot_ask_in_the_name_of_the_next(pool: Executor) -> None:
    assert await run(pool, {"do": "keep"}, Actions()) == 1
    actions = Actions()
    with pytest.raises(RuntimeError, match="has ended"):
        await run(pool, {"do": "use kept"}, actions)
    assert actions.rows == []


async def test_actions_that_wait_for_a_loop_are_no_blocking_ones() -> None:
    class Waiting(BlockingActions):
        async def add_log(self, job: Job, row: str) -> int:
            await asyncio.sleep(0)
            return 1

    job = a_job()
    job.attach(Waiting())  # type: ignore[abstract]
    with pytest.raises(RuntimeError, match="awaited an event loop"):
        job.sync.log("row")
