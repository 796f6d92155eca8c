"""A consumer in a process of its own: killed with its run, and no harm to the pool."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker.core.outcome import Cause, Fail
from auth_worker.engine.executors import Executor, ProcessExecutor, executor_for
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.engine.perform import Deadline, perform
from auth_worker.errors import Delay, InvalidJobDataError, JobError, UnrecoverableError, WorkerCrashedError
from auth_worker.job import Job
from support import process_consumers
from support.factories import PATIENT, a_job, a_run, some_options
from support.processors import eventually


async def test_a_process_gets_the_job_and_gives_its_result_back() -> None:
    executor = executor_for(process_consumers.describe, "process", 1)
    assert isinstance(executor, ProcessExecutor)
    told = await asyncio.wait_for(executor(a_job({"to": "ann"}, attempt=2)), 30)
    executor.close()
    assert told == {"id": "job-1", "data": {"to": "ann"}, "attempt": 2, "token": "", "own_process": True}


async def test_a_job_leaves_no_context_variable_to_the_next() -> None:
    """What a consumer binds to its log lines must not show in those of another job."""
    executor = ProcessExecutor(process_consumers.note_in_context, 1)
    async with asyncio.timeout(30):
        assert [await executor(a_job(data)) for data in ("ann", "bob")] == ["nothing"] * 2
    executor.close()


@pytest.mark.parametrize(
    ("kind", "expected", "text"),
    [
        ("value", ValueError, "boom"),
        ("delay", Delay, "5"),
        ("invalid", InvalidJobDataError, "email"),
        ("unpicklable", JobError, "UnpicklableError: 1 and 2"),
        ("hopeless", UnrecoverableError, "HopelessError: 1 and 2"),
        ("stop", RuntimeError, "StopIteration"),
        ("exit", SystemExit, "3"),
        ("result", UnrecoverableError, "return value is not JSON: it is a function"),
        ("die", WorkerCrashedError, "the job's process died"),
        ("after", str, "still here"),
    ],
)
async def test_whatever_happens_in_a_process_ends_the_run_and_not_the_pool(
    kind: str, expected: type, text: str, processes: Executor
) -> None:
    try:
        async with asyncio.timeout(30):
            ended: Any = await processes(a_job(kind))
    except BaseException as error:
        ended = error
    assert type(ended) is expected
    assert text in str(ended)


@pytest.mark.parametrize("nested", [False, True])
async def test_a_time_out_counts_from_when_the_process_is_there(
    nested: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A consumer that imports for longer than its timeout would get no process any more after the first kill."""
    start, ready = WorkerProcess.start, asyncio.Event()

    async def slow_start(setup: bytes) -> WorkerProcess:
        worker = await start(setup)
        await ready.wait()
        return worker

    async def execute(job: Job) -> Any:
        deadline = Deadline(run, 0.2) if nested else None
        try:
            return await executor(job)
        finally:
            if deadline is not None:
                deadline.close()

    monkeypatch.setattr(WorkerProcess, "start", slow_start)
    run = a_run(a_job({"pid_file": str(tmp_path / "pid")}), some_options({"attempts": 1}))
    executor = ProcessExecutor(process_consumers.anything, 1)
    limit = 60 if nested else 0.2
    task = asyncio.create_task(perform(run, execute, timeout=limit, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment] # a processor's task gives nothing back
    await asyncio.sleep(0.6)  # the import
    assert (task.done(), run.cause) == (False, None)
    imported = time.monotonic()
    ready.set()
    outcome = await asyncio.wait_for(task, 30)
    executor.close()
    assert (isinstance(outcome, Fail), run.cause, run.timer) == (True, Cause.TIMEOUT, None)
    assert time.monotonic() - imported >= 0.2
    assert run.duration_ms < 1000 * (time.monotonic() - imported)


async def test_a_process_is_killed_with_its_run(processes: Executor, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run = a_run(a_job({"pid_file": str(pid_file)}), some_options({"attempts": 1}))
    task = asyncio.create_task(perform(run, processes, timeout=None, max_result_bytes=PATIENT))
    run.task = task  # type: ignore[assignment]
    pid = int(await eventually(lambda: pid_file.exists() and pid_file.read_text(), "a process", 30))
    run.cancel(Cause.TIMEOUT)
    outcome = await asyncio.wait_for(task, 10)
    assert isinstance(outcome, Fail)
    assert "timeout" in outcome.reason

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await eventually(gone, "the end of the process")


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """One pool for all tests of this file: its process takes a while to start."""
    executor = ProcessExecutor(process_consumers.anything, 1)
    yield executor
    executor.close()


@pytest.fixture
def processes(pool: Executor) -> Executor:
    return pool
