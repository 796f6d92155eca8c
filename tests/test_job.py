"""The job that a consumer receives."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from auth_worker.job import Job
from support.factories import a_job


class Actions:
    """Records what a job asked for."""

    def __init__(self, error: Exception | None = None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.asked: list[tuple[Any, ...]] = []
        self._error = error

    async def add_log(self, job: Job, row: str) -> int:
        self.asked.append(("log", job.id, row))
        return 3

    async def update_progress(self, job: Job, value: Any) -> None:
        if self._error is not None:
            raise self._error
        self.asked.append(("progress", job.id, value))

    async def extend_lease(self, job: Job) -> None:
        self.asked.append(("lease", job.id))

    async def children_values(self, job: Job) -> dict[str, Any]:
        return {"bull:q:1": job.id}

    async def children_failures(self, job: Job) -> dict[str, str]:
        return {"bull:q:2": "no"}


async def test_the_coroutines_of_a_job_reach_its_queue() -> None:
    actions = Actions()
    job = a_job(actions=actions)
    assert await job.log("half") == 3
    await job.update_progress({"step": 2})
    await job.extend_lease()
    assert await job.children_values() == {"bull:q:1": "job-1"}
    assert await job.children_failures() == {"bull:q:2": "no"}
    assert actions.asked == [("log", "job-1", "half"), ("progress", "job-1", {"step": 2}), ("lease", "job-1")]
    assert job.progress == {"step": 2}


class Unshowable:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "row"),
    [
        (42, "42"),
        (None, "None"),
        (True, "True"),
        ({"a": 1}, "{'a': 1}"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (bytearray(b"raw"), "raw"),
        ("lone \ud83d here", "lone \ufffd here"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("pair \ud83d\ude00", "pair \U0001f600"),
        ("\x00 кириллица", "\x00 кириллица"),
        ("", ""),
        (Unshowable(), "(a Unshowable that cannot be shown)"),
        ("é" * 1_000_001, "é" * 1_000_000 + "... (cut, of 1,000,001 characters)"),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
async def test_whatever_is_logged_becomes_a_row_that_redis_can_store(value: object, row: str, sync: bool) -> None:
    actions = Actions()
    job = a_job(actions=actions)
    await (asyncio.to_thread(job.sync.log, value) if sync else job.log(value))
    assert actions.asked == [("log", "job-1", row)]
    row.encode()


async def test_progress_that_was_not_stored_does_not_change_the_job() -> None:
    job = a_job(actions=Actions(TypeError("no JSON")), progress=1)
    with pytest.raises(TypeError, match="no JSON"):
        await job.update_progress(object())
    assert job.progress == 1


async def test_a_job_without_a_queue_says_so() -> None:
    job = a_job()
    for call in (job.log("x"), job.update_progress(1), job.extend_lease(), job.children_values()):
        with pytest.raises(RuntimeError, match="not attached to a queue"):
            await call
    with pytest.raises(RuntimeError, match="not attached to a queue"):
        job.sync.log("x")


async def test_code_in_a_thread_gets_results_through_sync() -> None:
    actions = Actions()
    job = a_job(actions=actions)

    def work() -> tuple[int, dict[str, Any], dict[str, str]]:
        job.sync.update_progress({"step": 2})
        job.sync.extend_lease()
        return job.sync.log("half"), job.sync.children_values(), job.sync.children_failures()

    assert await asyncio.to_thread(work) == (3, {"bull:q:1": "job-1"}, {"bull:q:2": "no"})
    assert actions.asked == [("progress", "job-1", {"step": 2}), ("lease", "job-1"), ("log", "job-1", "half")]
    assert job.progress == {"step": 2}


async def test_sync_raises_what_went_wrong() -> None:
    job = a_job(actions=Actions(TypeError("no JSON")), progress=1)
    with pytest.raises(TypeError, match="no JSON"):
        await asyncio.to_thread(job.sync.update_progress, object())
    assert job.progress == 1


async def test_the_coroutines_in_a_thread_name_the_remedy() -> None:
    job = a_job(actions=Actions())
    with pytest.raises(RuntimeError, match=r"job\.sync\.log"):
        await asyncio.to_thread(lambda: asyncio.run(job.log("x")))


async def test_sync_in_the_event_loop_raises_instead_of_blocking_forever() -> None:
    job = a_job(actions=Actions())
    with pytest.raises(RuntimeError, match=r"await job\.log"):
        job.sync.log("x")


def test_sync_after_the_event_loop_has_ended_raises() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        a_job(actions=Actions(loop=loop)).sync.log("x")


def test_a_representation_shows_neither_data_nor_token() -> None:
    text = repr(a_job({"code": "canary"}, token="canary", opts={"x": "canary"}))
    assert text == "<Job work:job-1 'send' attempt 1/1>"


def test_two_threads_that_ask_at_once_get_the_same_event(monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowEvent(threading.Event):
        def __init__(self) -> None:
            time.sleep(0.02)
            super().__init__()

    job = a_job()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: None, range(4)))
        monkeypatch.setattr("auth_worker.job.threading.Event", SlowEvent)
        events = list(pool.map(lambda _: job.cancelled, range(4)))
    assert {id(event) for event in events} == {id(job.cancelled)}
