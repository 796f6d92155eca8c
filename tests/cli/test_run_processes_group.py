"""SIGTERM to every process of a group at once, as systemd and container runtimes send it: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from auth_worker.brokers.embedded.broker import EmbeddedBroker
from support.command_line import run_here
from support.multiprocess_services import MultiProcessService, StartWorker
from support.polling import wait_until

APP = """
import asyncio
import os
import time
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work", worker_config={"concurrency": 1})
async def consume(job):
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
@service.processor("heavy", worker_config={"concurrency": 1}, execution="process")
def compute(job):
    while not os.path.exists("go"):
        time.sleep(0.02)
"""
QUEUES = ("work", "heavy")
JOBS = 6


def group_of(folder: Path) -> list[int]:
    """Every process that works in ``folder``, or was started with a path in it: what one service consists of."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                where = os.readlink(entry / "cwd"), (entry / "cmdline").read_text(errors="replace")
                if any(str(folder) in text for text in where):
                    found.append(int(entry.name))
    return found


def id_of(job: object) -> str:
    assert isinstance(job, bytes)
    return job.decode()


@contextmanager
def connected(folder: Path, url: str | None) -> Iterator[redis.Redis]:
    """A client of the server at ``url``; None: of the embedded broker, which this process then uses as well."""
    if url is None:
        with EmbeddedBroker(folder / "state") as broker, connected(folder, broker.url) as client:
            yield client
        return
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.mark.timeout(150)
@pytest.mark.parametrize("broker", ["redis", "embedded"])
@pytest.mark.parametrize("timeout", [30, 0.2])
def test_a_stop_signal_to_the_whole_group_loses_nothing(
    folder: Path, worker: StartWorker, redis_url: str, broker: str, timeout: float
) -> None:
    """In time the running jobs end and the exit code is 0; else they are handed back and it is 3."""
    url = redis_url if broker == "redis" else None
    at = ("--state-dir", "state") if url is None else ("--redis", url)
    service = MultiProcessService(folder, worker, *at, "--shutdown-timeout", timeout, app=APP)
    for queue in QUEUES:
        (folder / "jobs.jsonl").write_text((json.dumps({"name": "n", "data": {}}) + "\n") * JOBS)
        assert run_here("add", queue, "--lines", "jobs.jsonl", *at) == 0
    with connected(folder, url) as client:
        wait_until(lambda: all(client.llen(f"bull:{queue}:active") == 2 for queue in QUEUES), "too few run", 30)
    group = group_of(folder)
    assert {service.parent.process.pid, *service.pids} < set(group)
    for pid in group:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if timeout == 30:
        wait_until(lambda: len(service.logged("Worker service stopping")) == 2, "they do not stop")
        (folder / "go").touch()
    code = service.parent.process.wait(40)
    assert code == (0 if timeout == 30 else 3), service.parent.output
    assert service.logged("Second shutdown signal received, stopping now") == []
    with connected(folder, url) as client:
        for queue in QUEUES:
            key = f"bull:{queue}:"
            done = client.zrange(f"{key}completed", 0, -1)
            waiting = client.lrange(f"{key}wait", 0, -1)
            assert client.llen(f"{key}active") == client.zcard(f"{key}failed") == 0
            assert len({*done, *waiting}) == len(done) + len(waiting) == JOBS
            assert len(done) >= (2 if code == 0 else 0)
            for job in done:
                assert client.hget(f"{key}{id_of(job)}", "ats") == b"1", "it ran twice"
