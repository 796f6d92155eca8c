"""``python -m chaos``: the random storm for as long as asked; exit code 1 if an invariant was broken."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from chaos.storm import Storm
from chaos.supervisor import Nursery


def main() -> int:
    """Rage, and print the figures."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the storm of this seed (default: a new one)")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default: 3)")
    parser.add_argument(
        "--intensity", type=float, default=1.0, help="factor on how often faults come (default: 1)"
    )
    parser.add_argument("--keep", type=Path, help="keep ledger and logs in this directory")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    print(f"storm of {options.minutes:g} min, seed {seed}", flush=True)
    nursery = Nursery()
    try:
        with tempfile.TemporaryDirectory(prefix="aw-") as temporary:
            directory = options.keep or Path(temporary)
            directory.mkdir(parents=True, exist_ok=True)
            storm = Storm(nursery, directory, seed, options.intensity)
            report = asyncio.run(storm.rage(options.minutes * 60))
    finally:
        nursery.close()
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
