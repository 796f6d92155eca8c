"""Deploys: workers replaced one after another under load, every other one with a deadline that is too short."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from dataclasses import dataclass

from chaos.harness import ChaosHarness

WORKERS = 3
LOAD = ({"s": 0.01}, {"s": 0.02}, {"s": 0.05}, {"s": 0.2})


@dataclass(frozen=True)
class Deploys:
    """What so many restarts did. All that is wrong is in ``violations``."""

    restarts: int
    jobs: int
    handed_back: int
    violations: list[str]

    def __str__(self) -> str:
        kinds = Counter(violation.partition(" ")[2] for violation in self.violations)
        wrong = "\n".join(f"  {count:5} x {kind}" for kind, count in kinds.items())
        return (
            f"{self.restarts} restarts, {self.jobs} jobs, {self.handed_back} runs handed back: "
            f"{len(self.violations)} violations\n{wrong}".strip()
        )


async def roll(harness: ChaosHarness, restarts: int) -> Deploys:
    """Restart so many times, then wait for quiescence and judge."""
    works, workers = itertools.cycle(LOAD), harness.workers
    codes = []
    for _ in range(WORKERS):
        await workers.start()
    for number in range(restarts):
        await harness.add(*itertools.islice(works, 40))
        await harness.started(len(harness.run_log.entries("started")) + 10)
        oldest = workers.alive[0]
        await workers.start(settings={"shutdown_timeout": 10 if number % 2 else 0.05})
        oldest.signal(signal.SIGTERM)
        codes.append(await oldest.gone())
    violations = await harness.verdict()
    runs = harness.run_log.runs()
    violations += [f"{job_id} is dead" for job_id in (await harness.final_states()).dead]
    violations += [f"{run.id} was charged with an attempt" for run in runs if run.attempt > 1]
    violations += [f"{run.id} was charged with a stall" for run in runs if run.stalled]
    violations += [f"{run.id} {run.how}" for run in runs if run.how not in ("returned", "cancelled")]
    violations += [f"worker ended with {code}" for code in codes if code not in (0, 3)]
    handed_back = sum(run.how == "cancelled" for run in runs)
    return Deploys(restarts, len(harness.run_log.accepted()), handed_back, violations)
