"""Queues and prefixes are found by their keys, and keys of jobs and schedulers are none of theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from auth_worker import Job, JobQueue, Settings
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.operations import Operations
from auth_worker.brokers.redis import queue_finder
from support.operators import operations_on
from support.processors import QUEUE, Harness, eventually
from support.servers import Server

PREFIXES = ("bull", "app:jobs", "app:jobs:eu", "[b*?]\\\\", "{app:x}", "名前:🚀", "a b", ":", "x::y")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    """The server, to write to it as others would."""
    async with Redis.from_url(redis_url) as client:
        yield client


async def add(url: str, prefix: str, queue: str, **options: Any) -> None:
    """A job under that prefix."""
    async with JobQueue(queue, url, settings=Settings(http_port=None, prefix=prefix)) as jobs:
        await jobs.add("n", {}, **options)


async def test_every_prefix_is_found_with_its_own_queues(redis_url: str) -> None:
    for number, prefix in enumerate(PREFIXES):
        await add(redis_url, prefix, f"q{number}")
    for number, prefix in enumerate(PREFIXES):
        async with operations_on(redis_url, prefix) as operations:
            assert await operations.broker.find_prefixes() == sorted(PREFIXES)
            assert await operations.broker.find_queues() == ([f"q{number}"], True)


async def test_a_worker_on_a_unix_socket_is_shown_with_its_path(tmp_path: Path) -> None:
    async def consume(job: Job) -> None:
        """No job comes."""

    with Server(tmp_path, unix_socket=True) as server:
        harness = Harness(server.url)
        await harness.processor(consume, {"name": "pod-7"})
        async with operations_on(server.url) as operations:
            (worker,) = await eventually(lambda: operations.queues.workers(QUEUE))
            assert worker.name == "pod-7"
            assert len(worker.address) > 30  # Redis shortens a long path
            assert str(server.socket_path).startswith(worker.address)
        await harness.close()


async def test_a_job_or_a_scheduler_called_meta_is_no_queue(redis_url: str, client: Any) -> None:
    await add(redis_url, "app", "mail", job_id="a:b:meta")
    await add(redis_url, "app", "mail", deduplication={"id": "meta"})
    await client.hset("app:mail:repeat:meta", mapping={"name": "n", "ic": 1})
    async with operations_on(redis_url, "app:mail") as operations:
        assert await operations.broker.find_prefixes() == ["app"]
        assert await operations.broker.find_queues() == ([], True)
        with pytest.raises(NotFoundError, match="there are under app; did you mean app"):
            await operations.queues.check_prefix()
    async with operations_on(redis_url, "app:mail:a") as operations:
        assert await operations.broker.find_queues() == ([], True)


async def test_a_prefix_that_continues_a_queues_name_is_found_beside_it(redis_url: str) -> None:
    await add(redis_url, "app", "mail")
    await add(redis_url, "app:mail", "repeat")
    async with operations_on(redis_url, "app:mail") as operations:
        assert await operations.broker.find_prefixes() == ["app", "app:mail"]
        assert await operations.broker.find_queues() == (["repeat"], True)


async def test_a_queue_that_was_paused_before_its_first_job_is_found(redis_url: str, client: Any) -> None:
    await client.hset("app:jobs:mail:meta", "paused", 1)
    async with operations_on(redis_url, "app:jobs") as operations:
        assert await operations.broker.find_queues() == (["mail"], True)


async def test_a_user_who_may_not_read_other_keys_still_sees_their_prefixes(redis_url: str, client: Any) -> None:
    await add(redis_url, "other:app", "mail")
    await client.acl_setuser("confined", enabled=True, passwords=["+pw"], keys=["mine:*"], commands=["+@all"])
    try:
        url = redis_url.replace("redis://", "redis://confined:pw@")
        async with operations_on(url, "mine") as operations:
            assert await operations.broker.find_prefixes() == ["other:app"]
    finally:
        await client.acl_deluser("confined")


async def test_where_there_are_many_keys_they_are_read_again_in_the_background_alone(
    redis_url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_finder, "MANY_PAGES", 0)
    await add(redis_url, "app", "first")
    async with operations_on(redis_url, "app") as operations:
        assert await operations.broker.find_queues() == (["first"], True)
        await add(redis_url, "app", "second")
        await client.config_resetstat()
        assert await operations.broker.find_queues() == (["first"], True)
        assert "cmdstat_scan" not in await client.info("commandstats")
        monkeypatch.setattr(queue_finder, "KEPT_S", 0.0)
        found = await eventually(lambda: _of_two(operations))
        assert found == (["first", "second"], True)


async def test_where_there_are_many_keys_a_removed_queue_is_gone_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_finder, "MANY_PAGES", 0)
    await add(redis_url, "app", "first")
    await add(redis_url, "app", "second")
    async with operations_on(redis_url, "app") as operations:
        assert await operations.broker.find_queues() == (["first", "second"], True)
        await operations.settings.obliterate("first")
        assert await operations.broker.find_queues() == (["second"], True)


async def test_names_that_nobody_has_asked_for_lately_are_read_anew(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_finder, "MANY_PAGES", 0)
    monkeypatch.setattr(queue_finder, "LONGEST_KEPT_S", 0.0)
    async with operations_on(redis_url, "app") as operations:
        await add(redis_url, "app", "first")
        assert await operations.broker.find_queues() == (["first"], True)
        await add(redis_url, "app", "second")
        assert await operations.broker.find_queues() == (["first", "second"], True)


async def test_names_that_are_old_are_given_while_the_many_keys_are_read_anew(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_finder, "MANY_PAGES", 0)
    async with operations_on(redis_url, "app") as operations:
        await add(redis_url, "app", "first")
        assert await operations.broker.find_queues() == (["first"], True)
        await add(redis_url, "app", "second")
        for name, value in (("LONGEST_KEPT_S", 0.0), ("KEPT_S", 0.0), ("HURRY_S", -1.0), ("PAGE", 1)):
            monkeypatch.setattr(queue_finder, name, value)
        names, complete = await operations.broker.find_queues()
        assert ("first" in names, complete) == (True, True)
        assert await eventually(lambda: _of_two(operations)) == (["first", "second"], True)


async def _of_two(operations: Operations) -> tuple[list[str], bool] | None:
    found = await operations.broker.find_queues()
    return found if len(found[0]) == 2 else None
