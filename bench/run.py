"""The whole benchmark: every scenario, every round, every contender in turn."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.contenders import TITLES, node_version
from bench.measure import Measures, measure
from bench.process import ContenderError
from bench.scenarios import NODE, Scenario
from bench.server import Server, binaries

PAUSE_S = 0.2
SPIN_S = 0.5
CALM_SHARE = 0.9


@dataclass
class Results:
    """What was measured: for each server, scenario and contender the measures of every round."""

    rounds: int
    about: dict[str, Any]
    measured: dict[tuple[str, str, str], list[Measures]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def servers(self) -> list[str]:
        """The servers that were measured on."""
        return list(dict.fromkeys(server for server, _, _ in self.measured))

    def medians(self, server: str) -> dict[tuple[str, str], Measures]:
        """By scenario and contender, the median of each measure."""
        return {
            (scenario, contender): {metric: statistics.median(run[metric] for run in runs) for metric in runs[0]}
            for (where, scenario, contender), runs in self.measured.items()
            if where == server
        }

    def runs_of(self, server: str) -> list[dict[str, Any]]:
        """Every run on a server, in the order of the scenarios."""
        return [
            {"scenario": scenario, "contender": contender, "rounds": runs}
            for (where, scenario, contender), runs in self.measured.items()
            if where == server
        ]


def _share_of_a_core() -> float:
    """How much of the time a process that wants to runs: near 1 on a calm machine."""
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < SPIN_S:
        pass
    return (time.process_time() - used) / (time.perf_counter() - start)


def about() -> dict[str, Any]:
    """What it was measured with."""
    packages = {name: version(name) for name in ("auth-worker", "bullmq", "redis", "hiredis", "uvloop")}
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "share_of_a_core": _share_of_a_core(),
        "python": platform.python_version(),
        "packages": packages,
        "node_bullmq": node_version(),
    }


def run(
    scenarios: Sequence[Scenario], contenders: Sequence[str], servers: Sequence[str], rounds: int, console: Console
) -> Results:
    """Run it all, with a progress bar. A run that lost or doubled a job is told among the failures."""
    results = Results(rounds, about())
    if (share := results.about["share_of_a_core"]) < CALM_SHARE:
        console.print(f"[yellow]The machine is busy: we get {share:.0%} of a core. Do not trust the ratios.[/]")
    runs = sum(contender in contenders for scenario in scenarios for contender in scenario.contenders)
    with (
        Progress(
            TextColumn("{task.description:<56}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress,
        tempfile.TemporaryDirectory(prefix="aw-bench-logs-") as logs,
    ):
        task = progress.add_task("", total=runs * rounds * len(servers))
        for name in servers:
            with Server(name, binaries()[name]) as server:
                results.about[name] = server.version
                for scenario in scenarios:
                    if not console.is_terminal:
                        console.print(f"{name}: {scenario.title}", highlight=False)
                    for each_round in range(1, rounds + 1):
                        for contender in (each for each in scenario.contenders if each in contenders):
                            what = f"{name}, {scenario.name}, round {each_round}, {TITLES[contender]}"
                            progress.update(task, description=what)
                            _run_one(results, server, scenario, contender, Path(logs))
                            progress.advance(task)
    return results


def _run_one(results: Results, server: Server, scenario: Scenario, contender: str, logs: Path) -> None:
    try:
        measures = measure(scenario, contender, server, logs)
    except ContenderError as error:
        results.failures.append(f"{server.name}, {scenario.name}, {TITLES[contender]}: {error}")
    else:
        results.measured.setdefault((server.name, scenario.name, contender), []).append(measures)
    time.sleep(PAUSE_S)


def available(contenders: Sequence[str]) -> list[str]:
    """Those of ``contenders`` that are installed."""
    return [each for each in contenders if each != NODE or node_version() is not None]
