"""``python -m chaos``: breaks things for as long as asked; exit code 1 if an invariant was broken.

Random failures, or so many restarts under load, or so many jobs through one process.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from chaos.deploys import Deploys, roll
from chaos.endurance import WARM_UP, Endurance, endure
from chaos.harness import ChaosHarness
from chaos.random_failures import RandomFailures, Report
from chaos.worker_pool import ForkServer
from support.servers import Server


def main() -> int:
    """Do it, and print the figures."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the failures of this seed (default: a new one)")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default: 3)")
    parser.add_argument(
        "--intensity", type=float, default=1.0, help="factor on how often faults come (default: 1)"
    )
    parser.add_argument(
        "--restarts", type=int, help="no random failures: replace workers so many times under load"
    )
    parser.add_argument("--jobs", type=int, help="no random failures: work so many jobs in one process")
    parser.add_argument("--keep", type=Path, help="keep run_log and logs in this directory")
    options = parser.parse_args()
    fork_server = ForkServer()
    report: Report | Deploys | Endurance
    try:
        with tempfile.TemporaryDirectory(prefix="aw-") as temporary:
            directory = options.keep or Path(temporary)
            directory.mkdir(parents=True, exist_ok=True)
            if options.restarts or options.jobs:
                report = asyncio.run(_try(fork_server, directory, options.restarts, options.jobs))
            else:
                report = asyncio.run(_run_random_failures(fork_server, directory, options))
    finally:
        fork_server.close()
    print(report)
    return 1 if report.violations else 0


async def _run_random_failures(fork_server: ForkServer, directory: Path, options: argparse.Namespace) -> Report:
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    print(f"random failures for {options.minutes:g} min, seed {seed}", flush=True)
    return await RandomFailures(fork_server, directory, seed, options.intensity).run(options.minutes * 60)


async def _try(
    fork_server: ForkServer, directory: Path, restarts: int | None, jobs: int | None
) -> Deploys | Endurance:
    with Server(directory) as server:
        async with ChaosHarness(fork_server, directory, server.url) as harness:
            if restarts:
                return await roll(harness, restarts)
            assert jobs
            return await endure(harness, jobs, WARM_UP)


if __name__ == "__main__":
    sys.exit(main())
