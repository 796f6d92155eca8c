"""``python -m bench``: measure this service against Node BullMQ and the official client, and print ratios."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from rich.console import Console

from bench.report import as_json, show
from bench.run import available, run
from bench.scenarios import NODE, WITH_BOUND, chosen
from bench.server import binaries


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, one round, one server: a sanity check")
    parser.add_argument("--full", action="store_true", help="also with a million jobs waiting")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="only these scenarios: noop-50, or noop for all of them",
    )
    parser.add_argument(
        "--contender", choices=WITH_BOUND, action="append", help="only this one (default: all of them)"
    )
    parser.add_argument(
        "--server",
        choices=sorted(binaries()),
        action="append",
        help="only on this one (default: all that are here)",
    )
    parser.add_argument("--rounds", metavar="N", type=int, help="how often (default: 3, with --quick 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every round, medians and targets")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and return the exit code: 1 if a contender lost or doubled jobs, 2 for wrong arguments."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and workers are ended too
    console = Console(stderr=True)
    try:
        scenarios = chosen(arguments.only, quick=arguments.quick, full=arguments.full)
    except ValueError as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return 2
    contenders = available(arguments.contender or WITH_BOUND)
    if NODE not in contenders and not arguments.contender:
        console.print("[yellow]Node BullMQ is not installed, so nothing is compared with it: make interop[/]")
    servers = arguments.server or list(binaries())[: 1 if arguments.quick else None]
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    results = run(scenarios, contenders, servers, rounds, console)
    show(Console(width=None if sys.stdout.isatty() else 140), results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
