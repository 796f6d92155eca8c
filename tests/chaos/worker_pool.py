"""Starts worker processes, and kills, stops, freezes and replaces them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chaos.run_log import RunLog
from chaos.worker_options import WorkerOptions
from support.processors import eventually

START_LIMIT_S = 30.0


class ForkServer:
    """A client of the fork server process. One is enough for a whole test run."""

    def __init__(self) -> None:
        tests = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(tests), *sys.path]))},
            cwd=tests,
        )
        self._spawned: queue.Queue[int] = queue.Queue()
        self.codes: dict[int, int] = {}
        """The exit code of every dead worker by its pid; a signal is negative."""
        threading.Thread(target=self._listen, name="fork_server", daemon=True).start()

    def spawn(self, options: WorkerOptions) -> int:
        """Start a worker process; returns its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(asdict(options)) + "\n").encode())
        self._process.stdin.flush()
        return self._spawned.get(timeout=START_LIMIT_S)

    def close(self) -> None:
        """End it, and with it every worker."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "spawned" in said:
                self.codes.pop(said["spawned"], None)
                self._spawned.put(said["spawned"])
            else:
                self.codes[said["died"]] = said["code"]
        self._process.stdout.close()


@dataclass(frozen=True)
class Vitals:
    """What a process uses: resident memory in bytes, memory blocks of Python, open files, threads and tasks."""

    memory: int
    blocks: int
    files: int
    threads: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"{self.memory / 2**20:.1f} MiB resident, {self.blocks} blocks, {self.files} file descriptors, "
            f"{self.threads} threads, {self.tasks} tasks"
        )


class Worker:
    """One worker process."""

    def __init__(self, fork_server: ForkServer, run_log: RunLog, options: WorkerOptions) -> None:
        self._fork_server = fork_server
        self._run_log = run_log
        self.options = options
        self.pid = fork_server.spawn(options)
        self._noted = False

    @property
    def code(self) -> int | None:
        """The exit code, a signal as a negative number; None while it lives."""
        code = self._fork_server.codes.get(self.pid)
        if code is not None and not self._noted:
            self._noted = True
            self._run_log.write("died", pid=self.pid, code=code)
        return code

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr."""
        return Path(str(self.options.log)).read_text(errors="replace")

    @property
    def cpu_s(self) -> float:
        """The CPU time it has used so far, in s."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Its resident memory, in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        """How many file descriptors it has."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    async def vitals(self) -> Vitals:
        """What it needs at the moment."""
        before = len(self._run_log.entries("vitals"))
        self.signal(signal.SIGUSR1)
        await eventually(lambda: len(self._run_log.entries("vitals")) > before, f"the vitals of {self.pid}")
        told = self._run_log.entries("vitals")[-1]
        return Vitals(self.memory, told["blocks"], self.open_files, self.threads, told["tasks"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._run_log.write("frozen", pid=self.pid)
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._run_log.write("thawed", pid=self.pid)
        self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.gone(5)

    async def gone(self, within: float = 10.0) -> int:
        """Wait until it has ended; returns the exit code."""
        await eventually(lambda: self.code is not None, f"the end of worker {self.pid}", within)
        code = self.code
        assert code is not None
        return code

    async def ready(self, within: float = START_LIMIT_S) -> None:
        """Wait until it works, or has come to the point where it was to crash: that may be with its first job."""

        def has_worked() -> bool:
            crashed = [entry for entry in self._run_log.entries("died") if "point" in entry]
            return any(entry["pid"] == self.pid for entry in [*self._run_log.entries("ready"), *crashed])

        await eventually(lambda: self.code is not None or has_worked(), f"worker {self.pid} is ready", within)
        if not has_worked():
            raise AssertionError(
                f"worker {self.pid} ended with {self.code} before it was ready:\n{self.log[-2000:]}"
            )


class WorkerPool:
    """The workers of one test. ``options`` are those of every worker unless ``start`` changes them."""

    def __init__(self, fork_server: ForkServer, run_log: RunLog, options: WorkerOptions) -> None:
        self._fork_server = fork_server
        self._run_log = run_log
        self.options = options
        self.started: list[Worker] = []

    @property
    def alive(self) -> list[Worker]:
        """The workers that live."""
        return [worker for worker in self.started if worker.code is None]

    async def start(self, **changes: Any) -> Worker:
        """Start a worker, and wait until it is ready."""
        worker = self.launch(**changes)
        await worker.ready()
        return worker

    def launch(self, **changes: Any) -> Worker:
        """Start a worker."""
        for name in ("config", "settings"):
            changes[name] = {**getattr(self.options, name), **changes.get(name, {})}
        worker = Worker(self._fork_server, self._run_log, replace(self.options, **changes))
        self.started.append(worker)
        return worker

    @contextlib.asynccontextmanager
    async def kept_at(self, number: int, **changes: Any) -> AsyncIterator[None]:
        """Keep so many workers alive meanwhile: who dies is replaced, with ``changes`` to its options."""

        async def keep() -> None:
            while True:
                for _ in range(number - len(self.alive)):
                    self.launch(**changes)
                await asyncio.sleep(0.02)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def kill_all(self) -> None:
        """Kill the workers that are left."""
        for worker in self.alive:
            worker.signal(signal.SIGKILL)
        for worker in self.started:
            await worker.gone(5)
