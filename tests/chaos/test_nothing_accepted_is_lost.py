"""Every job the broker accepted ends exactly once in completed or dead-letter, whoever dies meanwhile."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest

from chaos.fault_points import FINISH_POINTS, LETTER_POINTS
from chaos.harness import ChaosHarness
from chaos.random_failures import RandomFailures
from chaos.worker_pool import ForkServer

STORM_S = float(os.environ.get("AUTH_TEST_CHAOS_SECONDS", "8"))

MIXED: tuple[dict[str, Any], ...] = (
    {"s": 0.005},
    {"s": 0.005},
    {"do": "fail", "times": 1},
    {"do": "die"},
    {"do": "fail", "times": 9},
)


async def test_nothing_accepted_is_lost_at_any_crash_point(harness: ChaosHarness) -> None:
    """Each worker crashes at the next point, at its third passage there; then one works off what is left."""
    await harness.add(*itertools.islice(itertools.cycle(MIXED), 250), attempts=3)
    points = (*FINISH_POINTS, *LETTER_POINTS)
    for point in points:
        worker = await harness.workers.start(crash=point, crash_at=3)
        assert await worker.gone() == -9, point
    await harness.workers.start()
    assert await harness.verdict() == []
    crashed = {entry["point"] for entry in harness.run_log.entries("died") if "point" in entry}
    assert crashed == set(points)
    assert len((await harness.final_states()).letters) >= 100


async def test_nothing_accepted_is_lost_when_workers_are_killed_one_after_another(harness: ChaosHarness) -> None:
    async with harness.workers.kept_at(2):
        for _ in range(10):
            await harness.add(*itertools.islice(itertools.cycle(MIXED), 30), attempts=3)
            await harness.started(len(harness.run_log.entries("started")) + 1)
            await harness.workers.alive[0].kill()
        assert await harness.verdict() == []


@pytest.mark.timeout(STORM_S + 120)
async def test_nothing_accepted_is_lost_when_everything_fails_at_random(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    """Workers and broker killed, links cut and half-open, scripts forgotten: all of it together, at random."""
    seed = int(os.environ.get("AUTH_TEST_CHAOS_SEED") or random.SystemRandom().randrange(2**31))
    report = await RandomFailures(fork_server, tmp_path, seed, intensity=3).run(STORM_S)
    assert report.violations == [], f"\nto repeat: AUTH_TEST_CHAOS_SEED={seed}\n{report}"
    assert report.jobs > 5 * STORM_S
