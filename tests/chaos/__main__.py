"""``python -m chaos``: breaks things for as long as asked; exit code 1 if an invariant was broken.

The random storm, or so many restarts under load, or so many jobs through one process.
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
from chaos.stage import Stage
from chaos.storm import Report, Storm
from chaos.supervisor import Nursery
from servers import Server


def main() -> int:
    """Do it, and print the figures."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the storm of this seed (default: a new one)")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default: 3)")
    parser.add_argument(
        "--intensity", type=float, default=1.0, help="factor on how often faults come (default: 1)"
    )
    parser.add_argument("--restarts", type=int, help="no storm: replace workers so many times under load")
    parser.add_argument("--jobs", type=int, help="no storm: work so many jobs in one process")
    parser.add_argument("--keep", type=Path, help="keep ledger and logs in this directory")
    options = parser.parse_args()
    nursery = Nursery()
    report: Report | Deploys | Endurance
    try:
        with tempfile.TemporaryDirectory(prefix="aw-") as temporary:
            directory = options.keep or Path(temporary)
            directory.mkdir(parents=True, exist_ok=True)
            if options.restarts or options.jobs:
                report = asyncio.run(_try(nursery, directory, options.restarts, options.jobs))
            else:
                report = asyncio.run(_rage(nursery, directory, options))
    finally:
        nursery.close()
    print(report)
    return 1 if report.violations else 0


async def _rage(nursery: Nursery, directory: Path, options: argparse.Namespace) -> Report:
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    print(f"storm of {options.minutes:g} min, seed {seed}", flush=True)
    return await Storm(nursery, directory, seed, options.intensity).rage(options.minutes * 60)


async def _try(nursery: Nursery, directory: Path, restarts: int | None, jobs: int | None) -> Deploys | Endurance:
    with Server(directory) as server:
        async with Stage(nursery, directory, server.url) as stage:
            if restarts:
                return await roll(stage, restarts)
            assert jobs
            return await endure(stage, jobs, WARM_UP)


if __name__ == "__main__":
    sys.exit(main())
