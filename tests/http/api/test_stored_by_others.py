"""Whatever others wrote into Redis (jobs, letters, scores, counters) is shown, and is no server error."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from auth_worker.admin.visible_data import MOST_LEVELS
from support.admin_api import JOBS, dead
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness

KEY = f"bull:{QUEUE}"
LETTERS = f"/dead-letters/{DEAD}"
STORED = ["NaN", "1e400", "[-1e400]", "9" * 5000, "9" * 4000, "[" * 5000, "[" * 400 + "]" * 400, "²", "-1", "1_0"]
STORED += [
    '{"a":' * 900 + "1" + "}" * 900,
    '"\\ud800"',
    "\\xff",
    "",
    "null",
    "true",
    '["x", {"a": [1]}]',
    "[" * 900 + "]" * 900,
]
FIELDS_OF_JOBS = [
    "name",
    "data",
    "opts",
    "returnvalue",
    "progress",
    "timestamp",
    "delay",
    "priority",
    "atm",
    "ats",
    "stc",
    "processedOn",
    "finishedOn",
    "failedReason",
    "stacktrace",
    "pb",
    "parentKey",
    "dlq",
]


@pytest.mark.parametrize("field", FIELDS_OF_JOBS)
async def test_a_job_that_others_wrote_is_shown_and_searched(
    port: int, paused_api: Api, harness: Harness, field: str
) -> None:
    for stored in STORED:
        await harness.redis.hset(f"{KEY}:kept", field, stored)
        for path, wanted in (
            (f"{JOBS}/kept", {"reveal": "true"}),
            (f"{JOBS}/kept", {}),
            (JOBS, {"state": "wait"}),
            (JOBS, {"state": "wait", "where": ["data=1", f"data={stored[:900]}", "opts=1", "returnvalue.a=*"]}),
            (JOBS, {"state": "wait", "olderThan": "0", "error": "x", "name": "*"}),
            (f"/queues/{QUEUE}", {}),
        ):
            answer = await paused_api.get(path, **wanted)
            assert answer.status == 200, (path, stored[:30], answer.text)
            json.loads(answer.text, parse_constant=pytest.fail)


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-5", "0.5"])
async def test_a_score_that_others_wrote_is_no_server_error(
    port: int, paused_api: Api, harness: Harness, score: str
) -> None:
    states = ["delayed", "prioritized", "completed", "failed", "waiting-children"]
    for state in (*states, "repeat"):
        await harness.redis.zadd(f"{KEY}:{state}", {"kept": score})
    await harness.redis.hset(f"{KEY}:repeat:kept", "ic", "1")
    paths = [
        "/queues",
        f"/queues/{QUEUE}",
        f"{JOBS}/kept",
        "/doctor",
        *(f"{JOBS}?state={state}" for state in states),
    ]
    for path in paths:
        answer = await paused_api.get(path)
        assert answer.status == 200, (path, answer.text)


@pytest.mark.parametrize("value", ["x", "²", "1e400", "9" * 5000, ""])
async def test_counters_that_others_wrote_are_no_server_error(
    port: int, paused_api: Api, harness: Harness, value: str
) -> None:
    for state in ("completed", "failed"):
        await harness.redis.hset(
            f"{KEY}:metrics:{state}", mapping={"count": value, "prevTS": value, "prevCount": value}
        )
        await harness.redis.lpush(f"{KEY}:metrics:{state}:data", value)
    await harness.redis.hset(f"{KEY}:meta", mapping={"concurrency": value, "max": value, "duration": value})
    for path in ("/queues", f"/queues/{QUEUE}", "/doctor"):
        answer = await paused_api.get(path)
        assert answer.status == 200, (path, answer.text)


FIELDS_OF_LETTERS = [
    "originalQueue",
    "originalJobId",
    "name",
    "data",
    "opts",
    "failedReason",
    "reasonClass",
    "stacktrace",
    "attemptsMade",
    "failedAt",
    "worker",
    "traceContext",
    "raw",
]


@pytest.mark.parametrize("field", FIELDS_OF_LETTERS)
async def test_a_letter_that_others_wrote_is_shown_and_searched(api: Api, harness: Harness, field: str) -> None:
    (letter,) = await dead(api)
    key = f"bull:{DEAD}:{letter['id']}"
    written = json.loads(await harness.redis.hget(key, "data"))
    for stored in STORED:
        text = json.dumps({**written, field: "@"}).replace('"@"', stored)
        await harness.redis.hset(key, "data", text.encode())
        for path, wanted in (
            (f"{LETTERS}/{quote(letter['id'])}", {"reveal": "true"}),
            (f"{LETTERS}/{quote(letter['id'])}", {}),
            (LETTERS, {}),
            (LETTERS, {"error": "x", "name": "*", "reason": "unrecoverable", "where": ["data=1", "opts=1"]}),
        ):
            answer = await api.get(path, **wanted)
            assert answer.status == 200, (path, stored[:30], answer.text)
            json.loads(answer.text, parse_constant=pytest.fail)


async def test_what_is_nested_too_deeply_to_be_shown_is_named(
    port: int, paused_api: Api, harness: Harness
) -> None:
    await harness.redis.hset(f"{KEY}:kept", "data", "[" * 400 + "]" * 400)
    shown = (await paused_api.get(f"{JOBS}/kept", reveal="true")).json["data"]
    for _ in range(MOST_LEVELS):
        (shown,) = shown
    assert shown == "<list of 1>"
