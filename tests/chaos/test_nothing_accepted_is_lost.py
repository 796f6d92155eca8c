"""Every job the broker accepted ends exactly once in completed or dead-letter, whoever dies meanwhile."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest

from chaos.faults import FINISH_POINTS, LETTER_POINTS
from chaos.stage import Stage
from chaos.storm import Storm
from chaos.supervisor import Nursery

STORM_S = float(os.environ.get("AUTH_TEST_CHAOS_SECONDS", "8"))

MIXED: tuple[dict[str, Any], ...] = (
    {"s": 0.005},
    {"s": 0.005},
    {"do": "fail", "times": 1},
    {"do": "die"},
    {"do": "fail", "times": 9},
)


async def test_nothing_accepted_is_lost_at_any_crash_point(stage: Stage) -> None:
    """Each worker crashes at the next point, at its third passage there; then one works off what is left."""
    await stage.add(*itertools.islice(itertools.cycle(MIXED), 250), attempts=3)
    points = (*FINISH_POINTS, *LETTER_POINTS)
    for point in points:
        worker = await stage.crew.hire(crash=point, crash_at=3)
        assert await worker.gone() == -9, point
    await stage.crew.hire()
    assert await stage.verdict() == []
    crashed = {entry["point"] for entry in stage.ledger.entries("died") if "point" in entry}
    assert crashed == set(points)
    assert len((await stage.census()).letters) >= 100


async def test_nothing_accepted_is_lost_when_workers_are_killed_one_after_another(stage: Stage) -> None:
    async with stage.crew.kept_at(2):
        for _ in range(10):
            await stage.add(*itertools.islice(itertools.cycle(MIXED), 30), attempts=3)
            await stage.started(len(stage.ledger.entries("started")) + 1)
            await stage.crew.alive[0].kill()
        assert await stage.verdict() == []


@pytest.mark.timeout(STORM_S + 120)
async def test_nothing_accepted_is_lost_in_a_storm_of_everything(nursery: Nursery, tmp_path: Path) -> None:
    """Workers and broker killed, links cut and half-open, scripts forgotten: all of it together, at random."""
    seed = int(os.environ.get("AUTH_TEST_CHAOS_SEED") or random.SystemRandom().randrange(2**31))
    report = await Storm(nursery, tmp_path, seed, intensity=3).rage(STORM_S)
    assert report.violations == [], f"\nto repeat: AUTH_TEST_CHAOS_SEED={seed}\n{report}"
    assert report.jobs > 5 * STORM_S
