"""A job runs in whichever process is free first: one that another job leaves, or a new one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from auth_worker.engine.executors import ProcessExecutor, process, process_setup
from auth_worker.engine.executors.process_setup import MainModule
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.errors import ConfigurationError, WorkerCrashedError
from support import process_consumers
from support.factories import a_job
from support.processors import eventually


@pytest.fixture
async def executor() -> AsyncIterator[ProcessExecutor]:
    made = ProcessExecutor(process_consumers.anything, 2)
    await made.start()
    yield made
    made.close()


class Starts:
    """How worker processes start from now on: not until ``go``, which may raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        start = WorkerProcess.start

        async def held(setup: bytes) -> WorkerProcess:
            self.begun += 1
            await self.go
            return await start(setup)

        monkeypatch.setattr(WorkerProcess, "start", held)


async def within_30_s(*jobs: Any) -> list[Any]:
    async with asyncio.timeout(30):
        return await asyncio.gather(*jobs, return_exceptions=True)


async def test_a_job_does_not_wait_for_a_new_process_when_another_gets_free(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts(monkeypatch)
    assert await within_30_s(*(executor(a_job("work")) for _ in range(6))) == ["still here"] * 6
    assert starts.begun == 1
    starts.go.set_result(None)
    await eventually(lambda: len(executor._idle) == 2, "the new process")


async def test_a_process_that_dies_leaves_the_jobs_that_wait_to_another(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [asyncio.ensure_future(executor(a_job(data))) for data in ("die", "work", "die", "work")]
    died, first, died_too, second = await within_30_s(*jobs)
    assert [type(died), type(died_too)] == [WorkerCrashedError] * 2
    assert [first, second] == ["still here"] * 2


@pytest.mark.parametrize(
    "error", [ConfigurationError("no module"), OSError("no memory"), RuntimeError("no thread")]
)
async def test_a_first_process_that_does_not_start_fails_one_job_that_waits(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    executor = ProcessExecutor(process_consumers.anything, 2)
    starts = Starts(monkeypatch)
    one, other = (asyncio.ensure_future(executor(a_job("work"))) for _ in range(2))
    await eventually(lambda: starts.begun == 2, "both starts")
    starts.go.set_exception(error)
    for crashed in await within_30_s(one, other):
        assert isinstance(crashed, WorkerCrashedError)
        assert str(crashed) == f"no process for the job: {error}"
        assert crashed.__cause__ is error
    executor.close()


@pytest.mark.parametrize("error", [ConfigurationError("no module"), OSError("no memory")])
async def test_jobs_wait_while_a_later_process_does_not_start(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A failed attempt for each of them would end the jobs of a whole queue that nobody has run."""
    monkeypatch.setattr(process, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(process, "LONGEST_PAUSE_S", 0.02)
    failures: list[str] = []
    executor.report_failed_starts_to(failures.append)
    executor._idle.pop().discard()
    starts = Starts(monkeypatch)
    starts.go.set_exception(error)
    jobs = [asyncio.ensure_future(executor(a_job("work"))) for _ in range(2)]
    await eventually(lambda: len(failures) >= 6, "further starts")
    assert not any(job.done() for job in jobs)
    assert failures[0] == f"{error} (tried again in 0.01 s)"
    assert failures[-1] == f"{error} (tried again in 0.02 s)"
    starts.go = asyncio.get_running_loop().create_future()
    starts.go.set_result(None)
    assert await within_30_s(*jobs) == ["still here"] * 2


async def test_a_start_that_fails_is_not_tried_again_when_no_job_waits(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_S", 0.01)
    [only] = executor._idle
    executor._idle.clear()
    starts = Starts(monkeypatch)
    job = asyncio.ensure_future(executor(a_job("work")))
    await eventually(lambda: starts.begun == 1, "the start")
    executor._put_back(only)  # the job has it
    assert await within_30_s(job) == ["still here"]
    starts.go.set_exception(OSError("no memory"))
    await eventually(lambda: not executor._starting, "the end of the start")
    assert starts.begun == 1


async def test_a_process_that_does_not_start_harms_no_job_that_has_another(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts(monkeypatch)
    assert await within_30_s(*(executor(a_job("work")) for _ in range(2))) == ["still here"] * 2
    starts.go.set_exception(OSError("no memory"))
    await eventually(lambda: not executor._starting, "the end of the start")
    assert await within_30_s(executor(a_job("work"))) == ["still here"]


async def test_a_cancelled_job_leaves_the_process_it_waited_for_to_the_next(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    [only] = executor._idle
    executor._idle.clear()
    starts = Starts(monkeypatch)
    first, second = (asyncio.ensure_future(executor(a_job("work"))) for _ in range(2))
    await eventually(lambda: starts.begun == 2, "both starts")
    executor._put_back(only)  # the first has it
    first.cancel()
    assert [type(each) for each in await within_30_s(first, second)] == [asyncio.CancelledError, str]
    assert not only.has_ended


@pytest.mark.parametrize("end", [ProcessExecutor.close, ProcessExecutor.retire])
async def test_a_job_that_waits_for_a_process_ends_with_its_executor(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch, end: Callable[[ProcessExecutor], Any]
) -> None:
    executor._idle.pop().discard()
    starts = Starts(monkeypatch)
    job = asyncio.ensure_future(executor(a_job("work")))
    await eventually(lambda: starts.begun == 1, "the start")
    ending = end(executor)
    if ending is not None:
        await ending
    assert [type(each) for each in await within_30_s(job)] == [WorkerCrashedError]
    await eventually(lambda: not executor._starting, "the end of the start")


async def test_processes_start_before_the_first_job_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    starts = Starts(monkeypatch)
    starts.go.set_result(None)
    executor = ProcessExecutor(process_consumers.anything, 3)
    executor.warm_up()
    await executor.start()
    await eventually(lambda: len(executor._idle) == 2, "a process for each core")
    assert starts.begun == 2
    executor.close()


async def test_processes_that_are_not_needed_after_all_end() -> None:
    executor = ProcessExecutor(process_consumers.anything, 1)
    executor.warm_up()
    await eventually(lambda: executor._idle, "the process")
    [process] = executor._idle
    executor.close()
    await eventually(lambda: process.has_ended, "its end")


async def test_why_a_process_cannot_start_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(process_setup, "_main_module", lambda: MainModule("module_that_is_not_there", ""))
    executor = ProcessExecutor(process_consumers.anything, 3)
    executor.warm_up()
    with pytest.raises(ConfigurationError, match="cannot import anything: ModuleNotFoundError"):
        await executor.start()
    executor.close()
    assert capsys.readouterr().err.count("Traceback") == 1
