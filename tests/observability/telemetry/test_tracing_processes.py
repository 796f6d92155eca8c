"""The trace of a job goes on in its worker process."""

from __future__ import annotations

import asyncio
import json

from auth_worker.core.run import current_run
from auth_worker.engine.executors import ProcessExecutor
from support import tracing_consumers
from support.factories import a_job, a_run, some_options
from support.telemetry_capture import carrier


async def test_what_a_consumer_traces_in_a_process_of_its_own_is_the_runs_child() -> None:
    executor = ProcessExecutor(tracing_consumers.tell_spans, 1)
    run = a_run(a_job(None), some_options())
    current_run.set(run)
    async with asyncio.timeout(30):
        assert (await executor(run.job))[::2] == ["", ""]
        run.traceparent = json.loads(carrier())["traceparent"]
        assert await executor(run.job) == [run.traceparent, run.trace_id, run.traceparent]
        run.traceparent = ""
        assert (await executor(run.job))[::2] == ["", ""]
    executor.close()
