"""The producer, on a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bullmq import Queue
from redis.asyncio import Redis

from auth_worker.config import Settings
from auth_worker.errors import BrokerUnavailableError
from auth_worker.queue import JobOptions, JobQueue, job_options
from support.servers import Server, free_port


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[JobQueue]:
    async with JobQueue("work", redis_url, settings=Settings(http_port=None)) as queue:
        yield queue


async def stored(redis: Redis, job_id: str) -> dict[str, Any]:
    """Return a job's hash, with its JSON fields decoded."""
    raw: dict[Any, Any] = await redis.hgetall(f"bull:work:{job_id}")
    fields = {key.decode(): value.decode() for key, value in raw.items()}
    return {**fields, "data": json.loads(fields["data"]), "opts": json.loads(fields["opts"])}


async def ids_in(redis: Redis, state: str) -> list[str]:
    """Return the ids in a list, the next one first."""
    entries: list[Any] = await redis.lrange(f"bull:work:{state}", 0, -1)
    return [entry.decode() for entry in reversed(entries)]


async def test_a_job_arrives_with_its_name_data_and_time(queue: JobQueue, redis: Redis) -> None:
    before = time.time() * 1000
    job_id = await queue.add("send", {"to": "ann", "text": "ü\u2028\ud800\0"})
    job = await stored(redis, job_id)
    assert (job["name"], job["data"]) == ("send", {"to": "ann", "text": "ü\u2028\ud800\0"})
    assert before - 1 <= int(job["timestamp"]) <= time.time() * 1000 + 1
    assert await ids_in(redis, "wait") == [job_id]


async def test_jobs_of_a_bulk_keep_their_order_and_have_ids_of_their_own(queue: JobQueue, redis: Redis) -> None:
    ids = await queue.add_bulk([{"name": "send", "data": number} for number in range(2500)])
    assert len(set(ids)) == 2500
    assert await ids_in(redis, "wait") == ids
    assert (await stored(redis, ids[1234]))["data"] == 1234


async def test_an_empty_bulk_adds_nothing(queue: JobQueue, redis: Redis) -> None:
    assert await queue.add_bulk([]) == []
    assert await redis.keys("bull:work:*") == []


async def test_options_reach_redis_under_bullmqs_names(queue: JobQueue, redis: Redis) -> None:
    job_id = await queue.add(
        "send",
        None,
        job_id="order-17",
        attempts=5,
        backoff={"type": "exponential", "delay": 200, "jitter": 0.5},
        remove_on_complete=True,
        removeOnFail={"count": 3, "age": 60},  # type: ignore[call-arg]
        keep_logs=4,
        stack_trace_limit=2,
        telemetry_metadata="trace-1",
    )
    opts = (await stored(redis, job_id))["opts"]
    assert job_id == opts.pop("jobId") == "order-17"
    assert {key: value for key, value in opts.items() if key not in ("delay", "priority")} == {
        "attempts": 5,
        "backoff": {"type": "exponential", "delay": 200, "jitter": 0.5},
        "removeOnComplete": True,
        "removeOnFail": {"count": 3, "age": 60},
        "kl": 4,
        "stackTraceLimit": 2,
        "tm": "trace-1",
    }


async def test_equal_jobs_share_their_options(queue: JobQueue, redis: Redis) -> None:
    """A worker then parses them once. An id and a timestamp that the producer did not set are not options."""
    ids = await queue.add_bulk([{"name": "send", "data": number, "opts": {"attempts": 2}} for number in range(5)])
    texts = {await redis.hget(f"bull:work:{job_id}", "opts") for job_id in ids}
    assert len(texts) == 1


