"""Measure plain functions in processes and threads beside Celery, dramatiq and RQ, each with its defaults.

All jobs wait before the worker starts, so that the time to its first job is measured too. Celery's defaults
acknowledge a job before it runs: one that a crash interrupts is lost there, and run again here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.contenders import TITLES
from bench.process import ContenderError
from bench.report import METRICS, as_json, targets_table
from bench.rivals.contenders import CONTENDERS, THEIRS, WORK
from bench.rivals.measure import measure
from bench.run import Results, about
from bench.server import Server, binaries

SHOWN = ("rate", "ideal_share", "first_job_s", "cpu_us", "rss_mb")


def run(only: list[str], rounds: int) -> Results:
    """Each work, each round, each contender in turn, on one server: Redis where it is here."""
    name = "redis" if "redis" in binaries() else "valkey"
    results = Results(rounds, about())
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder, Server(name, binaries()[name]) as server:
        results.about[name] = server.version
        for work in WORK:
            print(work.title, file=sys.stderr)
            contenders = [
                each for each in CONTENDERS if work.mode in each.modes and (not only or each.name in only)
            ]
            for _ in range(rounds):
                for contender in contenders:
                    key = (name, work.name, contender.name)
                    try:
                        measured = measure(contender, work, server, Path(folder))
                    except ContenderError as error:
                        results.failures.append(f"{work.title}, {TITLES[contender.name]}: {error}")
                    else:
                        results.measured.setdefault(key, []).append(measured)
    return results


def show(console: Console, results: Results) -> None:
    """Print the medians, and which targets were met."""
    titles = {work.name: work.title for work in WORK}
    for server in results.servers:
        medians = results.medians(server)
        table = Table("jobs", "", *(METRICS[metric][0] for metric in SHOWN), title_justify="left")
        table.title = f"{results.about[server]}: medians of {results.rounds}"
        for (work, contender), measures in medians.items():
            cells = [METRICS[metric][1](measures[metric]) if metric in measures else "" for metric in SHOWN]
            table.add_row(titles[work], TITLES[contender], *cells)
        console.print(table)
        console.print(targets_table(server, medians))
    for failure in results.failures:
        console.print(f"[red]no number:[/] {failure}", highlight=False)


def main() -> int:
    """Measure and print; the exit code is 1 if a contender has no number, 2 where they are not installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    names = sorted({each.name for each in CONTENDERS})
    parser.add_argument("--only", action="append", default=[], choices=names, help="only this contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round, medians and targets")
    arguments = parser.parse_args()
    if not THEIRS.exists():
        parser.error("the rivals are not installed: make rivals")
    began = time.monotonic()
    results = run(arguments.only, arguments.rounds)
    show(Console(width=None if sys.stdout.isatty() else 140), results)
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
