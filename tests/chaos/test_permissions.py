"""The broker's users: the least a worker must be allowed, and what happens with a password that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.stage import Stage
from chaos.supervisor import Nursery
from servers import Server
from workers import eventually

PASSWORD = "s3cret-Pa55word"
WORKER_COMMANDS = """
    bzpopmin client|id client|setname client|unblock del evalsha exec exists get hdel hello hexists hget hgetall
    hincrby hmget hmset hset incr info llen lpush lrange lrem ltrim mget multi persist pexpire ping pttl rpoplpush
    rpush sadd scard script|load set sismember smembers srem xadd xtrim zadd zcard zpopmin zrange zrangebyscore
    zrem zremrangebyrank zremrangebyscore zrevrange zrevrangebyscore zscore
"""
WORKS = ({"s": 0.01}, {"do": "die"}, {"do": "fail", "times": 1}, {"do": "kill the process"})


@pytest.fixture
async def guarded(nursery: Nursery, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose workers are a user with few permissions; we ourselves may do everything."""
    with Server(tmp_path) as server:
        async with Stage(nursery, tmp_path, server.url) as stage:
            await allow(stage, WORKER_COMMANDS)
            yield stage


async def allow(stage: Stage, commands: str, password: str = PASSWORD) -> None:
    """Let the user ``worker`` give these commands, to keys of BullMQ alone."""
    permissions = [f"+{command}" for command in commands.split()]
    user = ("resetpass", "resetkeys", "~bull:*", "resetchannels", "-@all", "on", f">{password}")
    await stage.redis.execute_command("ACL", "SETUSER", "worker", *user, *permissions)


def url_of(stage: Stage, password: str = PASSWORD, port: int | None = None) -> str:
    return f"redis://worker:{password}@127.0.0.1:{port or stage.port}/0"


async def test_a_user_with_the_least_permissions_is_refused_nothing(guarded: Stage) -> None:
    """Every kind of end, a death of the process, a stop, lost connections and forgotten scripts."""
    url = url_of(guarded)
    async with guarded.crew.kept_at(2, url=url, settings={"shutdown_timeout": 0.1}):
        await guarded.add(*WORKS, *WORKS[:3] * 10)
        await guarded.add_malformed()
        await guarded.add({"s": 0.1}, delay=100)
        await guarded.started(10)
        await guarded.redis.client_kill_filter(_type="normal", skipme=True)
        await guarded.redis.script_flush()
        assert await guarded.verdict() == []
    assert await guarded.redis.acl_log() == []


async def test_a_refused_look_for_lost_replies_does_not_silence_the_worker(guarded: Stage) -> None:
    """Its only slot waits for the answer to a fetch, and MGET is forbidden; once it may look, it works again."""
    await allow(guarded, WORKER_COMMANDS.replace(" mget ", " "))
    async with guarded.behind_a_proxy() as proxy:
        url = url_of(guarded, port=proxy.port)
        await guarded.crew.hire(url=url, config={"concurrency": 1, "lock_duration": 20_000})
        await guarded.idle()
        proxy.swallow_reply_to = b"lockDuration"
        await guarded.add({"s": 0})
        await eventually(lambda: proxy.swallowed)
        proxy.heal()
        await eventually(guarded.redis.acl_log, "the look is refused")
        await allow(guarded, WORKER_COMMANDS)
        await guarded.add({"s": 0})
        assert await guarded.verdict(within=15) == []
        assert {run.stalled for run in guarded.ledger.runs()} == {0}


async def test_a_wrong_password_at_the_start_ends_it_with_a_clear_error(guarded: Stage) -> None:
    worker = guarded.crew.launch(url=url_of(guarded, "wr0ng-Pa55word"))
    assert await worker.gone(within=15) == 4
    assert "WRONGPASS" in worker.log
    assert "wr0ng-Pa55word" not in worker.log
    assert "Traceback" not in worker.log


async def test_a_password_that_changes_meanwhile_is_waited_for(guarded: Stage) -> None:
    """Rotated on the broker before the worker: it keeps trying, tells no secret, and goes on once it may."""
    worker = await guarded.crew.hire(url=url_of(guarded))
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
