"""Large payloads and results: they work where the limits allow them, and are refused with a reason where not."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from auth_worker import ConfigurationError, Job, JobQueue, QueueProcessorService, Settings
from support.processors import DEAD, FAST, QUEUE, Harness, eventually

MB = 10**6
RAISED = {"max_payload_bytes": 64 * MB, "max_result_bytes": 64 * MB}
STANDSTILL_S = 10.0
"""How long another queue may wait while 50 MB are read and written back; on an idle machine it is about one."""
LENIENT = {**FAST, "lock_duration": 30_000}
ROWS = [{"id": number, "name": "x" * 200, "tags": ["a", "b"]} for number in range(220_000)]
"""As JSON 50 MB, in many small pieces, which take the longest to read."""


def resident() -> int:
    """The memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
async def generous(harness: Harness) -> Harness:
    """A harness whose producer takes large jobs."""
    await harness.jobs.close()
    harness.jobs = JobQueue(QUEUE, harness.url, settings=Settings(http_port=None, **RAISED))
    return harness


async def test_50_mb_work_within_raised_limits_and_another_queue_goes_on(generous: Harness) -> None:
    """Run once, its lease kept, under checks for stalled jobs; nothing of it stays in memory."""
    harness, seen, gaps = generous, [], []

    async def consumer(job: Job) -> Any:
        seen.append((len(job.data), job.attempt, job.stalled_count))
        return job.data[:20_000]

    async def other(job: Job) -> None:
        gaps.append(time.monotonic())

    await harness.jobs.add("large", ROWS)
    size = await _size(harness)
    assert size > 50 * MB
    gc.collect()
    before = resident()
    neighbour = QueueProcessorService(
        queue_name="other",
        connection=harness.url,
        processor=other,
        worker_config=FAST,
        settings=harness.settings(),
    )
    await neighbour.initialize()
    async with JobQueue("other", harness.url) as jobs:
        feeding = asyncio.create_task(_feed(jobs))
        await eventually(lambda: gaps)
        await harness.processor(consumer, LENIENT, settings=RAISED)
        assert (await harness.settled(1, within=30))["completed"] == 1
        count = len(gaps)
        await eventually(lambda: len(gaps) > count + 5, "the other queue goes on")
        feeding.cancel()
    await neighbour.close(1)
    assert seen == [(len(ROWS), 1, 0)]
    (job_id,) = await harness.redis.zrange(f"bull:{QUEUE}:completed", 0, -1)
    stored = await harness.redis.hget(f"bull:{QUEUE}:{job_id.decode()}", "returnvalue")
    assert (len(stored) > 4 * MB, json.loads(stored) == ROWS[:20_000]) == (True, True)
    assert max(later - earlier for earlier, later in itertools.pairwise(gaps)) < STANDSTILL_S
    del stored
    gc.collect()
    assert resident() - before < 2 * size


async def test_a_result_of_5_mb_is_stored_at_the_defaults_and_one_of_20_is_refused(harness: Harness) -> None:
    async def consumer(job: Job) -> str:
        return "x" * int(job.data["bytes"])

    fits = await harness.jobs.add("fits", {"bytes": 5 * MB})
    await harness.jobs.add("too large", {"bytes": 20 * MB})
    await harness.processor(consumer, LENIENT)
    await harness.settled(2)
    assert await harness.redis.hstrlen(f"bull:{QUEUE}:{fits}", "returnvalue") == 5 * MB + 2
    (letter,) = await harness.dead_letters()
    assert letter["name"] == "too large"
    assert letter["reasonClass"] == "unrecoverable"
    assert "20,000,002 bytes" in letter["failedReason"]
    assert "max_result_bytes" in letter["failedReason"]


async def test_50_mb_are_refused_at_the_defaults_by_the_producer_and_by_the_worker(generous: Harness) -> None:
    """The worker meets them where another producer, such as Node's, knows no limit."""
    harness, text = generous, "x" * 50 * MB

    async def consumer(job: Job) -> None:
        raise AssertionError("nobody may see it")

    async with JobQueue(QUEUE, harness.url) as modest:
        with pytest.raises(ConfigurationError, match=rf"{50 * MB + 2} bytes, more than max_payload_bytes allows"):
            await modest.add("large", text)
    job_id = await harness.jobs.add("large", text)
    await harness.processor(consumer, LENIENT)
    assert (await harness.settled(1))["failed"] == 1
    (letter,) = await harness.dead_letters()
    assert (letter["originalJobId"], letter["reasonClass"]) == (job_id, "invalid_payload")
    assert "50,000,002 bytes" in letter["failedReason"]
    assert "max_payload_bytes" in letter["failedReason"]
    assert letter["rawTruncated"]
    (stored,) = await harness.redis.lrange(f"bull:{DEAD}:wait", 0, -1)
    assert await harness.redis.hstrlen(f"bull:{DEAD}:{stored.decode()}", "data") < 3 * MB


async def _size(harness: Harness) -> int:
    (job_id,) = await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1)
    return int(await harness.redis.hstrlen(f"bull:{QUEUE}:{job_id.decode()}", "data"))


async def _feed(jobs: JobQueue) -> None:
    while True:
        await jobs.add("small", {})
        await asyncio.sleep(0.02)
