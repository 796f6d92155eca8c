"""The loop of ``auth-worker run``: no task in it ends it, Ctrl-C does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from auth_worker import JobQueue
from auth_worker.cli import async_runner
from auth_worker.cli.async_runner import run_contained
from support.command_line import Worker
from support.polling import wait_until
from support.servers import Server

APP = """
import asyncio, sys
from auth_worker import WorkerService
service = WorkerService()
async def leave():
    sys.exit(7)
@service.processor("work", worker_config={"attempts": 1})
async def consume(job):
    if job.name == "awaited":
        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
    elif job.name == "alone":
        consume.task = asyncio.create_task(leave())
        await asyncio.sleep(0)
"""


@pytest.fixture(params=["uvloop", "asyncio"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both loops."""
    if request.param == "asyncio":
        monkeypatch.setattr(async_runner, "loop_factory", lambda: None)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_task_that_exits_ends_neither_the_loop_nor_the_tasks_beside_it(error: BaseException) -> None:
    contained: list[BaseException] = []

    async def leave() -> None:
        raise error

    async def work() -> list[int]:
        leaving = asyncio.create_task(leave())
        beside = [asyncio.create_task(asyncio.sleep(0, number)) for number in range(3)]
        await asyncio.wait({leaving})
        assert leaving.exception() is error
        return await asyncio.gather(*beside)

    assert run_contained(work(), contained.append) == [0, 1, 2]
    assert contained == [error]


@pytest.mark.usefixtures("kind")
def test_a_callback_that_exits_does_not_end_it_either() -> None:
    contained: list[BaseException] = []

    async def work() -> int:
        asyncio.get_running_loop().call_soon(sys.exit, 5)
        await asyncio.sleep(0.01)
        return 1

    assert run_contained(work(), contained.append) == 1
    assert [type(error) for error in contained] == [SystemExit]


@pytest.mark.usefixtures("kind")
def test_the_coroutine_itself_may_exit() -> None:
    async def work() -> None:
        sys.exit(5)

    with pytest.raises(SystemExit, match="5"):
        run_contained(work(), lambda error: None)


@pytest.mark.usefixtures("kind")
def test_ctrl_c_cancels_it_which_lets_it_clean_up() -> None:
    cleaned: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_contained(work(), lambda error: None)
    assert cleaned == [True]


def test_a_job_whose_child_task_exits_fails_and_the_service_works_on(
    folder: Path, worker: Callable[..., Worker]
) -> None:
    (folder / "app_that_leaves.py").write_text(APP)
    with Server() as server:
        running = worker("app_that_leaves:service", "--redis", server.url)

        async def add() -> None:
            async with JobQueue("work", server.url) as queue:
                for name in ("awaited", "alone", "after"):
                    await queue.add(name, {}, job_id=name)

        asyncio.run(add())
        with Redis.from_url(server.url) as client:
            wait_until(lambda: client.zcard("bull:work:completed") == 2, "the jobs after it were not done")
            assert client.zrange("bull:work:failed", 0, -1) == [b"awaited"]
        assert running.end() == 0
        assert running.output.count("A task would have ended the process, the service goes on") == 2
