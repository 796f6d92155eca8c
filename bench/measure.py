"""One run of one contender in one scenario, and what was measured of it."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from bench.adapters.child import KEPT_COMPLETED, Order, now_us
from bench.contenders import child_of
from bench.process import ROOT, Child, ContenderError
from bench.pulse import send_pulses
from bench.queues import Queues
from bench.scenarios import OURS, Kind, Scenario
from bench.server import Server

Measures = dict[str, float]
"""By name: ``rate`` (jobs/s), ``cpu_us`` and ``redis_us`` (CPU time a job), ``limit_share`` and ``ideal_share``,
``p50_ms`` and ``p99_ms``, ``rss_mb``, ``idle_cpu`` (of one core), ``commands_s``, ``clients``, ``import_s``."""

RUN_TIMEOUT = 600.0
DRAIN_TIMEOUT = 60.0
MOST_TO_WARM_UP = 2000
WARM_PULSES = 100
SETTLE_S = 2.0


def measure(scenario: Scenario, contender: str, server: Server, logs: Path) -> Measures:
    """Run it once on an emptied server. Raises ``ContenderError`` when a job was lost or doubled."""
    if scenario.kind is Kind.IMPORT:
        return {"import_s": _import_s(scenario.module)}
    server.flush()
    log = logs / f"{scenario.name}-{contender}.log"
    with contextlib.ExitStack() as stack:
        queues = stack.enter_context(Queues(server, scenario.queues, scenario.data_kb))
        ours = server.clients()
        port = stack.enter_context(_link(server.port, scenario.link_ms)) if scenario.link_ms else server.port
        role = "producer" if scenario.kind is Kind.ENQUEUE else "worker"
        order = Order(
            role,
            port,
            queues.names,
            scenario.concurrency,
            scenario.sleep_ms,
            scenario.log_jobs or contender != OURS,
            scenario.execution,
            scenario.typed,
        )
        child = stack.enter_context(child_of(contender, order, log))
        bench = _Bench(server, queues, child, port, ours)
        match scenario.kind:
            case Kind.WORK:
                return bench.work(scenario, scenario.jobs_of(contender))
            case Kind.ENQUEUE:
                return bench.enqueue(scenario, scenario.jobs_of(contender))
            case Kind.LATENCY:
                return bench.latency(scenario)
            case _:
                return bench.idle(scenario)


class _Costs(NamedTuple):
    worker_us: float
    server_us: float
    commands: int


class _Bench:
    def __init__(self, server: Server, queues: Queues, child: Child, port: int, clients: int) -> None:
        self._server = server
        self._queues = queues
        self._child = child
        self._port = port
        self._clients = clients

    def work(self, scenario: Scenario, jobs: int) -> Measures:
        """Fill the queues while they are paused, let go, and wait for the last job."""
        warm = self._warm_up(min(jobs // 5, MOST_TO_WARM_UP))
        self._queues.pause()
        self._child.ask("expect", size=jobs + scenario.backlog, done_at=jobs)
        self._queues.fill(jobs + scenario.backlog)
        trip_s = _round_trip_s(self._port) if scenario.link_ms else 0.0
        before = self._costs()
        self._queues.resume()
        self._child.wait_for("done", RUN_TIMEOUT)
        if scenario.backlog:
            self._queues.pause()
        else:
            self._queues.wait_until_drained(DRAIN_TIMEOUT)
        end_us = now_us()
        after = self._costs()
        stats = self._child.ask("stats")
        runs = self._verify(stats, jobs + scenario.backlog, warm, leaves=bool(scenario.backlog))
        took_s = ((stats["last_us"] if scenario.backlog else end_us) - stats["first_us"]) / 1e6
        measures = _per_job(before, after, runs) | {"rate": jobs / took_s}
        measures["limit_share"] = measures["rate"] * measures["redis_us"] / 1e6
        if ideal_s := scenario.sleep_ms / 1000 + trip_s:
            measures["ideal_share"] = measures["rate"] / (scenario.concurrency / ideal_s)
        return measures | {
            "rss_mb": self._child.rss_bytes() / 2**20,
            "clients": self._server.clients() - self._clients,
        }

    def enqueue(self, scenario: Scenario, jobs: int) -> Measures:
        """Have the contender add jobs."""
        warm = min(jobs // 5, MOST_TO_WARM_UP)
        how = {"in_flight": scenario.in_flight, "kilobytes": scenario.data_kb}
        self._child.ask("add", RUN_TIMEOUT, count=warm, **how)
        before = self._server.cpu_us()
        added = self._child.ask("add", RUN_TIMEOUT, count=jobs, **how)
        server_us = self._server.cpu_us() - before
        if (found := self._queues.unfinished()) != warm + jobs:
            raise ContenderError(f"{found} jobs are in the queue instead of {warm + jobs}")
        return {
            "rate": jobs / added["seconds"],
            "cpu_us": added["cpu_us"] / jobs,
            "redis_us": server_us / jobs,
        }

    def latency(self, scenario: Scenario) -> Measures:
        """Send a job now and then to an idle worker, and see when each one starts."""
        self._warm_up(MOST_TO_WARM_UP // 4)
        for count in (WARM_PULSES, scenario.jobs):
            self._child.ask("expect", size=count, done_at=count)
            before = self._costs()
            send_pulses(self._port, self._queues.names[0], count)
            self._child.wait_for("done", RUN_TIMEOUT)
        self._queues.wait_until_drained(DRAIN_TIMEOUT)
        after = self._costs()
        stats = self._child.ask("stats")
        runs = self._verify(stats, scenario.jobs, KEPT_COMPLETED)
        cuts = statistics.quantiles(stats["waits_us"], n=100)
        return _per_job(before, after, runs) | {"p50_ms": cuts[49] / 1000, "p99_ms": cuts[98] / 1000}

    def idle(self, scenario: Scenario) -> Measures:
        """Let the worker do nothing, and see what that costs."""
        time.sleep(SETTLE_S)
        before = self._costs()
        start = time.monotonic()
        time.sleep(scenario.seconds)
        after = self._costs()
        took = time.monotonic() - start
        return {
            "idle_cpu": (after.worker_us - before.worker_us) / took / 1e6,
            "commands_s": max(after.commands - before.commands - 2, 0) / took,
            "rss_mb": self._child.rss_bytes() / 2**20,
            "clients": self._server.clients() - self._clients,
        }

    def _warm_up(self, jobs: int) -> int:
        self._child.ask("expect", size=jobs, done_at=jobs)
        self._queues.fill(jobs)
        self._child.wait_for("done", RUN_TIMEOUT)
        self._queues.wait_until_drained(DRAIN_TIMEOUT)
        return jobs

    def _costs(self) -> _Costs:
        worker_us = float(self._child.ask("stats")["cpu_us"])
        return _Costs(worker_us, self._server.cpu_us(), self._server.commands())

    def _verify(self, stats: dict[str, int], jobs: int, before: int, *, leaves: bool = False) -> int:
        """How many jobs ran; raises ``ContenderError`` unless that was each one of ``jobs`` once."""
        runs, distinct, left = stats["runs"], stats["distinct"], self._queues.unfinished()
        if runs != distinct or runs + left != jobs or (left and not leaves):
            raise ContenderError(f"of {jobs} jobs {distinct} ran, {runs} times in all, and {left} are left")
        if failed := self._queues.failed():
            raise ContenderError(f"{failed} jobs failed")
        share = (runs + before) // len(self._queues.names)
        if min(kept := self._queues.completed()) < min(share, KEPT_COMPLETED) and not leaves:
            raise ContenderError(f"{kept} completed jobs were kept of {share} in each queue")
        return runs


def _per_job(before: _Costs, after: _Costs, jobs: int) -> Measures:
    return {
        "cpu_us": (after.worker_us - before.worker_us) / jobs,
        "redis_us": (after.server_us - before.server_us) / jobs,
    }


def _import_s(module: str) -> float:
    """How long a new interpreter takes to import a module, in s."""
    program = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=RUN_TIMEOUT)
    return float(printed.stdout)


@contextlib.contextmanager
def _link(port: int, round_trip_ms: int) -> Iterator[int]:
    """A slow link to ``port``; gives the port to connect to."""
    command = [sys.executable, "-m", "bench.link", str(port), str(round_trip_ms / 2)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _round_trip_s(port: int) -> float:
    """What the link really takes there and back, in s."""
    with contextlib.closing(Redis(port=port)) as client:
        client.ping()
        trips = []
        for _ in range(30):
            start = time.perf_counter()
            client.ping()
            trips.append(time.perf_counter() - start)
    return statistics.median(trips)
