"""Ids as hostile as a producer can make them: each names its own job, or nothing at all."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from auth_worker import WorkerService
from auth_worker.core.names import RESERVED_IDS
from support.admin_api import ADMIN
from support.http_requests import Api, ask
from support.processors import DEAD, QUEUE, Harness

KEY = f"bull:{QUEUE}"
HEADERS = {"Authorization": f"Bearer {ADMIN}", "X-Auth-Worker": "1"}
ODD = [
    *(
        ".",
        "..",
        "../..",
        "%2e%2e",
        "%2F",
        "%",
        "%zz",
        "%ff",
        "a/b",
        "/",
        "//",
        "?",
        "#",
        "a b",
        "a+b",
        "*",
        "[",
        "\\",
    ),
    *(
        "'",
        '"',
        "{}",
        "\x00",
        "\r\n",
        "ä",
        "日本",
        "😀",
        "x" * 1000,
        "jobs",
        "logs",
        "retry",
        "a/logs",
        "a/retry",
        "-1",
    ),
    *("nil", "null", "1:lock", "1:logs", "repeat:x", "metrics:completed", "constructor", "__proto__"),
]


def path_of(job_id: str) -> str:
    return f"/api/v1/queues/{QUEUE}/jobs/{quote(job_id, safe='')}"


async def test_every_id_names_its_own_job(paused_api: Api, service: WorkerService, harness: Harness) -> None:
    port = service.http_port
    assert port is not None
    client: Any = redis.Redis.from_url(harness.url)

    @given(
        job_id=st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), min_size=1, max_size=50)
    )
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(job_id: str) -> None:
        if job_id in RESERVED_IDS:
            return
        fields = {"name": "odd", "data": "{}", "opts": "{}", "timestamp": 1, "delay": 0, "priority": 0}
        client.hset(f"{KEY}:{job_id}", mapping=fields)
        client.rpush(f"{KEY}:wait", job_id)
        shown = ask(port, path_of(job_id), headers=HEADERS)
        assert shown.status == 200, shown.text
        assert (shown.json["id"], shown.json["name"]) == (job_id, "odd")
        assert ask(port, path_of(job_id) + "/logs", headers=HEADERS).json["id"] == job_id
        assert ask(port, path_of(job_id), "DELETE", HEADERS).status == 204
        assert ask(port, path_of(job_id), headers=HEADERS).status == 404
        assert not client.exists(f"{KEY}:{job_id}")

    for odd in ODD:
        if ":" not in odd:
            check = example(odd)(check)
    client.hset(f"{KEY}:meta", "opts.maxLenEvents", 10_000)
    await asyncio.to_thread(check)
    client.close()


async def test_an_id_without_a_job_is_nobodys_and_harms_nothing(paused_api: Api, harness: Harness) -> None:
    for queue in (QUEUE, DEAD):
        await paused_api.post(f"/queues/{queue}/jobs", {"name": "kept", "opts": {"jobId": "kept"}})
    before = await all_keys(harness)
    for odd in (*ODD, *RESERVED_IDS, "x" * 1001, ""):
        job, letter = (
            f"/queues/{QUEUE}/jobs/{quote(odd, safe='')}",
            f"/dead-letters/{DEAD}/{quote(odd, safe='')}",
        )
        answers = [
            *[await paused_api.get(path) for path in (job, f"{job}/logs", letter)],
            *[await paused_api.post(path) for path in (f"{job}/retry", f"{job}/promote", f"{letter}/redrive")],
            *[await paused_api.delete(path) for path in (job, letter)],
            await paused_api.patch(job, {"priority": 5}),
        ]
        assert {answer.status for answer in answers} <= {404, 405, 422}, odd
    assert await all_keys(harness) == before


async def test_ids_without_a_job_are_left_alone_in_bulk(paused_api: Api, harness: Harness) -> None:
    await paused_api.post(f"/queues/{QUEUE}/jobs", {"name": "kept", "opts": {"jobId": "kept"}})
    before = await all_keys(harness)
    odd = [*ODD, *sorted(RESERVED_IDS)]
    for action in ("remove", "promote", "retry", "redrive", "purge"):
        asked = {"action": action, "queue": QUEUE, "ids": odd}
        ended = await paused_api.ended(await paused_api.post("/operations", asked))
        assert ended["state"] == "done", ended
        assert ended["step"]["done"] + ended["step"]["skipped"] == len(odd)
    assert await all_keys(harness) == before


async def test_a_reserved_id_names_no_job_also_while_the_queue_has_no_such_key(
    paused_api: Api, harness: Harness
) -> None:
    for action in ("remove", "promote", "retry", "purge"):
        await harness.redis.delete(f"{KEY}:stalled-check")
        asked = {"action": action, "queue": QUEUE, "ids": ["stalled-check"]}
        ended = await paused_api.ended(await paused_api.post("/operations", asked))
        assert ended["step"]["problems"] == ["stalled-check: there is no such job"], action


async def all_keys(harness: Harness) -> set[bytes]:
    """The keys of both queues, with their types, except for the one that a stalled check leaves for a while."""
    found = {
        key + b" " + await harness.redis.type(key) async for key in harness.redis.scan_iter(f"bull:{QUEUE}*:*")
    }
    return {key for key in found if b":stalled-check" not in key}


@pytest.mark.parametrize(
    ("queue", "status"),
    [
        *((name, 422) for name in ("a:b", "\0", "\x1b", "\x9b", "x" * 1001)),
        *((name, 404) for name in ("..", "a/b", "%00", "%2F", "ä", "*", "-q", "a#b", "x" * 1000)),
    ],
)
async def test_a_queue_of_no_name_is_refused_and_another_is_not_there(
    paused_api: Api, queue: str, status: int
) -> None:
    for path in ("/queues/", "/dead-letters/"):
        assert (await paused_api.get(path + quote(queue, safe=""))).status == status, path
