"""A stop while the service is paused, while the broker is away, or both: in time, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from auth_worker import Job, JobQueue, Settings, WorkerService
from support.processors import FAST, QUEUE, Harness, eventually
from support.servers import Server

QUIET = Settings(http_port=None, log_level="ERROR")
DEADLINE_S, ROOM_S = 0.3, 3.0


@pytest.mark.parametrize("hung", [False, True], ids=["idle", "with a job that hangs"])
@pytest.mark.parametrize(
    ("paused", "away"), [(True, False), (False, True), (True, True)], ids=["paused", "broker away", "both"]
)
async def test_deadline_is_kept_by_a_stop(tmp_path: Path, paused: bool, away: bool, hung: bool) -> None:
    """It says whether every job ended by itself, and the job of one that did not is there for the next worker."""
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        if hung:
            await asyncio.sleep(3600)

    with Server(tmp_path, appendonly=True, config={"appendfsync": "always"}) as server:
        service = WorkerService(server.url, settings=QUIET)
        service.register_processor(queue_name=QUEUE, processor=consumer, worker_config=FAST)
        await service.start()
        async with JobQueue(QUEUE, server.url) as jobs:
            job_id = await jobs.add("n", {})
        await started.wait()
        if not hung:
            await eventually(lambda: service.get_metrics()[0].metrics.completed == 1)
        if paused:
            await service.pause_all()
        if away:
            server.kill()
        before = time.monotonic()
        assert await service.stop(DEADLINE_S) is not hung
        assert time.monotonic() - before < DEADLINE_S + ROOM_S
        assert str(service.state) == "stopped"
        if away:
            server.start()
        harness = Harness(server.url)
        try:
            ran_again = await harness.processor(_nothing)
            await harness.settled(1)
            assert (await harness.counts())["completed"] == 1
            assert (await harness.job(job_id)).get("atm") == "1"
            assert ran_again.get_metrics().processed <= 1
        finally:
            await harness.close()


async def _nothing(job: Job) -> None:
    """A consumer."""
