"""Unused telemetry costs nothing: it is not imported, and need not be installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
for name in sys.argv[2:]:
    sys.modules[name] = None  # importing it fails, as if it were not installed

from auth_worker import Job, JobQueue, QueueProcessorService, Settings

async def main(url):
    done = asyncio.Event()
    async def consumer(job: Job) -> None:
        done.set()
    settings = Settings(http_port=None)
    worker = QueueProcessorService(queue_name="work", processor=consumer, connection=url, settings=settings)
    await worker.initialize()
    async with JobQueue("work", url) as jobs:
        await jobs.add("job", {}, telemetry_metadata="{}")
    await asyncio.wait_for(done.wait(), 10)
    await worker.close()

asyncio.run(main(sys.argv[1]))
ours = ("auth_worker.observability.telemetry.", "opentelemetry.propagate", "sentry_sdk")
print([name for name, module in sys.modules.items() if module and name.startswith(ours)])
"""


@pytest.mark.parametrize("missing", [[], ["opentelemetry", "sentry_sdk"]], ids=["installed", "not installed"])
def test_a_job_is_added_and_run_without_telemetry_in_memory(redis_url: str, missing: list[str]) -> None:
    """redis-py itself imports parts of OpenTelemetry if it is installed; those do not count."""
    command = [sys.executable, "-c", PROGRAM, redis_url, *missing]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
