"""What a scrape shows of jobs and queues: what was done, what waits, and since when."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from auth_worker import Job
from auth_worker.errors import UnrecoverableError
from support.http_requests import scraped, value
from support.processors import DEAD, QUEUE, Harness, eventually
from support.running_service import serving


async def test_a_scrape_during_load_shows_what_was_done(harness: Harness) -> None:
    ledger: Counter[str] = Counter()

    async def consumer(job: Job) -> None:
        await asyncio.sleep(0.002)
        if job.name == "flaky" and job.attempt == 1:
            ledger["retried"] += 1
            raise RuntimeError("again")
        if job.name == "dead":
            ledger["failed"] += 1
            raise UnrecoverableError("no")
        ledger["completed"] += 1

    names = ["good"] * 6 + ["flaky", "dead"]
    async with serving(harness.url, consumer) as service:
        await harness.jobs.add_bulk([{"name": names[n % 8], "data": {}} for n in range(400)])
        before: dict[str, float] = dict.fromkeys(("completed", "retried", "failed"), 0.0)
        deadline = time.monotonic() + 20
        while sum(before.values()) < 450 and time.monotonic() < deadline:
            samples = await scraped(service.http_port)
            now = {
                outcome: value(samples, "auth_worker_jobs_total", queue=QUEUE, outcome=outcome)
                for outcome in before
            }
            for outcome, count in now.items():
                assert before[outcome] <= count <= ledger[outcome]
            timed = value(samples, "auth_worker_job_duration_seconds_count", queue=QUEUE)
            assert abs(timed - sum(now.values())) <= 8, "a scrape may see a job in one number before the other"
            before = now
        assert before == {"completed": 350, "retried": 50, "failed": 50} == ledger
        counts = await harness.counts()

        async def shown() -> dict[str, float]:
            samples = await scraped(service.http_port)
            return {state: value(samples, "auth_worker_queue_jobs", queue=QUEUE, state=state) for state in counts}

        async def agrees() -> bool:  # not at once: queue counts are remembered for a second
            return await shown() == counts

        await eventually(agrees, "the scrape shows what is in the queue")
        samples = await scraped(service.http_port)
        assert value(samples, "auth_worker_dead_letter_jobs", queue=DEAD) == 50
        assert value(samples, "auth_worker_queue_oldest_job_seconds", queue=QUEUE) == 0
        assert value(samples, "auth_worker_jobs_active", queue=QUEUE) == 0


async def test_the_oldest_waiting_job_shows_its_age(harness: Harness) -> None:
    async with serving(harness.url) as service:
        await service.pause_all()
        await harness.jobs.add("n", {}, timestamp=round(time.time() * 1000) - 90_000)
        await harness.jobs.add("n", {})
        samples = await scraped(service.http_port)
        age = value(samples, "auth_worker_queue_oldest_job_seconds", queue=QUEUE)
        assert 89 < age < 95
