"""``auth-worker limit``, ``dedup`` and ``obliterate``."""

from __future__ import annotations

import json

import pytest
import redis

from support.command_line import Run
from support.prepared_queues import add
from support.processors import QUEUE

META = f"bull:{QUEUE}:meta"


def test_limits_are_set_and_removed(run: Run, redis_url: str, client: redis.Redis) -> None:
    add(redis_url, 1)
    code, out, _ = run("limit", QUEUE, "--concurrency", "20", "--jobs", "100", "--every", "1m")
    assert (code, out) == (0, f"{QUEUE}: concurrency 20, rate limit 100 jobs every 60000 ms\n")
    assert client.hmget(META, "concurrency", "max", "duration") == ["20", "100", "60000"]
    assert run("limit", QUEUE)[:2] == (code, out)
    (queue,) = map(json.loads, run("queues", QUEUE, "--json")[1].splitlines())
    assert (queue["concurrency"], queue["rateLimit"]) == (20, {"max": 100, "duration": 60_000})
    assert run("limit", QUEUE, "--remove")[:2] == (0, f"{QUEUE}: concurrency without limit, rate limit none\n")
    assert client.hmget(META, "concurrency", "max", "duration") == [None] * 3
    assert json.loads(run("limit", QUEUE, "--concurrency", "3", "--json")[1])["concurrency"] == 3


@pytest.mark.parametrize(
    "flags",
    [
        ["--jobs", "1"],
        ["--every", "1m"],
        ["--remove", "--concurrency", "1"],
        ["--concurrency", "0"],
    ],
)
def test_contradictory_limits_are_usage_errors(flags: list[str], run: Run) -> None:
    assert run("limit", QUEUE, *flags)[0] == 2


def test_a_deduplication_id_is_shown_and_removed(run: Run, redis_url: str) -> None:
    add(redis_url, 1, job_id="one", deduplication={"id": "x"})
    assert run("dedup", QUEUE, "x")[:2] == (0, "x: job one\n")
    assert run("dedup", QUEUE, "x", "--remove")[:2] == (0, "x: job one, removed\n")
    code, _, said = run("dedup", QUEUE, "x", "--json")
    assert (code, said) == (1, f"error: queue {QUEUE} has no deduplication with the id x\n")


def test_a_queue_is_obliterated_when_it_is_confirmed(run: Run, redis_url: str, client: redis.Redis) -> None:
    add(redis_url, 3)
    assert run("obliterate", QUEUE)[0] == 2
    assert client.llen(f"bull:{QUEUE}:wait") == 3
    client.lmove(f"bull:{QUEUE}:wait", f"bull:{QUEUE}:active")
    code, _, said = run("obliterate", QUEUE, "--yes")
    assert (code, said) == (
        1,
        f"error: queue {QUEUE} has running jobs: wait for them, or remove them too with force\n",
    )
    assert run("obliterate", QUEUE, "--yes", "--force")[:2] == (0, f"{QUEUE} removed\n")
    assert client.keys(f"bull:{QUEUE}:*") == []
