"""One run of a job system in one kind of work, and what was measured of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Measures
from bench.process import ContenderError
from bench.rivals.contenders import ROOT, Contender, Work
from bench.rivals.jobs import TIME
from bench.rivals.tree import cpu_us, memory_mb
from bench.server import Server

RUN_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
FEW_JOBS = 300


def measure(contender: Contender, work: Work, server: Server, folder: Path) -> Measures:
    """Add jobs, start the workers, and wait until every job has started.

    Gives ``rate`` (jobs/s), ``ideal_share`` of what the jobs themselves would allow, ``first_job_s`` from the
    start of the workers, and of all their processes together ``cpu_us`` a job and ``rss_mb`` (proportional).
    Raises ``ContenderError``.
    """
    server.flush()
    count = FEW_JOBS if contender.forks_per_job else work.jobs
    starts = folder / "starts"
    starts.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "BENCH_REDIS": f"redis://127.0.0.1:{server.port}/0",
        "BENCH_STARTS": str(starts),
        "BENCH_MODE": work.mode,
        "BENCH_PARALLEL": str(work.parallel),
        "PYTHONPATH": str(ROOT),
    }
    add = [contender.python, "-m", contender.module, str(work.job_ms), str(count)]
    subprocess.run(add, env=environment, cwd=folder, check=True, timeout=RUN_TIMEOUT_S)
    began = time.monotonic()
    with _workers(contender, work, environment, folder) as pids:
        seen = _wait_for(1, starts, folder)
        used_us = cpu_us(pids)
        ran = _wait_for(count, starts, folder)
        used_us = cpu_us(pids) - used_us
        memory = memory_mb(pids)
    times = sorted(time for (time,) in TIME.iter_unpack(starts.read_bytes()))
    if len(times) != count:
        raise ContenderError(f"{len(times)} runs of {count} jobs")
    rate = (count - 1) / ((times[-1] - times[0]) / 1e9)
    measures = {
        "rate": rate,
        "cpu_us": used_us / (ran - seen),
        "rss_mb": memory,
        "first_job_s": times[0] / 1e9 - began,
    }
    if work.job_ms:
        measures["ideal_share"] = rate / (work.parallel / (work.job_ms / 1000))
    return measures


@contextlib.contextmanager
def _workers(contender: Contender, work: Work, environment: dict[str, str], folder: Path) -> Iterator[list[int]]:
    """Start the workers; gives their pids."""
    command = [contender.python, *contender.command(work.parallel)]
    if contender.forks_per_job:
        command += ["--url", environment["BENCH_REDIS"]]
    with contextlib.ExitStack() as stack, (folder / "log").open("wb") as log:
        pids = []
        for _ in range(work.parallel if contender.forks_per_job else 1):
            worker = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(_stop, worker)
            pids.append(worker.pid)
        yield pids


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _wait_for(count: int, starts: Path, folder: Path) -> int:
    """Wait until at least so many jobs have started; gives how many have."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while (started := starts.stat().st_size // TIME.size if starts.exists() else 0) < count:
        if time.monotonic() > deadline:
            last_words = (folder / "log").read_text(errors="replace")[-1000:]
            raise ContenderError(f"{started} of {count} jobs in {RUN_TIMEOUT_S:g} s: {last_words}")
        time.sleep(POLL_S)
    return started
