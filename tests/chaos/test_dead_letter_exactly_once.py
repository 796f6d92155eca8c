"""A job that failed for good has exactly one letter with its payload, wherever its worker was killed."""

from __future__ import annotations

import pytest

from chaos.fault_points import LETTER_POINTS
from chaos.harness import ChaosHarness

PAYLOAD = {"do": "die", "text": "äöü \x00 \u2028 <script>", "deep": [[[{"n": 1.5e300}]]], "big": "x" * 5000}
PATIENT = {"max_stalled_count": 10}
"""One job may be at work in each of the workers that are killed."""


@pytest.mark.parametrize("point", LETTER_POINTS)
async def test_dead_letter_exactly_once(harness: ChaosHarness, point: str) -> None:
    """Five workers in a row are killed at the point, each at another job of forty."""
    ids = await harness.add(*({**PAYLOAD, "n": n} for n in range(40)))
    for _ in range(5):
        worker = await harness.workers.start(crash=point, crash_at=3, config=PATIENT)
        assert await worker.gone() == -9
    await harness.workers.start(config=PATIENT)
    assert await harness.verdict() == []
    assert (await harness.final_states()).dead == dict.fromkeys(ids, "unrecoverable")


async def test_dead_letter_exactly_once_for_jobs_that_stalled_out(harness: ChaosHarness) -> None:
    """Their worker dies at every fetch; the next one is to fail them, and is killed in the transition too."""
    ids = await harness.add(*({"s": 0} for _ in range(3)))
    stalls = {"config": {"max_stalled_count": 1, "concurrency": 3}}
    async with harness.workers.kept_at(1, crash="after_fetch", **stalls):
        await harness.until_stalled_out(ids)
    await harness.workers.kill_all()
    for point in ("before_letter_sent", "after_letter_sent"):
        worker = await harness.workers.start(crash=point, **stalls)
        await worker.gone()
    await harness.workers.start(**stalls)
    assert await harness.verdict() == []
    assert (await harness.final_states()).dead == dict.fromkeys(ids, "stalled")
    assert harness.run_log.runs() == []
