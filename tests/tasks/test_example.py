"""The example in ``examples/``: worker and client as programs of their own, on a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from auth_worker import JobQueue, Settings
from support.command_line import environment
from support.processors import Harness
from support.task_services import completed, dead_letter
from support.warm_programs import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
QUEUE, DEAD = "mailQueue", "mailDead"


async def enqueue(to: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the client to its end."""
    command = [sys.executable, "-W", "error", "-m", "examples.mail_client", to]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=50, check=False
    )


async def test_the_example_runs_jobs_of_its_client_and_of_other_producers(harness: Harness) -> None:
    settings = environment(redis_url=harness.url, http_port="0") | {"PYTHONPATH": str(ROOT)}
    worker = await asyncio.create_subprocess_exec(
        str(PROGRAM), "run", "examples.mail_worker:service", cwd=ROOT, env=settings, stderr=subprocess.DEVNULL
    )
    try:
        client = await enqueue("ada@example.org", settings)
        assert (client.returncode, client.stderr) == (0, "")
        welcomed, counted, factored = client.stdout.split()
        async with JobQueue(QUEUE, harness.url, settings=Settings(http_port=None)) as jobs:
            data = {"to": "bob@example.org", "user": {"name": "Bob", "born": "2000-01-01"}}
            raw = await jobs.add("welcome", data)
            bad = await jobs.add("welcome", {"to": "hunter2", "user": {"name": "Bob"}})
        receipt = {"message_id": "<15-13@example.org>", "attempt": 1}
        assert await completed(harness, welcomed, QUEUE) == receipt
        assert await completed(harness, raw, QUEUE) == receipt
        assert await completed(harness, counted, QUEUE) == 4
        assert await completed(harness, factored, QUEUE) == [71, 839, 1471, 6857]
        letter = await dead_letter(harness, bad, DEAD)
        assert letter["reasonClass"] == "invalid_payload"
        assert "user.born: Field required" in letter["failedReason"]
    finally:
        worker.terminate()
        assert await worker.wait() == 0


async def test_the_client_enqueues_nothing_that_the_worker_would_refuse(harness: Harness) -> None:
    client = await enqueue("hunter2", environment(redis_url=harness.url) | {"PYTHONPATH": str(ROOT)})
    assert client.returncode == 1
    assert client.stderr == "not enqueued: Invalid data for task welcome (to: is not valid)\n"
    assert await harness.redis.keys("*") == []


def test_the_web_application_does_not_load_the_worker() -> None:
    program = (
        "import json, sys; import examples.mail_tasks;"
        "examples.mail_tasks.welcome.definition; examples.mail_tasks.mail.jobs;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    listing = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    loaded = set(json.loads(listing.stdout))
    heavy = ("engine", "http", "cli", "admin", "process", "service", "processor", "supervisor")
    assert loaded.isdisjoint({f"auth_worker.{name}" for name in heavy})
    assert loaded.isdisjoint({"starlette", "fastapi", "uvicorn", "typer", "rich", "prometheus_client", "uvloop"})
    assert "auth_worker.tasks" in loaded
