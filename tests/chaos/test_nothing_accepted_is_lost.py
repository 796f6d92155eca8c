"""Every job the broker accepted ends exactly once in completed or dead-letter, whoever dies meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

from chaos.faults import FINISH_POINTS, LETTER_POINTS
from chaos.stage import Stage

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
