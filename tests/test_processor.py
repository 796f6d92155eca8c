"""A processor on a real server: what becomes of a job, for each thing its consumer can do."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from auth_worker import (
    ConfigurationError,
    Delay,
    Job,
    QueueProcessorService,
    RateLimited,
    UnrecoverableError,
)
from auth_worker.events import JobCompleted, JobFailed, JobLogged, JobRetried
from support.processors import DEAD, QUEUE, Harness, collect, eventually


async def test_a_returned_value_completes_the_job_with_it(harness: Harness) -> None:
    async def consumer(job: Job) -> Any:
        return {"id": job.id, "data": job.data, "attempt": job.attempt}

    processor = await harness.processor(consumer, {"name": "pod-7"})
    job_id = await harness.jobs.add("greet", {"text": "grüß\u2028dich\0"})
    await harness.settled(1)
    stored = await harness.job(job_id)
    assert json.loads(stored["returnvalue"]) == {
        "id": job_id,
        "data": {"text": "grüß\u2028dich\0"},
        "attempt": 1,
    }
    assert stored["pb"] == "pod-7"
    assert stored["atm"] == "1"
    assert await harness.redis.keys("*:lock") == []
    assert processor.get_metrics().completed == 1


async def test_a_raised_error_is_retried_until_the_attempts_are_used_up(harness: Harness) -> None:
    attempts: list[int] = []

    async def consumer(job: Job) -> None:
        attempts.append(job.attempt)
        raise ValueError(f"try {job.attempt}")

    processor = await harness.processor(consumer)
    job_id = await harness.jobs.add("fail", {"n": 1})
    await harness.settled(1)
    stored = await harness.job(job_id)
    (letter,) = await harness.dead_letters()
    assert attempts == [1, 2, 3]
    assert stored["failedReason"] == letter["failedReason"] == "try 3"
    assert len(json.loads(stored["stacktrace"])) == 3
    assert (letter["originalQueue"], letter["originalJobId"], letter["data"]) == (QUEUE, job_id, {"n": 1})
    assert (letter["reasonClass"], letter["attemptsMade"]) == ("exhausted", 3)
    assert (processor.get_metrics().retried, processor.get_metrics().failed) == (2, 1)


async def test_a_job_of_its_own_attempts_and_backoff_is_retried_as_it_asks(harness: Harness) -> None:
    starts: list[float] = []

    async def consumer(job: Job) -> None:
        starts.append(time.monotonic())
        raise ValueError

    await harness.processor(consumer)
    await harness.jobs.add("fail", {}, attempts=3, backoff={"type": "exponential", "delay": 100})
    await harness.settled(1)
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert 0.09 < waits[0] < 0.19
    assert 0.19 < waits[1] < 0.35


async def test_an_unrecoverable_error_is_dead_at_once(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no such account")

    await harness.processor(consumer)
    await harness.jobs.add("fail", {})
    await harness.settled(1)
    (letter,) = await harness.dead_letters()
    assert (letter["reasonClass"], letter["attemptsMade"]) == ("unrecoverable", 1)


async def test_without_a_dead_letter_queue_a_failed_job_just_fails(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        raise UnrecoverableError("no")

    await harness.processor(consumer, dead_letter_queue_name=None)
    await harness.jobs.add("fail", {})
    assert (await harness.settled(1))["failed"] == 1
    assert await harness.redis.keys(f"bull:{DEAD}:*") == []


async def test_a_result_that_is_not_json_fails_for_good_after_one_run(harness: Harness) -> None:
    runs: list[str] = []

    async def consumer(job: Job) -> Any:
        runs.append(job.id)
        return float("nan")

    await harness.processor(consumer)
    await harness.jobs.add("odd", {})
    await harness.settled(1)
    assert len(runs) == 1
    assert "not JSON" in (await harness.dead_letters())[0]["failedReason"]


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
async def test_what_would_end_a_program_is_a_failed_attempt(harness: Harness, error: type[BaseException]) -> None:
    async def consumer(job: Job) -> str:
        if job.attempt == 1:
            raise error(1)
        return "alive"

    await harness.processor(consumer)
    await harness.jobs.add("exit", {})
    assert (await harness.settled(1))["completed"] == 1


async def test_delay_and_rate_limited_count_no_attempt(harness: Harness) -> None:
    seen: list[tuple[str, int]] = []

    async def consumer(job: Job) -> str:
        seen.append((job.name, job.attempt))
        if [name for name, _ in seen].count(job.name) == 1:
            raise Delay(0.05) if job.name == "later" else RateLimited(0.05)
        return "done"

    await harness.processor(consumer)
    first, second = await harness.jobs.add("later", {}), await harness.jobs.add("limited", {})
    assert (await harness.settled(2))["completed"] == 2
    assert sorted(seen) == [("later", 1), ("later", 1), ("limited", 1), ("limited", 1)]
    assert [(await harness.job(job_id))["atm"] for job_id in (first, second)] == ["1", "1"]


async def test_a_plain_function_runs_in_a_thread(harness: Harness) -> None:
    def consumer(job: Job) -> str:
        time.sleep(0.01)
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return "from a thread"

    await harness.processor(consumer)
    job_id = await harness.jobs.add("sync", {})
    await harness.settled(1)
    assert (await harness.job(job_id))["returnvalue"] == '"from a thread"'


async def test_a_run_past_its_time_out_is_a_failed_attempt(harness: Harness) -> None:
    async def consumer(job: Job) -> str:
        if job.attempt == 1:
            await asyncio.sleep(30)
        return "in time"

    processor = await harness.processor(consumer, {"timeout": 50})
    retried = collect(processor.runtime.bus, JobRetried)
    await harness.jobs.add("slow", {})
    assert (await harness.settled(1))["completed"] == 1
    assert "timeout" in retried[0].reason


async def test_progress_and_log_are_seen_by_bullmq(harness: Harness) -> None:
    async def consumer(job: Job) -> int:
        await job.update_progress({"percent": 50})
        await job.log("first")
        await job.extend_lease()
        return await job.log("second")

    await harness.processor(consumer)
    job_id = await harness.jobs.add("talk", {})
    await harness.settled(1)
    assert (await harness.job(job_id))["progress"] == '{"percent":50}'
    assert await harness.redis.lrange(f"bull:{QUEUE}:{job_id}:logs", 0, -1) == [b"first", b"second"]
    assert (await harness.job(job_id))["returnvalue"] == "2"


async def test_a_plain_function_reports_with_sync(harness: Harness) -> None:
    def consumer(job: Job) -> int:
        job.sync.update_progress(50)
        job.sync.extend_lease()
        return job.sync.log("in a thread")

    processor = await harness.processor(consumer)
    told = collect(processor.runtime.bus, JobLogged)
    job_id = await harness.jobs.add("talk", {})
    assert (await harness.settled(1))["completed"] == 1
    assert (await harness.job(job_id))["progress"] == "50"
    assert await harness.redis.lrange(f"bull:{QUEUE}:{job_id}:logs", 0, -1) == [b"in a thread"]
    assert told == [JobLogged(QUEUE, job_id, "talk", 1, "in a thread")]


async def test_events_and_metrics_tell_of_each_job_once(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        if job.name == "bad":
            raise UnrecoverableError("bad")

    processor = await harness.processor(consumer)
    completed = collect(processor.runtime.bus, JobCompleted)
    failed = collect(processor.runtime.bus, JobFailed)
    await harness.jobs.add_bulk({"name": "good" if n % 4 else "bad", "data": {}} for n in range(100))
    await harness.settled(100)
    await eventually(lambda: processor.active == 0)
    metrics = processor.get_metrics()
    assert (len(completed), len(failed)) == (75, 25)
    assert (metrics.processed, metrics.completed, metrics.failed, metrics.active) == (100, 75, 25, 0)
    assert (metrics.success_rate, metrics.failure_rate) == (75, 25)


async def test_retention_keeps_what_the_job_or_the_worker_asks(harness: Harness) -> None:
    await harness.processor(lambda job: None, {"remove_on_complete": {"count": 3}})
    await harness.jobs.add_bulk({"name": "n", "data": {}} for _ in range(10))
    await harness.jobs.add("gone", {}, remove_on_complete=True)
    await eventually(lambda: harness.processors[0].get_metrics().completed == 11)
    assert (await harness.counts())["completed"] == 3


async def test_a_second_start_is_refused(harness: Harness) -> None:
    processor = await harness.processor(lambda job: None)
    with pytest.raises(ConfigurationError, match="initialized already"):
        await processor.initialize()


def test_a_consumer_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="processor"):
        QueueProcessorService(queue_name="q", processor=None, connection="redis://localhost")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="dead_letter_queue_name"):
        QueueProcessorService(
            queue_name="q",
            processor=print,
            connection="redis://localhost",
            dead_letter_queue_name="q",
        )
    for name in ("q", "x:y"):
        config = {"dead_letter_queues": {"job": name}}
        with pytest.raises(ConfigurationError, match="dead_letter_queues must"):
            QueueProcessorService(
                queue_name="q", processor=print, connection="redis://localhost", worker_config=config
            )


async def test_health_tells_running_paused_and_closed(harness: Harness) -> None:
    processor = await harness.processor(lambda job: None)
    assert (await processor.get_health()).healthy
    await processor.pause()
    assert (await processor.get_health()).is_paused
    await processor.close()
    health = await processor.get_health()
    assert not health.healthy
    assert health.reasons == ["not running"]


async def test_a_plain_function_that_returns_a_coroutine_is_awaited(harness: Harness) -> None:
    async def handler(job: Job, dependency: str) -> str:
        return dependency

    await harness.processor(lambda job: handler(job, "injected"))
    job_id = await harness.jobs.add("n", {})
    await harness.settled(1)
    assert (await harness.job(job_id))["returnvalue"] == '"injected"'


async def test_a_broker_that_may_evict_jobs_is_warned_of_with_the_remedy(
    harness: Harness, capfd: pytest.CaptureFixture[str]
) -> None:
    await harness.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        await harness.processor(lambda job: None)
        await eventually(lambda: "set maxmemory-policy to noeviction" in capfd.readouterr().err)
    finally:
        await harness.redis.config_set("maxmemory-policy", "noeviction")
