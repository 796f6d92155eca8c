"""A program in a session of its own ends with the worker process that started it, on Linux."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from auth_worker.engine.executors import ProcessExecutor, process_tree, worker_process
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.errors import WorkerCrashedError
from support import process_consumers
from support.factories import a_job
from support.processors import eventually
from support.running_processes import is_running

SESSIONS = process_consumers.SESSIONS


def pids(folder: Path) -> dict[str, int]:
    """The programs by name, once all run."""
    if not (folder / "process").exists():
        return {}
    return {name: int((folder / name).read_text()) for name in SESSIONS}


async def started(folder: Path) -> None:
    await eventually(lambda: pids(folder), "the programs", 30)
    assert all(map(is_running, pids(folder).values()))
    process = int((folder / "process").read_text())
    assert all(os.getsid(pid) != process for pid in pids(folder).values()), "they have sessions of their own"


async def all_gone(folder: Path, names: tuple[str, ...] = SESSIONS) -> None:
    await eventually(lambda: not any(is_running(pids(folder)[name]) for name in names), "the end of the programs")


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in pids(tmp_path).values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def executor() -> AsyncIterator[ProcessExecutor]:
    made = ProcessExecutor(process_consumers.start_sessions, 1)
    yield made
    made.close()


async def test_a_cancelled_job_ends_with_its_programs(executor: ProcessExecutor, tmp_path: Path) -> None:
    job = asyncio.ensure_future(executor(a_job({"folder": str(tmp_path), "then": "wait"})))
    await started(tmp_path)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await all_gone(tmp_path)


async def test_a_process_that_ends_in_order_ends_its_programs(executor: ProcessExecutor, tmp_path: Path) -> None:
    assert await asyncio.wait_for(executor(a_job({"folder": str(tmp_path), "then": "return"})), 30) == "done"
    await started(tmp_path)
    await executor.retire()
    await all_gone(tmp_path)


async def test_a_process_that_dies_leaves_no_program_that_has_its_environment(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    with pytest.raises(WorkerCrashedError):
        await asyncio.wait_for(executor(a_job({"folder": str(tmp_path), "then": "exit"})), 30)
    await all_gone(tmp_path, SESSIONS[:3])


async def test_programs_of_another_process_go_on(executor: ProcessExecutor, tmp_path: Path) -> None:
    other = ProcessExecutor(process_consumers.anything, 1)
    try:
        assert await executor(a_job({"folder": str(tmp_path), "then": "return"})) == "done"
        await other(a_job("nothing"))
        [worker] = other._idle
        other.close()
        await eventually(lambda: worker.has_ended, "the end of the other process")
        assert all(map(is_running, pids(tmp_path).values()))
    finally:
        other.close()


async def test_a_service_that_ends_at_once_leaves_no_program(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
sys.path[:0] = {[str(Path(process_consumers.__file__).parent)]!r}
import process_consumers
from auth_worker import Job
from auth_worker.engine.executors import ProcessExecutor

async def main():
    executor = ProcessExecutor(process_consumers.start_sessions, 1)
    data = {{"folder": {str(tmp_path)!r}, "then": "return"}}
    await executor(Job(id="1", name="n", data=data, opts={{}}, queue_name="work"))
    executor.close()
asyncio.run(main())
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], timeout=50, check=True)
    assert pids(tmp_path)
    assert not any(map(is_running, pids(tmp_path).values()))


async def test_no_signal_goes_to_the_id_of_a_reaped_process(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is reaped, a process group of somebody else's may have the id."""
    signalled: list[bool] = []
    killpg = os.killpg

    def watched(group: int, number: int) -> None:
        signalled.append(Path(f"/proc/{group}").exists())
        killpg(group, number)

    monkeypatch.setattr(os, "killpg", watched)
    with pytest.raises(WorkerCrashedError):
        await asyncio.wait_for(executor(a_job({"folder": str(tmp_path), "then": "exit"})), 30)
    assert signalled
    assert all(signalled)


async def test_a_killed_process_is_ended_once(executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    await executor.start()
    [worker] = executor._idle
    worker.kill()
    worker.kill()
    await eventually(lambda: worker.has_ended, "the end of the process")
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("its id is free"))
    worker.kill()


async def test_a_process_that_was_reaped_by_another_ends_without_a_signal_to_its_id(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reaped(*_: int) -> None:
        os.waitpid(_[1], 0)
        raise ChildProcessError

    monkeypatch.setattr(os, "waitid", reaped)
    await executor.start()
    [worker] = executor._idle
    monkeypatch.setattr(worker_process, "stop_group", lambda leader: pytest.fail("its id is free"))
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("its id is free"))
    os.kill(worker._process.pid, signal.SIGKILL)
    await eventually(lambda: worker.has_ended, "the end of the process")
    worker.kill()


async def test_without_a_thread_more_a_process_ends_all_the_same(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await executor.start()
    [worker] = executor._idle

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        worker.kill()
    await eventually(lambda: worker.has_ended, "the end of the process")
    assert isinstance(worker, WorkerProcess)


async def test_on_a_system_without_proc_and_waitid_the_process_group_ends(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "waitid")
    await executor.start()
    [worker] = executor._idle
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail(f"{path} is read"))
    worker.kill()
    await eventually(lambda: worker.has_ended, "the end of the process")


def test_the_environment_of_a_process_that_must_not_be_read_has_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> bytes:
        if path.endswith("environ"):
            raise PermissionError
        return b"1 (a) b) S 77 0"

    monkeypatch.setattr(process_tree, "_read", refuse)
    monkeypatch.setattr(os, "listdir", lambda path: ["4", "self"])
    assert list(process_tree._all_running(b"mark")) == [process_tree.Running(4, 77, False)]
