"""A job that kills its process ends in dead-letter, and the others go on."""

from __future__ import annotations

import pytest

from chaos.harness import ChaosHarness
from chaos.scenarios import LOCK_OF_INNOCENTS_MS

CONFIG = {"concurrency": 10, "lock_duration": LOCK_OF_INNOCENTS_MS}


async def test_a_job_that_kills_its_process_ends_in_dead_letter(harness: ChaosHarness) -> None:
    """Nine good jobs are running beside it when it kills the first process."""
    good = [await harness.add({"s": 0.3}) for _ in range(4)]
    (poison,) = await harness.add({"do": "kill the process", "s": 0.1})
    good += [await harness.add({"s": 0.3}) for _ in range(5)]
    async with harness.workers.kept_at(1, config=CONFIG):
        assert await harness.verdict(within=30) == []
    final_states = await harness.final_states()
    assert final_states.completed == {job_id for (job_id,) in good}
    assert final_states.dead == {poison: "stalled"}
    assert len(harness.workers.started) - 1 <= 5


async def test_innocents_beside_a_job_that_kills_process_after_process_complete(harness: ChaosHarness) -> None:
    """Two workers, three poison jobs, and a load of short jobs around them: only the poison dies."""
    await harness.add(*({"s": 0.01} for _ in range(60)))
    poison = await harness.add(*({"do": "kill the process", "s": 0.05} for _ in range(3)))
    await harness.add(*({"s": 0.01} for _ in range(60)))
    async with harness.workers.kept_at(2, config=CONFIG):
        assert await harness.verdict(within=40) == []
    assert set((await harness.final_states()).dead) == set(poison)
    assert len(harness.workers.started) - 2 <= 3 * 5


@pytest.mark.parametrize("where", ["in the loop", "in a thread"])
async def test_a_stuck_job_is_not_taken_for_a_dead_one(harness: ChaosHarness, where: str) -> None:
    """A job that blocks for longer than its lock, under two workers that look for stalled jobs all the time."""
    work = {"do": "block" if where == "in the loop" else "thread", "s": 1.5}
    await harness.workers.start(config={"concurrency": 1})
    (job_id,) = await harness.add(work)
    await harness.started()
    await harness.workers.start()
    await harness.add(*({"s": 0.01} for _ in range(20)))
    assert await harness.verdict() == []
    assert len(harness.run_log.runs_of(job_id)) == 1
