"""What we write is in Redis as Node writes it: JSON in UTF-8, counted in bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker import ConfigurationError, Job, JobQueue, Settings, UnrecoverableError
from interop.conftest import StartWorker
from interop.node_side import NodeSide

TEXTS = ["я" * 450, "Zoë 🚀", "a\u2028b\u2029c", '\x7f\x1f\0"\\/', "\u202e\ufeff", "\ud800", "\\\udfff", "名前"]


@pytest.fixture
async def redis(redis_url: str) -> Any:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def test_data_progress_and_result_are_byte_for_byte_nodes(
    node: NodeSide, queue: str, start_worker: StartWorker, redis: Any, redis_url: str
) -> None:
    async def consumer(job: Job) -> Any:
        await job.update_progress(job.data)
        return job.data

    data = {text: text for text in TEXTS}
    theirs = await node.add(f"{queue}-node", "n", data)
    async with JobQueue(queue, redis_url) as jobs:
        ours = await jobs.add("n", data)
        (bulk,) = await jobs.add_bulk([{"name": "n", "data": data}])
        await jobs.upsert_job_scheduler("nightly", name="n", data=data, every=3_600_000)
    stored = await redis.hget(f"bull:{queue}-node:{theirs}", "data")
    assert "я".encode() in stored
    assert rb"\ud800" in stored
    for key in (ours, bulk, "repeat:nightly"):
        assert await redis.hget(f"bull:{queue}:{key}", "data") == stored
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=3, delayed=1)
    assert await redis.hmget(f"bull:{queue}:{ours}", "progress", "returnvalue") == [stored, stored]


async def test_a_dead_letter_quotes_the_data_in_utf_8(
    node: NodeSide, queue: str, start_worker: StartWorker, redis: Any, redis_url: str
) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("Ошибка")

    async with JobQueue(queue, redis_url) as jobs:
        await jobs.add("имя", {"я": "Привет"})
    dead = f"{queue}-dead"
    await start_worker(queue, consumer, dead_letters=dead)
    await node.until_counts(queue, failed=1)
    (letter,) = await redis.lrange(f"bull:{dead}:wait", 0, -1)
    stored = (await redis.hget(f"bull:{dead}:{letter.decode()}", "data")).decode()
    for text in ('"я":"Привет"', '"failedReason":"Ошибка"', '"name":"имя"'):
        assert text in stored
    assert json.loads(stored)["originalQueue"] == queue


async def test_sizes_are_those_that_node_counts(node: NodeSide, queue: str, redis_url: str) -> None:
    text = "я" * 450
    size = len(json.dumps(text, ensure_ascii=False).encode())
    assert size == 902
    settings = Settings(http_port=None, max_payload_bytes=2000)
    async with JobQueue(queue, redis_url, settings=settings) as jobs:
        await node.add(queue, "n", text, sizeLimit=size)
        await jobs.add("n", text, size_limit=size)
        with pytest.raises(Exception, match="exceeds the limit 901"):
            await node.add(queue, "n", text, sizeLimit=size - 1)
        with pytest.raises(ConfigurationError, match="has 902 bytes, more than size_limit allows: 901"):
            await jobs.add("n", text, size_limit=size - 1)
        await jobs.add("n", "я" * 999)
        with pytest.raises(ConfigurationError, match="has 2002 bytes"):
            await jobs.add("n", "я" * 1000)
