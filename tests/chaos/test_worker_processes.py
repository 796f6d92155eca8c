"""With ``execution="process"``: kill -9 of a worker process or of the service costs no job, and doubles none."""

from __future__ import annotations

import os
import signal

from chaos.harness import ChaosHarness
from support.processors import eventually
from support.running_processes import is_running

ATTEMPTS = 20
QUIET_S = 40.0


async def test_a_killed_worker_process_fails_no_job_but_its_own(harness: ChaosHarness) -> None:
    await harness.workers.start(processes=True, config={"concurrency": 3})
    jobs = await harness.add(*({"s": 0.02} for _ in range(120)), attempts=ATTEMPTS)
    kills = 8
    for _ in range(kills):
        await _another_run(harness)
        _kill_the_latest(harness)
    assert await harness.verdict(QUIET_S) == []
    assert (await harness.final_states()).completed == set(jobs)
    last_attempts = {run.id: run.attempt for run in harness.run_log.runs()}
    assert sum(attempt - 1 for attempt in last_attempts.values()) <= kills


async def test_a_killed_service_takes_its_worker_processes_along(harness: ChaosHarness) -> None:
    jobs = await harness.add(*({"s": 0.02} for _ in range(120)), attempts=ATTEMPTS)
    for _ in range(3):
        service = await harness.workers.start(processes=True, config={"concurrency": 3, "lock_duration": 3000})
        await _another_run(harness)
        await service.kill()
        await eventually(lambda: not any(map(is_running, _worker_processes(harness))), "their end", 2)
        for pid in _worker_processes(harness):
            harness.run_log.write("died", pid=pid, code=-9)
    await harness.workers.start(processes=True, config={"concurrency": 3})
    assert await harness.verdict(QUIET_S) == []
    assert (await harness.final_states()).completed == set(jobs)


async def _another_run(harness: ChaosHarness) -> None:
    await harness.started(len(harness.run_log.entries("started")) + 1, within=30)


def _kill_the_latest(harness: ChaosHarness) -> None:
    """Kill the worker process that has begun a job last, wherever it is now."""
    pid = harness.run_log.entries("started")[-1]["pid"]
    os.kill(pid, signal.SIGSTOP)  # nothing begins or ends in it between its death and the entry
    harness.run_log.write("died", pid=pid, code=-9)
    os.kill(pid, signal.SIGKILL)


def _worker_processes(harness: ChaosHarness) -> set[int]:
    dead = {entry["pid"] for entry in harness.run_log.entries("died")}
    return {entry["pid"] for entry in harness.run_log.entries("started")} - dead
