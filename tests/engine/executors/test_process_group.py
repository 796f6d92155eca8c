"""A worker process and the programs it has started end together, however that comes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker.engine.executors import ProcessExecutor, process, worker_process
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.errors import WorkerCrashedError
from auth_worker.job import Job
from support import process_consumers
from support.factories import a_job
from support.processors import eventually
from support.running_processes import is_running


def pids(folder: Path) -> list[int]:
    """The worker process, and what its shell pipeline consists of, once all of it runs."""
    try:
        found = [int((folder / name).read_text()) for name in ("process", "shell", "left", "right")]
    except (FileNotFoundError, ValueError):
        return []
    return found


@pytest.fixture
async def executor() -> AsyncIterator[ProcessExecutor]:
    made = ProcessExecutor(process_consumers.start_programs, 1)
    yield made
    made.close()


async def all_gone(folder: Path) -> None:
    await eventually(lambda: not any(map(is_running, pids(folder))), "the end of the programs")


@pytest.mark.parametrize("way", ["wait", "hold the interpreter"])
async def test_a_cancelled_job_ends_with_its_programs(executor: ProcessExecutor, tmp_path: Path, way: str) -> None:
    job = asyncio.ensure_future(executor(a_job({"folder": str(tmp_path), "then": way})))
    await eventually(lambda: pids(tmp_path), "the programs", 30)
    assert all(map(is_running, pids(tmp_path)))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await all_gone(tmp_path)


@pytest.mark.parametrize("way", ["exit", "abort"])
async def test_a_process_that_dies_leaves_no_program(executor: ProcessExecutor, tmp_path: Path, way: str) -> None:
    with pytest.raises(WorkerCrashedError):
        await asyncio.wait_for(executor(a_job({"folder": str(tmp_path), "then": way})), 30)
    assert pids(tmp_path)
    await all_gone(tmp_path)


async def test_a_closed_executor_leaves_no_program(executor: ProcessExecutor, tmp_path: Path) -> None:
    job = asyncio.ensure_future(executor(a_job({"folder": str(tmp_path), "then": "wait"})))
    await eventually(lambda: pids(tmp_path), "the programs", 30)
    executor.close()
    with pytest.raises(WorkerCrashedError):
        await asyncio.wait_for(job, 10)
    await all_gone(tmp_path)


async def test_a_process_that_answers_while_its_executor_closes_is_given_up(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[WorkerProcess] = []
    run = WorkerProcess.run

    async def run_and_close(worker: WorkerProcess, job: Job) -> Any:
        value = await run(worker, job)
        used.append(worker)
        executor.close()
        return value

    monkeypatch.setattr(WorkerProcess, "run", run_and_close)
    assert await executor(a_job({"folder": str(tmp_path), "then": "return"})) == "done"
    assert used[0].is_discarded
    await all_gone(tmp_path)


async def test_a_process_that_is_replaced_ends_in_order_and_leaves_no_program(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MAX_JOBS_PER_PROCESS", 1)
    assert await executor(a_job({"folder": str(tmp_path), "then": "return"})) == "done"
    first = pids(tmp_path)[0]
    await all_gone(tmp_path)
    assert (tmp_path / "ended").read_text() == "in order"
    assert await executor(a_job({"folder": str(tmp_path), "then": "return"})) == "done"
    assert pids(tmp_path)[0] != first
    await all_gone(tmp_path)


async def test_an_idle_process_that_dies_is_replaced_and_fails_no_job(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the thread that waits for its end has not noticed it."""
    noticed = threading.Event()
    wait = worker_process._wait_for_exit

    def wait_longer(process: subprocess.Popen[bytes]) -> bool:
        is_ours = wait(process)
        noticed.wait(30)
        return is_ours

    monkeypatch.setattr(worker_process, "_wait_for_exit", wait_longer)
    for _ in range(2):
        assert await executor(a_job({"folder": str(tmp_path), "then": "return"})) == "done"
        process = pids(tmp_path)[0]
        os.kill(process, 9)
        await eventually(lambda process=process: not is_running(process), "the end of the process")  # type: ignore[misc]
    noticed.set()


@pytest.mark.parametrize("way", ["wait", "hold the interpreter"])
async def test_a_service_that_is_killed_leaves_neither_process_nor_program(tmp_path: Path, way: str) -> None:
    """Though a child that the service has forked lives on, and had all of its descriptors."""
    program = f"""
import asyncio, multiprocessing, sys, time
sys.path[:0] = {[str(Path(process_consumers.__file__).parents[1])]!r}
from support import process_consumers
from auth_worker import Job
from auth_worker.engine.executors import ProcessExecutor

async def main():
    executor = ProcessExecutor(process_consumers.start_programs, 1)
    await executor.start()
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
    data = {{"folder": {str(tmp_path)!r}, "then": {way!r}}}
    await executor(Job(id="1", name="n", data=data, opts={{}}, queue_name="work"))
asyncio.run(main())
"""
    service = await asyncio.to_thread(
        lambda: subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    )
    try:
        await eventually(lambda: pids(tmp_path), "the programs", 30)
        service.kill()
        await all_gone(tmp_path)
    finally:
        os.killpg(service.pid, 9)
        await asyncio.to_thread(service.wait, 30)
