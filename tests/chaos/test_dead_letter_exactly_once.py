"""A job that failed for good has exactly one letter with its payload, wherever its worker was killed."""

from __future__ import annotations

import pytest

from chaos.faults import LETTER_POINTS
from chaos.stage import Stage

PAYLOAD = {"do": "die", "text": "äöü \x00 \u2028 <script>", "deep": [[[{"n": 1.5e300}]]], "big": "x" * 5000}


@pytest.mark.parametrize("point", LETTER_POINTS)
async def test_dead_letter_exactly_once(stage: Stage, point: str) -> None:
    """Five workers in a row are killed at the point, each at another job of forty."""
    ids = await stage.add(*({**PAYLOAD, "n": n} for n in range(40)))
    for _ in range(5):
        worker = await stage.crew.hire(crash=point, crash_at=3)
        assert await worker.gone() == -9
    await stage.crew.hire()
    assert await stage.verdict() == []
    assert (await stage.census()).dead == dict.fromkeys(ids, "unrecoverable")


async def test_dead_letter_exactly_once_for_jobs_that_stalled_out(stage: Stage) -> None:
    """Their worker dies at every fetch; another one finds them condemned, and is killed in the transition too."""
    ids = await stage.add(*({"s": 0} for _ in range(3)))
    stalls = {"config": {"max_stalled_count": 1, "concurrency": 3}}
    async with stage.crew.kept_at(1, crash="after_fetch", **stalls):
        await stage.until_condemned(ids)
    await stage.crew.dismiss()
    for point in ("before_letter_sent", "after_letter_sent"):
        worker = await stage.crew.hire(crash=point, **stalls)
        await worker.gone()
    await stage.crew.hire(**stalls)
    assert await stage.verdict() == []
    assert (await stage.census()).dead == dict.fromkeys(ids, "stalled")
    assert stage.ledger.runs() == []
