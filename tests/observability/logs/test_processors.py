"""The processors for applications that configure logging themselves: the job's context, and masking."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from auth_worker.job import Job
from auth_worker.observability.logs import JobContextFilter, add_job_context, job_context, redact_fields
from support.factories import a_job, a_run, outcome_of

CONTEXT = {"queue": "work", "job_id": "job-1", "job_name": "send", "attempt": 1}


async def test_the_filter_adds_the_job_to_records_for_any_format() -> None:
    said: list[str] = []

    class Remembers(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    handler = Remembers()
    handler.addFilter(JobContextFilter())
    handler.setFormatter(logging.Formatter("[%(queue)s %(job_id)s %(attempt)s] %(message)s"))
    log = logging.Logger("app")
    log.addHandler(handler)

    async def consumer(job: Job) -> None:
        log.info("inside")
        log.info("its own", extra={"queue": "mine"})

    await outcome_of(consumer)
    log.info("outside")
    assert said == ["[work job-1 1] inside", "[mine job-1 1] its own", "[  ] outside"]


async def test_the_processor_adds_the_job_for_structlog() -> None:
    with structlog.testing.capture_logs(processors=[add_job_context]) as said:

        async def consumer(job: Job) -> None:
            structlog.get_logger().info("inside")
            structlog.get_logger().info("its own", job_name="mine")

        await outcome_of(consumer)
        structlog.get_logger().info("outside")
    inside, own, outside = [{k: v for k, v in line.items() if k in CONTEXT} for line in said]
    assert (inside, own, outside) == (CONTEXT, {**CONTEXT, "job_name": "mine"}, {})


async def test_the_jobs_context_stays_and_all_else_is_masked() -> None:
    job_id = "3f2b8a4e1c5d4e6f8a7b9c0d1e2f3a4b"
    seen: list[Any] = []

    async def consumer(job: Job) -> None:
        fields = {"event": f"got {job_id}", "job_id": job.id, "other": job_id, "attempt": job.attempt}
        seen.append(redact_fields(None, "info", fields))

    await outcome_of(consumer, a_run(a_job(id=job_id)))
    assert seen == [{"event": "got ***", "job_id": job_id, "other": "***", "attempt": 1}]
    assert job_context() == {}


async def test_the_trace_of_the_run_is_part_of_the_context() -> None:
    run, seen = a_run(), []
    run.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    async def consumer(job: Job) -> None:
        seen.append(redact_fields(None, "info", add_job_context(None, "info", {"event": "inside"})))

    await outcome_of(consumer, run)
    assert seen == [{"event": "inside", **CONTEXT, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}]
