"""Words to choose from, letters and rates over HTTP: what the command line says and does, the API does too."""

from __future__ import annotations

from typing import Any

import pytest

from support.admin_api import JOBS, add, dead
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness

COUNT, RATE, LEAST_MS = 12, 20, 450


@pytest.mark.parametrize(
    ("path", "query", "nearest"),
    [
        (JOBS, {"state": "faild"}, "failed"),
        (JOBS, {"state": "delay"}, "delayed"),
        (f"/dead-letters/{DEAD}", {"reason": "exhasted"}, "exhausted"),
    ],
)
async def test_the_nearest_word_is_named_in_a_query(
    api: Api, path: str, query: dict[str, str], nearest: str
) -> None:
    await dead(api)
    refused = await api.get(path, **query)
    (name, word), *_ = query.items()
    assert refused.status == 422
    assert refused.json["reasons"][0].startswith(f"query.{name}: {word!r} is no ")
    assert refused.json["reasons"][0].endswith(f"; did you mean {nearest}?")


@pytest.mark.parametrize(
    ("body", "nearest"),
    [
        ({"action": "remove", "queue": QUEUE, "all": True, "state": "faild"}, "failed"),
        ({"action": "retry", "queue": QUEUE, "all": True, "state": "complete"}, "completed"),
        ({"action": "clean", "queue": QUEUE, "olderThan": 0, "state": "complet"}, "completed"),
        ({"action": "redrive", "reason": "unrecoverabel"}, "unrecoverable"),
        ({"action": "purge", "reason": "stald"}, "stalled"),
    ],
)
async def test_the_nearest_word_is_named_for_a_body(api: Api, body: dict[str, Any], nearest: str) -> None:
    refused = await api.post("/operations", body)
    assert (refused.status, f"; did you mean {nearest}?" in refused.reasons) == (422, True), refused.text


@pytest.mark.parametrize("wrong", [5, None, ["failed"], {"state": "failed"}, True])
async def test_what_is_no_word_is_refused(api: Api, wrong: Any) -> None:
    refused = await api.post("/operations", {"action": "clean", "queue": QUEUE, "olderThan": 0, "state": wrong})
    assert (refused.status, "body.clean.state" in refused.reasons) == (422, True), refused.text


async def test_common_names_of_states_are_understood(paused_api: Api) -> None:
    await add(paused_api)
    assert [job["state"] for job in (await paused_api.get(JOBS, state="waiting")).json["jobs"]] == ["wait"]


async def test_a_queue_without_letters_names_those_that_have_some(api: Api) -> None:
    await dead(api)
    message = f"{QUEUE} holds no dead letters; those that do: {DEAD}"
    assert (await api.get(f"/dead-letters/{QUEUE}")).json["note"] == message
    assert (await api.get(f"/dead-letters/{DEAD}")).json["note"] == ""
    assert (await api.get(f"/dead-letters/{DEAD}", error="nothing like it")).json["note"] == ""
    for action in ("redrive", "purge"):
        for queue, note in ((QUEUE, message), (DEAD, "")):
            body = {"action": action, "queue": queue, "all": True, "dryRun": True}
            assert (await api.ended(await api.post("/operations", body)))["note"] == note
    path = f"/dead-letters/{QUEUE}/x@1@1700000000000"
    for answer in (await api.get(path), await api.post(f"{path}/redrive"), await api.delete(path)):
        assert (answer.status, message in answer.reasons) == (404, True), answer.text


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({"action": "retry", "queue": QUEUE, "all": True}, "failed"),
        ({"action": "remove", "queue": QUEUE, "all": True, "state": "failed"}, "failed"),
        ({"action": "clean", "queue": QUEUE, "olderThan": 0, "state": "failed"}, "failed"),
        ({"action": "redrive", "reason": "unrecoverable"}, "letters"),
        ({"action": "purge", "reason": "unrecoverable", "from": QUEUE}, "letters"),
        ({"action": "promote", "queue": QUEUE, "all": True}, "delayed"),
        ({"action": "drain", "queue": QUEUE}, "wait"),
        ({"action": "drain", "queue": QUEUE, "delayed": True}, "delayed"),
    ],
)
async def test_a_rate_is_kept(api: Api, asked: dict[str, Any], held: str) -> None:
    if held in ("failed", "letters"):
        await dead(api, COUNT)
    await api.post("/service/pause")
    if held in ("wait", "delayed"):
        for _ in range(COUNT):
            await add(api, delay=60_000 if held == "delayed" else 0)
    ended = await api.ended(await api.post("/operations", {**asked, "rate": RATE}))
    assert (ended["state"], ended["step"]["done"]) == ("done", COUNT)
    assert ended["endedAt"] - ended["startedAt"] >= LEAST_MS


async def test_letters_are_changed_as_their_conditions_say(api: Api, harness: Harness) -> None:
    letters = await dead(api, 4)
    await api.post("/service/pause")
    chosen = letters[0]["jobId"]
    for conditions, meant in (
        ({"reason": "unrecoverable"}, 4),
        ({"reason": "exhausted"}, 0),
        ({"olderThan": 0}, 4),
        ({"olderThan": 3600}, 0),
        ({"newerThan": 3600}, 4),
        ({"from": QUEUE}, 4),
        ({"jobId": chosen}, 1),
        ({"error": "BROKEN"}, 4),
        ({"name": "b*"}, 4),
        ({"where": ["data.n=2"]}, 1),
        ({"reason": "unrecoverable", "olderThan": 3600}, 0),
    ):
        for action in ("redrive", "purge"):
            body = {"action": action, **conditions, "dryRun": True}
            assert (await api.ended(await api.post("/operations", body)))["step"]["total"] == meant, body
    redrive = {"action": "redrive", "reason": "unrecoverable", "jobId": chosen}
    assert (await api.ended(await api.post("/operations", redrive)))["step"]["done"] == 1
    assert (await harness.counts())["wait"] == 1
    purge = {"action": "purge", "reason": "unrecoverable", "where": ["data.n=*"]}
    assert (await api.ended(await api.post("/operations", purge)))["step"]["done"] == 3
    assert (await api.get(f"/dead-letters/{DEAD}")).json["total"] == 0
