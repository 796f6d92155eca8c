"""What closing a producer ends, and what it leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from auth_worker.errors import BrokerUnavailableError
from auth_worker.queue import JobQueue
from support.producer_clients import producers, until_connected, waiting
from support.servers import Server, free_port


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.ping()  # its descriptor is there from the beginning
        yield client


def test_close_ends_the_connections_of_other_loops_too(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    connected, closed = threading.Event(), threading.Event()

    async def other() -> str:
        await queue.add("send", 1)
        connected.set()
        await asyncio.to_thread(closed.wait, 10)
        assert len(producers(redis)) == 0
        return await queue.add("send", 3)

    async def closing() -> None:
        await queue.add("send", 2)
        await queue.close()

    sleeping = asyncio.new_event_loop()
    sleeping.run_until_complete(queue.add("send", 0))
    with ThreadPoolExecutor(1) as pool:
        living = pool.submit(asyncio.run, other())
        assert connected.wait(10)
        asyncio.run(closing())
        until_connected(redis, 1)  # that of the loop that does not run
        sleeping.run_until_complete(asyncio.sleep(0.05))
        until_connected(redis, 0)
        closed.set()
        last = living.result(10)
    assert waiting(redis)[-1] == last
    sleeping.run_until_complete(queue.add("send", 4))
    sleeping.run_until_complete(sleeping.shutdown_asyncgens())
    sleeping.close()
    until_connected(redis, 0)


async def test_close_waits_for_jobs_that_are_being_added(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    await queue.add("send", 0)
    adding = [asyncio.create_task(queue.add("send", number)) for number in range(100)]
    await asyncio.sleep(0)
    await queue.close()
    ids = await asyncio.gather(*adding)
    assert sorted(waiting(redis)[1:]) == sorted(ids)


async def test_close_ends_an_add_without_a_reply() -> None:
    with Server() as server:
        queue = JobQueue("work", server.url)
        await queue.add("send", 0)
        server.pause()
        adding = asyncio.create_task(queue.add("send", 1))
        await asyncio.sleep(0.1)
        await queue.close()
        with pytest.raises(BrokerUnavailableError, match="was closed while jobs were being added"):
            await asyncio.wait_for(adding, 3)
        server.resume()


async def test_close_ends_an_attempt_to_connect() -> None:
    queue = JobQueue("work", f"redis://127.0.0.1:{free_port()}", timeout=30)
    adding = asyncio.create_task(queue.add("send", 1))
    await asyncio.sleep(0.1)
    await queue.close()
    with pytest.raises(BrokerUnavailableError, match="was closed"):
        await asyncio.wait_for(adding, 3)
