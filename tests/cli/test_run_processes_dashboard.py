"""The dashboard of several processes: one for all of them, whichever answers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import redis

from auth_worker import JobQueue
from auth_worker.http.dashboard import paths
from support.admin_api import ADMIN
from support.dashboard_visitor import Visitor
from support.event_pages import EventPage
from support.multiprocess_services import MultiProcessService, StartWorker
from support.processors import eventually

QUEUE = "work"


async def test_pages_session_events_and_bulk_operations_are_those_of_all_processes(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    (folder / "auth-worker.toml").write_text(f'http_token = "{ADMIN}"\n')
    async with JobQueue(QUEUE, redis_url) as jobs:
        await jobs.add_bulk([{"name": "moment", "data": {}, "opts": {}} for _ in range(2)])
    service = await asyncio.to_thread(MultiProcessService, folder, worker, "--redis", redis_url)
    visitor = Visitor(service.port)
    assert (await visitor.log_in(ADMIN)).status == 303
    for path in paths.LOOK:
        if path != "/events":
            assert (await visitor.get(path[1:], queue=QUEUE, state="waiting")).status in (200, 404), path

    async def shown() -> set[int]:
        page = await visitor.get("workers")
        return {pid for pid in service.pids if f"{pid}</span>" in page.text and ">running<" in page.text}

    first, second = service.pids

    async def both_are_shown() -> bool:
        return await shown() == {first, second}

    await eventually(both_are_shown, "both processes")
    stream = await asyncio.to_thread(EventPage, visitor, service.port)
    with redis.Redis.from_url(redis_url) as client:
        await asyncio.to_thread(stream.next)
        client.lpush(f"bull:{QUEUE}:paused", "x")
        await asyncio.to_thread(stream.until_changed, QUEUE)
        client.delete(f"bull:{QUEUE}:paused")
    stream.close()
    form = (await visitor.get("queue", queue=QUEUE, state="completed")).form("bulk", "remove")
    asked = await visitor.send(form, ("scope", "all"), ("action", "remove"))
    begun = await visitor.send(asked.form("bulk"), ("sure", "yes"))
    os.kill(first, signal.SIGKILL)
    service_seen = await visitor.get(begun.location)  # by the other one: the session and the operation are known
    assert service_seen.status == 200
    assert "Remove" in service_seen.text

    async def replaced() -> bool:
        return len(service.pids) == 2 and first not in service.pids and await shown() == set(service.pids)

    await eventually(replaced, "the new process", 40)
