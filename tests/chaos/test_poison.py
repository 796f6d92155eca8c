"""A job that kills its process ends in dead-letter, and the others go on."""

from __future__ import annotations

import pytest

from chaos.stage import Stage


async def test_a_job_that_kills_its_process_ends_in_dead_letter(stage: Stage) -> None:
    """It is in the midst of nine good ones, all running at once when it kills the first process."""
    good = [await stage.add({"s": 0.3}) for _ in range(4)]
    (poison,) = await stage.add({"do": "kill the process", "s": 0.1})
    good += [await stage.add({"s": 0.3}) for _ in range(5)]
    async with stage.crew.kept_at(1, config={"concurrency": 10}):
        assert await stage.verdict(within=30) == []
    census = await stage.census()
    assert census.completed == {job_id for (job_id,) in good}
    assert census.dead == {poison: "stalled"}
    assert len(stage.crew.hired) - 1 <= 5


async def test_innocents_beside_a_job_that_kills_process_after_process_complete(stage: Stage) -> None:
    """Two workers, three poison jobs, and a load of short jobs around them: only the poison dies."""
    await stage.add(*({"s": 0.01} for _ in range(60)))
    poison = await stage.add(*({"do": "kill the process", "s": 0.05} for _ in range(3)))
    await stage.add(*({"s": 0.01} for _ in range(60)))
    async with stage.crew.kept_at(2, config={"concurrency": 10}):
        assert await stage.verdict(within=40) == []
    assert set((await stage.census()).dead) == set(poison)
    assert len(stage.crew.hired) - 2 <= 3 * 5


@pytest.mark.parametrize("where", ["in the loop", "in a thread"])
async def test_a_stuck_job_is_not_taken_for_a_dead_one(stage: Stage, where: str) -> None:
    """A job that blocks for longer than its lock, under two workers that look for stalled jobs all the time."""
    work = {"do": "block" if where == "in the loop" else "thread", "s": 1.5}
    await stage.crew.hire(config={"concurrency": 1})
    (job_id,) = await stage.add(work)
    await stage.started()
    await stage.crew.hire()
    await stage.add(*({"s": 0.01} for _ in range(20)))
    assert await stage.verdict() == []
    assert len(stage.ledger.runs_of(job_id)) == 1
