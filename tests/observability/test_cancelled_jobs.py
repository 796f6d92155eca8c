"""A cancelled job was asked for: it is logged and traced as such, and nobody is alarmed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sentry_sdk
from opentelemetry.trace import StatusCode

from auth_worker import Job
from auth_worker.errors import UnrecoverableError
from auth_worker.observability import sentry
from support.processors import QUEUE, Harness, eventually
from support.telemetry_capture import Traces, attributes_of


async def test_a_cancelled_job_alarms_nobody(
    harness: Harness, traces: Traces, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure of the job after it reaches the hook and Sentry, so both would have been told of it by then."""
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        if job.name == "bad":
            raise UnrecoverableError("no")
        started.set()
        await asyncio.Event().wait()

    reported: list[str] = []
    monkeypatch.setattr(sentry_sdk, "is_initialized", lambda: True)
    monkeypatch.setattr(sentry.SentryReporter, "__call__", lambda _, failure: reported.append(failure.job_name))
    processor = await harness.processor(consumer, settings={"log_level": "INFO", "log_format": "json"})
    told: list[str] = []
    processor.runtime.failures.add(lambda failure: told.append(failure.job_name))
    job_id = await harness.jobs.add("endless", {})
    await asyncio.wait_for(started.wait(), 10)
    await harness.jobs.cancel(job_id, "wrong list")
    await harness.settled(1)
    await harness.jobs.add("bad", {})
    await eventually(lambda: told)
    assert (told, reported) == (["bad"], ["bad"])

    lines: list[dict[str, Any]] = []

    def logged() -> bool:
        said = capfd.readouterr().err.splitlines()
        lines.extend(json.loads(line) for line in said if '"outcome"' in line)
        return len(lines) == 2

    await eventually(logged)
    line = lines[0]
    assert (line["event"], line["level"], line["outcome"]) == ("Job cancelled", "info", "cancelled")
    assert (line["job_id"], line["error"]) == (job_id, "job was cancelled: wrong list")
    assert "exception" not in line
    cancelled, failed = await traces.until(f"process {QUEUE}", 2)
    assert [attributes_of(span)["auth_worker.outcome"] for span in (cancelled, failed)] == ["cancelled", "failed"]
    assert (cancelled.status.status_code, cancelled.events) == (StatusCode.UNSET, ())
