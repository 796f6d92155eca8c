"""Signals: those to the service drain it, those to forked children are no signals to the service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from auth_worker.system.handled_signals import MOMENT_S, SignalCounter
from support import signalled_service
from support.processors import Harness, eventually


class Service:
    """``signalled_service.py`` in a session of its own."""

    def __init__(self, folder: Path, harness: Harness, loop: str, execution: str, nohup: bool) -> None:
        self.log = folder / "log"
        self.begun = folder / "begun"
        self._harness = harness
        command = [sys.executable, signalled_service.__file__, harness.url, loop, execution]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["nohup", *command] if nohup else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def does(self, do: str, **data: Any) -> Any:
        """Run a job and return its result."""
        job_id = await self._harness.jobs.add("n", {"do": do, **data})
        job = await eventually(lambda: self._finished(job_id), f"the job {do}", 30)
        assert "returnvalue" in job, job
        return json.loads(job["returnvalue"])

    async def begins(self, seconds: float) -> str:
        """Let it start a job that takes ``seconds``, and return the job's id."""
        job_id = await self._harness.jobs.add("n", {"do": "wait", "s": seconds, "begun": str(self.begun)})
        await eventually(self.begun.exists, "the job", 30)
        return job_id

    async def ends(self) -> int:
        """Wait for the exit code."""
        return await asyncio.to_thread(self.process.wait, 30)

    async def _finished(self, job_id: str) -> dict[str, str] | None:
        job = await self._harness.job(job_id)
        return job if "finishedOn" in job else None


Start = Callable[..., Service]


@pytest.fixture
async def start(tmp_path: Path, harness: Harness) -> AsyncIterator[Start]:
    started: list[Service] = []

    def begin(loop: str = "asyncio", execution: str = "auto", nohup: bool = False) -> Service:
        started.append(Service(tmp_path, harness, loop, execution, nohup))
        return started[-1]

    yield begin
    for service in started:
        if service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait(30)


@pytest.mark.parametrize("execution", ["thread", "process"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_to_a_forked_child_is_none_to_the_service(start: Start, loop: str, execution: str) -> None:
    service = start(loop, execution)
    for number in (signal.SIGTERM, signal.SIGHUP):
        assert await service.does("terminate", signal=number) == -number
        for in_terminal in (False, True):
            assert await service.does("fork", signal=number, pty=in_terminal) == -number
        assert await service.does("fork_in_threads", signal=number) == [-number] * 4
    assert await service.does("fork", signal=signal.SIGINT, pty=False) == 1
    assert await service.does("pool") == [1, 2, 3]
    assert await service.does("prepared") == -signal.SIGTERM
    assert await service.does("handlers") == {"SigIgn": False, "SigBlk": False}
    assert service.process.poll() is None
    assert "Shutdown signal" not in service.log.read_text()
    service.process.send_signal(signal.SIGTERM)
    assert await service.ends() == 0


@pytest.mark.parametrize(
    ("loop", "number", "execution"),
    [
        ("asyncio", signal.SIGTERM, "thread"),
        ("asyncio", signal.SIGINT, "process"),
        ("asyncio", signal.SIGHUP, "thread"),
        ("uvloop", signal.SIGTERM, "process"),
        ("uvloop", signal.SIGINT, "thread"),
        ("uvloop", signal.SIGHUP, "process"),
    ],
)
async def test_a_signal_to_all_processes_drains(
    start: Start, harness: Harness, loop: str, number: signal.Signals, execution: str
) -> None:
    """Send the signal as a terminal, systemd and some container runtimes do. Each pair of the three is tried."""
    service = start(loop, execution)
    job_id = await service.begins(MOMENT_S)
    for pid in (service.process.pid, *children_of(service.process.pid)):
        os.kill(pid, number)
    assert await service.ends() == 0
    job = await harness.job(job_id)
    assert (job["returnvalue"], job["atm"]) == ('"done"', "1")
    assert "Second shutdown signal" not in service.log.read_text()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_signal_that_is_passed_on_within_a_moment_is_the_same_one(start: Start, harness: Harness) -> None:
    service = start()
    job_id = await service.begins(2 * MOMENT_S)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        service.process.send_signal(number)
        await asyncio.sleep(0.02)
    assert await service.ends() == 0
    assert (await harness.job(job_id))["returnvalue"] == '"done"'


async def test_a_second_signal_after_a_moment_hurries_and_a_third_ends(start: Start, harness: Harness) -> None:
    service = start()
    job_id = await service.begins(600)
    for said in ("Shutdown signal received", "Second shutdown signal received"):
        service.process.send_signal(signal.SIGINT)
        await eventually(lambda said=said: said in service.log.read_text(), said)  # type: ignore[misc]
        await asyncio.sleep(MOMENT_S)
    service.process.send_signal(signal.SIGINT)
    assert await service.ends() == 3
    assert "finishedOn" not in await harness.job(job_id)


async def test_sighup_stays_ignored_under_nohup(start: Start) -> None:
    service = start(nohup=True)
    await service.begins(0)
    service.process.send_signal(signal.SIGHUP)
    assert await service.does("pool") == [1, 2, 3]
    assert service.process.poll() is None
    service.process.send_signal(signal.SIGTERM)
    assert await service.ends() == 0
    assert "SIGHUP" not in service.log.read_text()


def test_signals_are_counted_by_the_moments_between_those_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.4, 100.8, 101.2, 101.6, 103.0])
    monkeypatch.setattr("auth_worker.system.handled_signals.time.monotonic", lambda: next(times))
    counter = SignalCounter(moment=1)
    assert [counter.take() for _ in range(6)] == [True, False, False, True, False, True]
    assert counter.count == 3
