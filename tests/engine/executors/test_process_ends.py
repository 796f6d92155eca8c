"""Every end of a worker process fails its own job, says why, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker.engine.executors import Executor, ProcessExecutor, worker_process
from auth_worker.engine.executors.exit_codes import describe_exit
from auth_worker.errors import WorkerCrashedError
from support import process_consumers
from support.factories import a_job
from support.running_processes import is_running


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    """One for all tests, since its processes take a while to start."""
    made = ProcessExecutor(process_consumers.anything, 1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"signal": signal.SIGKILL}, "SIGKILL, as the system sends when memory runs out"),
        ({"signal": signal.SIGABRT}, "SIGABRT, native code crashed"),
        ({"signal": signal.SIGUSR1}, "SIGUSR1"),
        ("die", "exit code 7: the consumer has ended it"),
        ("close all", "closed its descriptors"),
        ("close all and go on", "it was killed, since the consumer had closed the socket to the service"),
    ],
)
async def test_a_crash_says_what_ended_the_process(data: Any, why: str, processes: Executor) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(WorkerCrashedError) as crash:
            await processes(a_job(data))
        assert await processes(a_job("work")) == "still here"
    assert str(crash.value).startswith("the job's process died (")
    assert why in str(crash.value)


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert describe_exit(-200) == "signal 200"


async def test_native_code_that_crashes_shows_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    executor = ProcessExecutor(process_consumers.anything, 1)
    with pytest.raises(WorkerCrashedError):
        await asyncio.wait_for(executor(a_job({"signal": signal.SIGSEGV})), 30)
    executor.close()
    assert f'File "{process_consumers.__file__}"' in capfd.readouterr().err


async def test_a_process_that_nobody_can_wait_for_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the system gives the service no more threads."""
    begun: list[subprocess.Popen[bytes]] = []
    popen, start = worker_process._popen, threading.Thread.start

    def remember(*arguments: Any) -> subprocess.Popen[bytes]:
        begun.append(popen(*arguments))
        return begun[-1]

    def fail(thread: threading.Thread) -> None:
        if thread.name.startswith("auth-worker-process-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(worker_process, "_popen", remember)
    monkeypatch.setattr(threading.Thread, "start", fail)
    executor = ProcessExecutor(process_consumers.anything, 1)
    with pytest.raises(WorkerCrashedError, match="no process for the job: can't start new thread"):
        await asyncio.wait_for(executor(a_job("work")), 30)
    executor.close()
    assert begun
    assert not any(is_running(process.pid) for process in begun)


def test_a_service_without_a_free_descriptor_learns_of_a_crash(tmp_path: Path) -> None:
    """The job hung for ever: to find the programs of a dead process, ``/proc`` must be opened."""
    script = tmp_path / "service.py"
    script.write_text(f"""
import asyncio, contextlib, os, resource, sys
sys.path[:0] = {[str(Path(process_consumers.__file__).parents[1])]!r}
from support import process_consumers
from auth_worker import Job
from auth_worker.engine.executors import ProcessExecutor
from auth_worker.errors import WorkerCrashedError

async def main():
    executor = ProcessExecutor(process_consumers.anything, 1)
    await executor.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)
    try:
        await executor(Job(id="1", name="n", data="die", opts={{}}, queue_name="work"))
    except WorkerCrashedError as crash:
        print(crash)
    executor.close()

if __name__ == "__main__":
    asyncio.run(main())
""")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=False)
    assert "the job's process died (exit code 7" in ended.stdout, ended.stderr
