"""A queue's settings over HTTP: limits, deduplication keys, and its end."""

from __future__ import annotations

from support.http_requests import Api
from support.processors import QUEUE, Harness

AT = f"/queues/{QUEUE}"


async def test_limits_are_set_and_removed(harness: Harness, paused_api: Api) -> None:
    await harness.jobs.add("n", {})
    answer = await paused_api.put(f"{AT}/concurrency", {"concurrency": 4})
    assert (answer.status, answer.json["concurrency"]) == (200, 4)
    answer = await paused_api.put(f"{AT}/rate-limit", {"max": 5, "duration": 1000})
    assert (answer.status, answer.json["rateLimit"]) == (200, {"max": 5, "duration": 1000})
    assert (await paused_api.put(f"{AT}/rate-limit", {"max": 0, "duration": 1})).status == 422
    assert (await paused_api.delete(f"{AT}/concurrency")).json["concurrency"] is None
    assert (await paused_api.delete(f"{AT}/rate-limit")).json["rateLimit"] is None


async def test_a_deduplication_is_shown_and_removed(harness: Harness, paused_api: Api) -> None:
    job_id = await harness.jobs.add("n", {}, deduplication={"id": "a/b"})
    at = f"{AT}/deduplications/a%2Fb"
    assert (await paused_api.get(at)).json == {"queue": QUEUE, "id": "a/b", "jobId": job_id}
    assert (await paused_api.delete(at)).status == 204
    assert (await paused_api.delete(at)).status == 404
    assert (await paused_api.get(at)).status == 404


async def test_a_queue_is_obliterated(harness: Harness, paused_api: Api) -> None:
    await harness.jobs.add("n", {})
    assert (await paused_api.delete(AT)).status == 204
    assert await harness.redis.keys(f"bull:{QUEUE}:wait") == []
