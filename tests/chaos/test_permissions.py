"""The broker's users: the least a worker must be allowed, and what happens with a password that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chaos.harness import ChaosHarness
from chaos.worker_pool import ForkServer
from support.processors import eventually
from support.servers import Server

PASSWORD = "s3cret-Pa55word"
WORKER_COMMANDS = """
    bzpopmin client|id client|setname client|unblock del evalsha exec exists get hdel hello hexists hget hgetall
    hincrby hmget hmset hset incr info llen lpush lrange lrem ltrim mget multi persist pexpire ping pttl
    rpoplpush rpush sadd scard script|load set sismember smembers srem xadd xread xtrim zadd zcard zpopmin
    zrange zrangebyscore zrem zremrangebyrank zremrangebyscore zrevrange zrevrangebyscore zscore
"""
WORKS = ({"s": 0.01}, {"do": "die"}, {"do": "fail", "times": 1}, {"do": "kill the process"})


@pytest.fixture
async def guarded(fork_server: ForkServer, tmp_path: Path) -> AsyncIterator[ChaosHarness]:
    """A harness whose workers are a user with few permissions; we ourselves may do everything."""
    with Server(tmp_path) as server:
        async with ChaosHarness(fork_server, tmp_path, server.url) as harness:
            harness.redis.set_response_callback("ACL LOG", as_it_came)
            await allow(harness, WORKER_COMMANDS)
            yield harness


def as_it_came(entries: list[Any], **_: Any) -> list[Any]:
    """redis-py cannot parse entries about clients whose name has an equals sign, as BullMQ's worker names have."""
    return entries


async def allow(harness: ChaosHarness, commands: str, password: str = PASSWORD) -> None:
    """Let the user ``worker`` give these commands, to keys of BullMQ alone."""
    permissions = [f"+{command}" for command in commands.split()]
    user = ("resetpass", "resetkeys", "~bull:*", "resetchannels", "-@all", "on", f">{password}")
    await harness.redis.execute_command("ACL", "SETUSER", "worker", *user, *permissions)


def url_of(harness: ChaosHarness, password: str = PASSWORD, port: int | None = None) -> str:
    return f"redis://worker:{password}@127.0.0.1:{port or harness.port}/0"


async def test_a_user_with_the_least_permissions_is_refused_nothing(guarded: ChaosHarness) -> None:
    """Every kind of end, a death of the process, a stop, lost connections and forgotten scripts."""
    url = url_of(guarded)
    async with guarded.workers.kept_at(2, url=url, settings={"shutdown_timeout": 0.1}):
        await guarded.add(*WORKS, *WORKS[:3] * 10)
        await guarded.add_malformed()
        await guarded.add({"s": 0.1}, delay=100)
        await guarded.started(10)
        await guarded.redis.client_kill_filter(_type="normal", skipme=True)
        await guarded.redis.script_flush()
        assert await guarded.verdict() == []
    assert await guarded.redis.acl_log() == []


async def test_a_refused_look_for_lost_replies_does_not_silence_the_worker(guarded: ChaosHarness) -> None:
    """Its only slot waits for the answer to a fetch, and MGET is forbidden; once it may look, it works again."""
    await allow(guarded, WORKER_COMMANDS.replace(" mget ", " "))
    async with guarded.behind_a_proxy() as proxy:
        url = url_of(guarded, port=proxy.port)
        await guarded.workers.start(url=url, config={"concurrency": 1, "lock_duration": 20_000})
        await guarded.idle()
        proxy.swallow_reply_to = b"lockDuration"
        await guarded.add({"s": 0})
        await eventually(lambda: proxy.swallowed)
        proxy.heal()
        await eventually(guarded.redis.acl_log, "the look is refused")
        await allow(guarded, WORKER_COMMANDS)
        await guarded.add({"s": 0})
        assert await guarded.verdict(within=15) == []
        assert {run.stalled for run in guarded.run_log.runs()} == {0}


async def test_a_wrong_password_at_the_start_ends_it_with_a_clear_error(guarded: ChaosHarness) -> None:
    worker = guarded.workers.launch(url=url_of(guarded, "wr0ng-Pa55word"))
    assert await worker.gone(within=15) == 4
    assert "WRONGPASS" in worker.log
    assert "wr0ng-Pa55word" not in worker.log
    assert "Traceback" not in worker.log


async def test_a_password_that_changes_meanwhile_is_waited_for(guarded: ChaosHarness) -> None:
    """Rotated on the broker before the worker: it keeps trying, tells no secret, and goes on once it may."""
    worker = await guarded.workers.start(url=url_of(guarded))
    await allow(guarded, WORKER_COMMANDS, "an0ther-Pa55word")
    await guarded.redis.client_kill_filter(_type="normal", skipme=True)
    await guarded.add({"s": 0})
    lines = len(worker.log.splitlines())
    await asyncio.sleep(1.5)
    assert worker.code is None
    assert len(worker.log.splitlines()) - lines < 20
    await allow(guarded, WORKER_COMMANDS)
    assert await guarded.verdict(within=15) == []
    await eventually(lambda: "Broker connection recovered" in worker.log)
    assert PASSWORD not in worker.log
