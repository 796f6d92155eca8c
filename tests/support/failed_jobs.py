"""Many failed jobs with data, put where a search has to read them."""

from __future__ import annotations

import json

from support.processors import QUEUE, Harness

DATA = json.dumps({"user": {"id": 1, "name": "x" * 400}, "items": list(range(60))})


async def add_failed_jobs(harness: Harness, count: int) -> None:
    """Let ``count`` failed jobs with data stand there."""
    pipe = harness.redis.pipeline(transaction=False)
    for number in range(count):
        fields = {"name": "n", "data": DATA, "opts": "{}", "timestamp": "1", "failedReason": "Error: no"}
        pipe.hset(f"bull:{QUEUE}:{number}", mapping=fields)
        pipe.zadd(f"bull:{QUEUE}:failed", {str(number): number + 1})
    pipe.hset(f"bull:{QUEUE}:meta", "version", "bullmq")
    await pipe.execute()
