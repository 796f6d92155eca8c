"""Measure plain functions in processes and threads beside Celery, dramatiq and RQ, each with its defaults.

All jobs wait before the worker starts, so that the time to its first job is measured too. Celery's defaults
acknowledge a job before it runs: one that a crash interrupts is lost there, and run again here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.rivals.contenders import CONTENDERS, ROOT, THEIRS, Contender
from bench.rivals.jobs import TIME
from bench.server import Server, binaries

RUN_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
JOBS = {"processes": {0: 4000, 10: 1000}, "threads": {0: 10_000, 10: 10_000}}
"""By mode, how many jobs of which length (ms)."""
JOBS_OF_RQ = {0: 300, 10: 200}


class Measured(NamedTuple):
    """One run: jobs a second, the share of what the sleeping alone would allow, and the costs of the workers."""

    rate: float
    ideal: float | None
    first_job_s: float
    memory_mb: float


class NoNumberError(Exception):
    """A contender died, or did not run every job once."""


def measure(contender: Contender, sleep_ms: int, server: Server, folder: Path) -> Measured:
    """Add jobs, start the workers, and wait until every job has started. Raises ``NoNumberError``."""
    server.flush()
    count = JOBS_OF_RQ[sleep_ms] if contender.name == "RQ" else JOBS[contender.mode][sleep_ms]
    starts = folder / "starts"
    starts.unlink(missing_ok=True)
    environment = {
        **os.environ,
        **contender.environment,
        "BENCH_REDIS": f"redis://127.0.0.1:{server.port}/0",
        "BENCH_STARTS": str(starts),
        "PYTHONPATH": str(ROOT),
    }
    add = [contender.python, "-m", contender.module, str(sleep_ms), str(count)]
    subprocess.run(add, env=environment, cwd=folder, check=True, timeout=RUN_TIMEOUT_S)
    began = time.monotonic()
    with _workers(contender, environment, folder) as workers:
        while _size(starts) < count:
            if time.monotonic() - began > RUN_TIMEOUT_S:
                raise NoNumberError(
                    f"{_size(starts)} of {count} jobs in {RUN_TIMEOUT_S:g} s: {_last_words(folder)}"
                )
            time.sleep(0.05)
        memory = sum(_memory_mb(worker.pid) for worker in workers)
    times = sorted(time for (time,) in TIME.iter_unpack(starts.read_bytes()))
    if len(times) != count:
        raise NoNumberError(f"{len(times)} runs of {count} jobs")
    rate = (count - 1) / ((times[-1] - times[0]) / 1e9)
    ideal = rate / (contender.concurrency / (sleep_ms / 1000)) if sleep_ms else None
    return Measured(rate, ideal, times[0] / 1e9 - began, memory)


@contextlib.contextmanager
def _workers(
    contender: Contender, environment: dict[str, str], folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    with (folder / "log").open("wb") as log:
        command = [contender.python, *contender.worker]
        if contender.name == "RQ":
            command += ["--url", environment["BENCH_REDIS"]]
        workers = [
            subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
            for _ in range(contender.workers)
        ]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                try:
                    worker.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    os.killpg(worker.pid, signal.SIGKILL)
                    worker.wait()


def _size(starts: Path) -> int:
    return starts.stat().st_size // TIME.size if starts.exists() else 0


def _memory_mb(pid: int) -> float:
    """The proportional memory (MB) of a process and its descendants, which may have sessions of their own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return own + sum(_memory_mb(int(child)) for child in children.split())


def _last_words(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-1000:]


def _show(runs: dict[tuple[str, str, int], list[Measured]]) -> None:
    table = Table("jobs", "", "jobs/s", "of ideal", "first job", "memory", title="Medians", title_justify="left")
    for (mode, name, sleep_ms), measured in sorted(runs.items(), key=lambda item: (item[0][0], item[0][2])):
        rate = statistics.median(each.rate for each in measured)
        ideal = statistics.median(each.ideal or 0 for each in measured)
        first = statistics.median(each.first_job_s for each in measured)
        memory = statistics.median(each.memory_mb for each in measured)
        what = f"{sleep_ms} ms in {mode}" if sleep_ms else f"no-op in {mode}"
        share = f"{ideal:.0%}" if ideal else ""
        table.add_row(what, name, f"{rate:,.0f}", share, f"{first:.2f} s", f"{memory:.0f} MB")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def main() -> int:
    """Measure and print; the exit code is 1 if a contender has no number, 2 where they are not installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--only", action="append", metavar="NAME", help="Celery, RQ, dramatiq, auth-worker")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round")
    arguments = parser.parse_args()
    if not THEIRS.exists():
        parser.error("the rivals are not installed: make rivals")
    chosen = [each for each in CONTENDERS if not arguments.only or each.name in arguments.only]
    runs: dict[tuple[str, str, int], list[Measured]] = {}
    failures = 0
    name, binary = list(binaries().items())[-1]
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder, Server(name, binary) as server:
        print(f"{server.version}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
        for _ in range(arguments.rounds):
            for contender in chosen:
                for sleep_ms in JOBS[contender.mode]:
                    try:
                        measured = measure(contender, sleep_ms, server, Path(folder))
                    except NoNumberError as error:
                        failures += 1
                        print(f"no number: {contender.name}, {contender.mode}: {error}", file=sys.stderr)
                    else:
                        runs.setdefault((contender.mode, contender.name, sleep_ms), []).append(measured)
    _show(runs)
    if arguments.json:
        rounds = [
            {
                "mode": mode,
                "contender": name,
                "sleep_ms": sleep_ms,
                "rounds": [each._asdict() for each in measured],
            }
            for (mode, name, sleep_ms), measured in runs.items()
        ]
        arguments.json.write_text(json.dumps(rounds, indent=1))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
