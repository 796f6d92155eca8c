"""Nothing grows: memory, file descriptors and connections stay flat under mixed load and broken links."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import pytest

from chaos.endurance import WARM_UP, endure
from chaos.harness import ChaosHarness

SOAK_S = float(os.environ.get("AUTH_TEST_CHAOS_SECONDS", "8"))
JOBS = int(os.environ.get("AUTH_TEST_CHAOS_JOBS", "20000"))
BATCH = 400
GROWTH = 0.10
MIXED: tuple[dict[str, Any], ...] = (
    *({"s": 0.001},) * 6,
    {"do": "fail", "times": 1},
    {"do": "die"},
    {"do": "thread", "s": 0.001},
)


@pytest.mark.timeout(SOAK_S + 60)
async def test_memory_and_descriptors_stay_flat_over_a_soak(harness: ChaosHarness) -> None:
    """Batches of mixed jobs, the connections reset after each; the first third warms up, then nothing may grow."""
    keep = {"remove_on_complete": {"count": 100}, "remove_on_fail": {"count": 100}, "concurrency": 50}
    worker = await harness.workers.start(config=keep, settings={"log_jobs": False, "dead_letter_max_count": 100})
    works, began = itertools.cycle(MIXED), time.monotonic()
    memory, files, jobs = 0, 0, 0
    while (passed := time.monotonic() - began) < SOAK_S:
        await harness.jobs.add_bulk(
            {"name": "work", "data": work, "opts": {"attempts": 2}} for work in itertools.islice(works, BATCH)
        )
        jobs += BATCH
        await harness.drained()
        await harness.redis.client_kill_filter(_type="normal", skipme=True)
        if not memory and passed > SOAK_S / 3:
            memory, files = worker.memory, worker.open_files
    assert jobs > 3 * BATCH
    assert worker.memory < memory * (1 + GROWTH) + 2**20, f"after {jobs} jobs"
    assert abs(worker.open_files - files) <= 5


@pytest.mark.timeout(60 + JOBS / 1000)
async def test_no_job_leaves_anything_behind_in_its_process(harness: ChaosHarness) -> None:
    """Neither memory nor files, threads or tasks; ``make chaos JOBS=1000000`` for more of them."""
    endurance = await endure(harness, JOBS, WARM_UP)
    assert endurance.violations == [], str(endurance)
