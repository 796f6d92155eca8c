"""The overview of many queues costs Redis little."""

from __future__ import annotations

import time

import pytest

from auth_worker.admin.operations import Operations
from support.processors import QUEUE, Harness


async def test_a_queue_costs_few_commands_and_no_script(harness: Harness, operations: Operations) -> None:
    await harness.redis.hset(f"bull:{QUEUE}:meta", "opts.maxLenEvents", 10_000)
    await harness.redis.rpush(f"bull:{QUEUE}:wait", "2", "1")
    for number in range(99):
        await harness.redis.hset(f"bull:empty{number}:meta", "opts.maxLenEvents", 10_000)
    await harness.redis.config_resetstat()
    await operations.queues.overview()
    stats = await harness.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    assert not {"evalsha", "eval", "keys"} & calls.keys()
    assert sum(calls.values()) <= 100 * 13


async def test_the_marker_of_an_old_bullmq_is_no_job(harness: Harness, operations: Operations) -> None:
    await harness.redis.hset(f"bull:{QUEUE}:meta", "opts.maxLenEvents", 10_000)
    await harness.redis.hset(f"bull:{QUEUE}:1", "timestamp", int(time.time() * 1000) - 60_000)
    await harness.redis.rpush(f"bull:{QUEUE}:wait", "1", "0:1700000000000")
    queue = await operations.queues.describe_one(QUEUE)
    assert queue.waiting == 1
    assert queue.oldest_waiting_ms == pytest.approx(60_000, abs=5000)