@pytest.mark.parametrize("delays", [[60_000] * 30, [60_000 + number for number in range(30)]])
async def test_delayed_jobs_are_due_when_they_should_be_alike_or_not(
    delays: list[int], queue: JobQueue, redis: Redis
) -> None:
    ids = await queue.add_bulk([{"name": "send", "data": 1, "opts": {"delay": delay}} for delay in delays])
    due: list[Any] = await redis.zrange("bull:work:delayed", 0, -1, withscores=True)
    assert [job_id.decode() for job_id, _ in due] == ids
    now = int((await stored(redis, ids[0]))["timestamp"])
    assert [int(score) // 4096 - now for _, score in due] == delays


async def test_each_kind_of_job_is_stored_where_bullmq_expects_it(
    queue: JobQueue, redis: Redis, redis_url: str
) -> None:
    await queue.add_bulk(
        [
            {"name": "later", "data": 1, "opts": {"delay": 60_000}},
            {"name": "ranked", "data": 2, "opts": {"priority": 3}},
            {"name": "plain", "data": 3},
            {"name": "first", "data": 4, "opts": {"lifo": True}},
        ]
    )
    official = Queue("work", {"connection": redis_url})
    names = {state: [job.name for job in await official.getJobs([state])] for state in ("delayed", "prioritized")}
    waiting = [(await stored(redis, job_id))["name"] for job_id in await ids_in(redis, "wait")]
    await official.close()
    assert names == {"delayed": ["later"], "prioritized": ["ranked"]}
    assert waiting == ["first", "plain"]


async def test_an_id_that_exists_adds_nothing(queue: JobQueue, redis: Redis) -> None:
    ids = [await queue.add("send", number, job_id="order-17") for number in range(3)]
    assert ids == ["order-17"] * 3
    assert await ids_in(redis, "wait") == ["order-17"]
    assert (await stored(redis, "order-17"))["data"] == 0


async def test_a_deduplicated_job_is_added_once(queue: JobQueue, redis: Redis) -> None:
    first = await queue.add("send", 1, deduplication={"id": "ann"})
    second = await queue.add("send", 2, deduplication={"id": "ann"})
    assert first == second
    assert await ids_in(redis, "wait") == [first]


async def test_default_options_apply_unless_a_job_sets_its_own(redis_url: str, redis: Redis) -> None:
    async with JobQueue("work", redis_url, default_options={"attempts": 7, "keep_logs": 2}) as queue:
        first, second = await queue.add_bulk([{"name": "a", "data": 1}, {"name": "b", "opts": {"attempts": 2}}])
    assert [(await stored(redis, job_id))["opts"]["attempts"] for job_id in (first, second)] == [7, 2]
    assert (await stored(redis, second))["data"] is None


def test_an_option_can_be_written_either_way() -> None:
    assert job_options({"removeOnComplete": 5, "keepLogs": 1}) == job_options(
        {"remove_on_complete": 5, "keep_logs": 1}
    )
    assert JobOptions().wire() == {}


async def test_many_tasks_add_over_one_connection(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("shared", redis_url)
    ids = await asyncio.gather(*(queue.add("send", number) for number in range(100)))
    clients = [client["name"] for client in await redis.client_list()]
    await queue.close()
    assert len(set(ids)) == 100
    assert clients.count("auth-worker:producer:shared") == 1


async def test_a_script_redis_has_forgotten_is_loaded_again(queue: JobQueue, redis: Redis) -> None:
    await queue.add("send", 1)
    await redis.script_flush()
    ids = await queue.add_bulk([{"name": "send", "data": number} for number in range(3)])
    assert (await ids_in(redis, "wait"))[-3:] == ids


async def test_a_broken_connection_is_made_again_and_nothing_is_added_twice(queue: JobQueue, redis: Redis) -> None:
    await queue.add("send", 0)
    [client] = [c for c in await redis.client_list() if c["name"] == "auth-worker:producer:work"]
    adding = asyncio.create_task(queue.add_bulk([{"name": "send", "data": number} for number in range(20_000)]))
    while await redis.llen("bull:work:wait") == 1:
        pass
    await redis.client_kill_filter(_id=client["id"])
    assert await redis.llen("bull:work:wait") < 20_001, "the connection was cut in the middle of the bulk"
    ids = await asyncio.wait_for(adding, 20)
    waiting = await ids_in(redis, "wait")
    assert sorted(waiting[1:]) == sorted(ids)


async def test_without_redis_adding_ends_with_a_broker_error() -> None:
    queue = JobQueue("work", f"redis://127.0.0.1:{free_port()}", timeout=0.3)
    with pytest.raises(BrokerUnavailableError, match="cannot connect"):
        await queue.add("send", 1)
    await queue.close()


async def test_a_redis_that_goes_away_ends_adding_in_time() -> None:
    with Server() as server:
        async with JobQueue("work", server.url, timeout=0.5) as queue:
            await queue.add("send", 1)
            server.pause()
            with pytest.raises(BrokerUnavailableError, match="same job_id is safe"):
                await queue.add("send", 2)
            server.resume()


async def test_a_queue_can_be_closed_twice_and_used_again(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    await queue.close()
    first = await queue.add("send", 1)
    await queue.close()
    await queue.close()
    second = await queue.add("send", 2)
    await queue.close()
    assert await ids_in(redis, "wait") == [first, second]


async def test_the_settings_give_the_address_and_the_prefix(redis_url: str, redis: Redis) -> None:
    settings = Settings(redis_url=redis_url, prefix="mine", http_port=None)
    async with JobQueue("work", settings=settings) as queue:
        job_id = await queue.add("send", 1)
    assert await redis.exists(f"mine:work:{job_id}")


async def test_without_any_address_the_embedded_broker_serves(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", http_port=None)
    async with JobQueue("work", settings=settings) as queue:
        assert await queue.add("send", 1, job_id="a") == "a"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1", 1), ("0", 0), (1.0, 1), ("5", 5), ("false", False), ("TRUE", True), (True, True), (1, 1)],
)
def test_a_count_to_keep_is_not_read_as_true(given: object, kept: object) -> None:
    stored = job_options({"removeOnFail": given}).wire()["removeOnFail"]
    assert (stored, type(stored)) == (kept, type(kept))
