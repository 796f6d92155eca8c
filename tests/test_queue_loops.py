"""One producer serves any number of event loops and threads."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop
from redis import Redis

from auth_worker.config import Settings
from auth_worker.errors import BrokerUnavailableError
from auth_worker.queue import JobQueue
from support.producer_clients import producers, until_connected, waiting
from support.servers import Server, free_port

NewLoop = Callable[[], asyncio.AbstractEventLoop]
each_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.ping()  # its descriptor is there from the beginning
        yield client


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run(new_loop: NewLoop, coroutine: object) -> object:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


@each_loop
def test_one_event_loop_after_another_adds(new_loop: NewLoop, redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    started = time.monotonic()
    ids = [run(new_loop, queue.add("send", number)) for number in range(5)]
    assert waiting(redis) == ids
    assert time.monotonic() - started < 10, "no add waited for its timeout"


@each_loop
def test_a_queue_dropped_with_its_loop_leaves_no_connection_behind(
    new_loop: NewLoop, redis_url: str, redis: Redis
) -> None:
    """Whether a reply is still awaited or a result, and with every warning as an error."""

    async def drop() -> None:
        queue = JobQueue("work", redis_url)
        job_id = await queue.add("send", 0)
        for unanswered in (queue.add("send", 1), queue.result(job_id, 60)):
            asyncio.ensure_future(unanswered).add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)

    run(new_loop, drop())
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        run(new_loop, drop())
    gc.collect()
    assert open_descriptors() <= before


@each_loop
def test_a_loop_that_ends_closes_its_connection(new_loop: NewLoop, redis_url: str, redis: Redis) -> None:
    """Without ``close``, and with every warning as an error: none may report a socket or task left behind."""
    queue = JobQueue("work", redis_url)
    run(new_loop, queue.add("send", 0))
    gc.collect()
    before = open_descriptors()
    for number in range(100):
        run(new_loop, queue.add("send", number))
    gc.collect()
    assert open_descriptors() <= before
    assert len(queue._own_broker._senders) == 0  # type: ignore[attr-defined]
    until_connected(redis, 0)


def test_a_thousand_loops_leak_nothing(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    before = open_descriptors()
    ids = [asyncio.run(queue.add("send", number)) for number in range(1000)]
    assert open_descriptors() <= before
    assert len(set(ids)) == len(waiting(redis)) == 1000
    until_connected(redis, 0)


def test_a_loop_closed_without_a_shutdown_is_cleaned_up_after(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    before = open_descriptors()
    for number in range(20):
        loop = asyncio.new_event_loop()
        job_id = loop.run_until_complete(queue.add("send", number))
        with pytest.raises(TimeoutError):
            loop.run_until_complete(queue.result(job_id, 0.02))
        loop.close()
        del loop
    assert len(producers(redis)) <= 2
    del queue
    gc.collect()
    assert open_descriptors() <= before
    until_connected(redis, 0)


def test_a_loop_closed_without_a_shutdown_is_cleaned_up_by_close(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue.add("send", 1))
    loop.close()
    asyncio.run(queue.close())
    until_connected(redis, 0)
    gc.collect()


def test_a_queue_that_is_dropped_closes_its_connection(redis_url: str, redis: Redis) -> None:
    async def add_and_forget() -> None:
        for number in range(20):
            await JobQueue("work", redis_url).add("send", number)
        await asyncio.sleep(0)
        deadline = time.monotonic() + 5
        while producers(redis):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    asyncio.run(add_and_forget())
    assert len(waiting(redis)) == 20


@each_loop
def test_threads_with_loops_of_their_own_add_at_once(new_loop: NewLoop, redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    barrier = threading.Barrier(8)

    async def many() -> list[str]:
        barrier.wait()
        one_by_one = [await queue.add("send", number, attempts=2) for number in range(50)]
        together = await asyncio.gather(*(queue.add("send", number, attempts=2) for number in range(50)))
        bulk = await queue.add_bulk([{"name": "send", "data": number} for number in range(50)])
        return [*one_by_one, *together, *bulk]

    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(run, new_loop, many()) for _ in range(8)]
    ids = [job_id for each in found for job_id in each.result()]  # type: ignore[attr-defined]
    assert len(ids) == 8 * 150
    assert sorted(waiting(redis)) == sorted(ids)
    until_connected(redis, 0)


def test_leaving_the_context_in_one_loop_leaves_the_others_alone(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    entered, left = threading.Event(), threading.Event()

    async def stays() -> list[str]:
        async with queue:
            first = await queue.add("send", 1)
            entered.set()
            await asyncio.to_thread(left.wait, 10)
            assert len(producers(redis)) == 1
            return [first, await queue.add("send", 3)]

    async def leaves() -> str:
        async with queue:
            assert len(producers(redis)) == 2
            return await queue.add("send", 2)

    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(asyncio.run, stays())
        assert entered.wait(10)
        middle = asyncio.run(leaves())
        until_connected(redis, 1)
        left.set()
        first, last = staying.result(10)
    assert waiting(redis) == [first, middle, last]


async def test_the_last_task_of_a_loop_to_leave_the_context_disconnects(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    async with queue:
        async with queue:
            await queue.add("send", 1)
        before = producers(redis)
        await queue.add("send", 2)
        assert producers(redis) == before
    until_connected(redis, 0)


async def test_jobs_added_while_redis_is_away_share_one_attempt_to_connect() -> None:
    queue = JobQueue("work", f"redis://127.0.0.1:{free_port()}", timeout=0.5)
    started = time.monotonic()
    answers = await asyncio.gather(*(queue.add("send", number) for number in range(50)), return_exceptions=True)
    assert all(isinstance(answer, BrokerUnavailableError) for answer in answers)
    assert time.monotonic() - started < 5


async def test_a_cancelled_add_cancels_no_other(redis_url: str, redis: Redis) -> None:
    queue = JobQueue("work", redis_url)
    first, second = (asyncio.create_task(queue.add("send", number)) for number in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second in waiting(redis)
    await queue.close()


def test_jobs_can_be_added_while_a_loop_shuts_down(redis_url: str, redis: Redis) -> None:
    """asyncio.run cancels every task at its end, also those of a connection; cleanup code still adds."""
    queue = JobQueue("work", redis_url)

    async def cleaning_up(first: bool) -> None:
        try:
            if first:
                await queue.add("send", 1)
            await asyncio.Event().wait()
        finally:
            await queue.add("send", 2)

    async def main(first: bool) -> asyncio.Task[None]:
        task = asyncio.create_task(cleaning_up(first))
        await asyncio.sleep(0.1)
        return task

    for first in (True, False):
        started = time.monotonic()
        asyncio.run(main(first))
        assert time.monotonic() - started < 5
    assert len(waiting(redis)) == 3
    gc.collect()
    until_connected(redis, 0)


def test_the_embedded_broker_serves_loop_after_loop(tmp_path: Path) -> None:
    queue = JobQueue("work", settings=Settings(state_dir=tmp_path / "state", http_port=None))
    for job_id in ("a", "b"):
        assert asyncio.run(queue.add("send", 1, job_id=job_id)) == job_id

    async def leave() -> str:
        async with queue:
            return await queue.add("send", 1, job_id="c")

    with ThreadPoolExecutor(2) as pool:
        assert {each.result(30) for each in [pool.submit(asyncio.run, leave()) for _ in range(4)]} == {"c"}
    assert asyncio.run(queue.add("send", 1, job_id="d")) == "d"
    asyncio.run(queue.close())


def test_schedulers_work_in_any_loop(redis_url: str) -> None:
    queue = JobQueue("work", redis_url)
    for _ in range(2):
        assert asyncio.run(queue.upsert_job_scheduler("daily", name="send", every=60_000))
    assert [asyncio.run(queue.remove_job_scheduler("daily")) for _ in range(2)] == [True, False]


MODULE_QUEUE: list[JobQueue] = []


@pytest.mark.parametrize("number", range(3))
async def test_a_queue_of_a_module_serves_each_tests_loop(number: int, server: Server) -> None:
    if not MODULE_QUEUE:
        MODULE_QUEUE.append(JobQueue("of-a-module", server.url))
    assert await MODULE_QUEUE[0].add("send", number)
