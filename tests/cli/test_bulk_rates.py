"""Bulk commands keep a rate, and change only what matches their conditions."""

from __future__ import annotations

import json
import time

import pytest
import redis

from support.command_line import Run
from support.prepared_queues import add, die
from support.processors import DEAD, QUEUE

COUNT = 12
RATE = "20/s"
LEAST_S = 0.45
"""How long 12 jobs take at least at 20 a second in batches of 2: the first batch comes at once."""


@pytest.mark.parametrize(
    ("command", "state", "verb"),
    [
        (("retry", QUEUE, "--all"), "failed", "retried"),
        (("remove", QUEUE, "--all", "--state", "failed", "-y"), "failed", "removed"),
        (("clean", QUEUE, "--older", "0s", "--state", "failed", "-y"), "failed", "removed"),
        (("promote", QUEUE, "--all"), "delayed", "promoted"),
        (("drain", QUEUE, "-y"), "wait", "removed"),
        (("drain", QUEUE, "--delayed", "-y"), "delayed", "removed"),
    ],
)
def test_a_rate_for_jobs_is_kept(
    run: Run, redis_url: str, client: redis.Redis, command: tuple[str, ...], state: str, verb: str
) -> None:
    if state == "failed":
        die(redis_url, COUNT)
    else:
        add(redis_url, COUNT, delay=60_000 if state == "delayed" else 0)
    began = time.monotonic()
    assert run(*command, "--rate", RATE)[:2] == (0, f"{verb} {COUNT} jobs\n")
    assert time.monotonic() - began > LEAST_S
    key = f"bull:{QUEUE}:{state}"
    assert (client.llen(key) if state == "wait" else client.zcard(key)) == 0


@pytest.mark.parametrize("command", [("redrive",), ("purge", "-y")])
def test_a_rate_for_letters_goes_with_conditions(
    run: Run, redis_url: str, client: redis.Redis, command: tuple[str, ...]
) -> None:
    kept = die(redis_url, 2, "text")
    die(redis_url, COUNT, "mail")
    began = time.monotonic()
    code, out, _ = run("dead", *command, "--reason", "unrecoverable", "--name", "ma*", "--rate", RATE, "--json")
    assert time.monotonic() - began > LEAST_S
    assert (code, json.loads(out)["done"]) == (0, COUNT)
    left = client.lrange(f"bull:{DEAD}:wait", 0, -1)
    assert sorted(str(letter).split("@")[1] for letter in left) == sorted(kept)


@pytest.mark.parametrize(
    ("conditions", "meant"),
    [
        (("--reason", "unrecoverable"), 5),
        (("--reason", "exhausted"), 0),
        (("--older", "0s"), 5),
        (("--older", "1h"), 0),
        (("--newer", "1h"), 5),
        (("--from", QUEUE), 5),
        (("--error", "TEXT refused"), 2),
        (("--name", "text"), 2),
        (("--where", "data.n=2"), 1),
        (("--where", "data.n=0", "--name", "mail"), 1),
        (("--reason", "unrecoverable", "--older", "1h"), 0),
        (("--newer", "1h", "--older", "30m"), 0),
    ],
)
@pytest.mark.parametrize("command", [("redrive",), ("purge", "-y")])
def test_letters_are_changed_as_their_conditions_say(
    run: Run,
    redis_url: str,
    client: redis.Redis,
    command: tuple[str, ...],
    conditions: tuple[str, ...],
    meant: int,
) -> None:
    die(redis_url, 3, "mail")
    die(redis_url, 2, "text")
    verb = {"redrive": "redriven", "purge": "purged"}[command[0]]
    noun = "dead letter" if meant == 1 else "dead letters"
    assert run("dead", *command, *conditions)[:2] == (0, f"{verb} {meant} {noun}\n")
    assert client.llen(f"bull:{DEAD}:wait") == 5 - meant
    assert client.llen(f"bull:{QUEUE}:wait") == (meant if command == ("redrive",) else 0)
