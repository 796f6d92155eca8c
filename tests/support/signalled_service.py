"""A service that receives signals, in its own process: ``signalled_service.py URL LOOP FOLDER [EXECUTION]``."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from auth_worker import Job, Settings, WorkerService
from auth_worker.observability.logs import configure_logging

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
FORK: Any = multiprocessing.get_context("fork")


def consume(job: Job) -> Any:
    """Do what the data says."""
    return globals()[job.data["do"]](job.data)


def wait(data: dict[str, Any]) -> str:
    """Run for ``s`` s, and create the file ``begun`` at the start."""
    Path(data["begun"]).touch()
    time.sleep(data["s"])
    return "done"


def terminate(data: dict[str, Any]) -> int:
    """End a forked child at once, perhaps before it runs its own code."""
    process = FORK.Process(target=time.sleep, args=(60,))
    process.start()
    os.kill(process.pid, data["signal"])
    process.join()
    return int(process.exitcode)


def pool(data: dict[str, Any]) -> list[int]:
    """Use a pool, which stops its processes with SIGTERM."""
    with FORK.Pool(3) as processes:
        return list(processes.map(abs, [-1, 2, -3]))


def fork(data: dict[str, Any]) -> int:
    """Send a signal to a child of ``os.fork`` or ``pty.fork`` that already runs its own code."""
    theirs, ours = os.pipe()
    pid, terminal = pty.fork() if data["pty"] else (os.fork(), None)
    if pid == 0:
        try:
            os.write(ours, b"!")
            for _ in range(3000):  # Python may notice a signal only after a call that has just begun
                time.sleep(0.02)
        finally:
            os._exit(1)
    os.read(theirs, 1)
    for end in (theirs, ours):
        os.close(end)
    os.kill(pid, data["signal"])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if terminal is not None:
        os.close(terminal)
    return status


def fork_in_threads(data: dict[str, Any]) -> list[int]:
    """Several threads fork at the same time."""
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(terminate(data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


def prepared(data: dict[str, Any]) -> int:
    """Start a program with code of ours between fork and exec."""
    with subprocess.Popen(["sleep", "60"], preexec_fn=os.getpid) as process:  # noqa: PLW1509 - it is the point
        process.terminate()
    return process.returncode


def handlers(data: dict[str, Any]) -> dict[str, bool]:
    """Return how a program that the consumer starts handles signals: SigIgn and SigBlk of proc(5)."""
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(":") for line in status.splitlines())
    bits = [1 << (number - 1) for number in (signal.SIGTERM, signal.SIGHUP)]
    return {name: any(int(lines[name], 16) & bit for bit in bits) for name in ("SigIgn", "SigBlk")}


def main(url: str, loop: str, execution: Any = "auto") -> int:
    """Run the service until a signal."""
    settings = Settings(http_port=None, log_format="json")
    configure_logging(settings)
    service = WorkerService(url, settings=settings)
    service.register_processor(
        queue_name="work", processor=consume, worker_config={"attempts": 1}, execution=execution
    )
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(service.run())


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
