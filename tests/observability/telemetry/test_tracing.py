"""One span per run: its parent, its attributes, and the consumer's own spans as its children."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from auth_worker import ConfigurationError, Delay, Job, JobTimeoutError, UnrecoverableError
from auth_worker.core.run import current_run
from auth_worker.events import JobCompleted, JobFailed, JobRetried
from auth_worker.observability.telemetry import open_telemetry
from auth_worker.observability.telemetry.tracing import context_of
from support.processors import QUEUE, Harness, collect, eventually
from support.telemetry_capture import Traces, attributes_of, carrier, id_of, parent_of, trace_of

PROCESS, ADD = f"process {QUEUE}", f"add {QUEUE}"


async def work(job: Job) -> None:
    return None


async def test_a_run_has_a_span_by_the_messaging_conventions(harness: Harness, traces: Traces) -> None:
    await harness.processor(work, settings={"name": "pod-7"})
    job_id = await harness.jobs.add("welcome", {"secret": "in the data"})
    (span,) = await traces.until(PROCESS)
    assert attributes_of(span) == {
        "messaging.system": "bullmq",
        "messaging.destination.name": QUEUE,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": job_id,
        "messaging.client.id": "pod-7",
        "bullmq.queue.name": QUEUE,
        "bullmq.queue.operation": "process",
        "bullmq.job.id": job_id,
        "bullmq.job.name": "welcome",
        "bullmq.job.attempts.made": 0,
        "bullmq.worker.name": "pod-7",
        "auth_worker.outcome": "completed",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()


async def test_a_run_names_its_span(harness: Harness, traces: Traces) -> None:
    names: list[str] = []

    async def consumer(job: Job) -> None:
        run = current_run.get()
        assert run is not None
        names.append(run.traceparent)

    await harness.processor(consumer)
    await harness.jobs.add("job", {})
    (span,) = await traces.until(PROCESS)
    assert [name.rpartition("-")[0] for name in names] == [f"00-{trace_of(span)}-{id_of(span)}"]


async def test_what_a_consumer_traces_is_the_runs_child(harness: Harness, traces: Traces) -> None:
    async def consumer(job: Job) -> None:
        with traces.tracer.start_as_current_span("call"):
            pass

    await harness.processor(consumer)
    await harness.jobs.add("job", {})
    (run,), (call,) = await traces.until(PROCESS), traces.named("call")
    assert (trace_of(call), parent_of(call)) == (trace_of(run), id_of(run))


async def test_a_consumer_in_a_thread_is_in_its_runs_span_too(harness: Harness, traces: Traces) -> None:
    def consumer(job: Job) -> None:
        with traces.tracer.start_as_current_span("call"):
            pass

    await harness.processor(consumer)
    await harness.jobs.add("job", {})
    (run,), (call,) = await traces.until(PROCESS), traces.named("call")
    assert (trace_of(call), parent_of(call)) == (trace_of(run), id_of(run))


async def test_runs_without_a_producers_trace_have_one_each_whoever_started_the_worker(
    harness: Harness, traces: Traces
) -> None:
    with traces.tracer.start_as_current_span("start"):
        await harness.processor(work)
    for _ in range(2):
        await harness.jobs.add("job", {}, omit_context=True)
    runs = await traces.until(PROCESS, 2)
    assert [parent_of(run) for run in runs] == [None, None]
    assert len({trace_of(run) for run in runs} | {trace_of(traces.named("start")[0])}) == 3


async def test_the_next_job_is_not_in_the_span_of_the_one_before(harness: Harness, traces: Traces) -> None:
    for _ in range(20):
        await harness.jobs.add("job", {})
    await harness.processor(work, {"concurrency": 1})
    runs = await traces.until(PROCESS, 20)
    added = {id_of(span): trace_of(span) for span in traces.named(ADD)}
    assert {parent_of(run): trace_of(run) for run in runs} == added


async def test_every_attempt_is_a_child_of_the_producers_span(harness: Harness, traces: Traces) -> None:
    async def consumer(job: Job) -> None:
        if job.attempt < 3:
            raise ConnectionError("down")

    processor = await harness.processor(consumer)
    retried = collect(processor.runtime.bus, JobRetried)
    await harness.jobs.add("job", {}, attempts=3, backoff=1)
    runs = await traces.until(PROCESS, 3)
    (added,) = traces.named(ADD)
    assert {(trace_of(run), parent_of(run)) for run in runs} == {(trace_of(added), id_of(added))}
    assert [attributes_of(run)["bullmq.job.attempts.made"] for run in runs] == [0, 1, 2]
    assert [attributes_of(run)["auth_worker.outcome"] for run in runs] == ["retried", "retried", "completed"]
    assert [run.status.status_code for run in runs] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert [event.trace_id for event in retried] == [trace_of(added)] * 2


async def test_the_log_lines_of_a_job_name_its_trace(
    harness: Harness, traces: Traces, capfd: pytest.CaptureFixture[str]
) -> None:
    async def consumer(job: Job) -> None:
        if job.name == "bad":
            raise UnrecoverableError("no")

    await harness.processor(consumer, settings={"log_level": "INFO", "log_format": "json"})
    await harness.jobs.add_bulk({"name": name, "data": {}} for name in ("good", "bad"))
    await harness.settled(2)
    lines: list[Any] = []

    def both() -> bool:
        said = capfd.readouterr().err.splitlines()
        lines.extend(json.loads(line) for line in said if '"outcome"' in line)
        return len(lines) == 2

    await eventually(both)
    (added,) = traces.named(f"addBulk {QUEUE}")
    assert {(line["job_name"], line["trace_id"]) for line in lines} == {
        ("good", trace_of(added)),
        ("bad", trace_of(added)),
    }


async def test_a_failure_is_recorded_without_its_secrets(harness: Harness, traces: Traces) -> None:
    async def consumer(job: Job) -> None:
        code = job.data["code"]
        try:
            raise KeyError(f"code={code}")
        except KeyError as error:
            raise UnrecoverableError(f"token={code} refused") from error

    await harness.processor(consumer)
    await harness.jobs.add("job", {"code": "hunter2-hunter2"})
    (run,) = await traces.until(PROCESS)
    (event,) = run.events
    said = {key: str(value) for key, value in (event.attributes or {}).items()}
    assert event.name == "exception"
    assert said["exception.type"] == attributes_of(run)["error.type"] == "auth_worker.errors.UnrecoverableError"
    assert said["exception.message"] == run.status.description == "token=*** refused"
    assert "in consumer" in said["exception.stacktrace"]
    assert "KeyError: 'code=***" in said["exception.stacktrace"]
    assert "hunter2-hunter2" not in run.to_json()


async def test_a_result_that_is_not_json_is_an_error_without_an_exception(
    harness: Harness, traces: Traces
) -> None:
    async def consumer(job: Job) -> object:
        return object()

    await harness.processor(consumer)
    await harness.jobs.add("job", {})
    (run,) = await traces.until(PROCESS)
    assert attributes_of(run)["error.type"] == "unrecoverable"
    assert (run.status.status_code, run.events) == (StatusCode.ERROR, ())


async def test_a_timeout_is_recorded_as_a_timeout(harness: Harness, traces: Traces) -> None:
    async def consumer(job: Job) -> None:
        await asyncio.Event().wait()

    processor = await harness.processor(consumer, {"timeout": 50})
    failed = collect(processor.runtime.bus, JobFailed)
    await harness.jobs.add("job", {}, attempts=1)
    (run,) = await traces.until(PROCESS)
    assert attributes_of(run)["error.type"] == "auth_worker.errors.JobTimeoutError"
    await eventually(lambda: failed)
    assert isinstance(failed[0].error, JobTimeoutError)


async def test_steering_is_not_an_error(harness: Harness, traces: Traces) -> None:
    seen: list[str] = []

    async def consumer(job: Job) -> None:
        seen.append(job.id)
        if len(seen) == 1:
            raise Delay(0.001)

    await harness.processor(consumer)
    await harness.jobs.add("job", {})
    first, second = await traces.until(PROCESS, 2)
    assert [attributes_of(run)["auth_worker.outcome"] for run in (first, second)] == ["delayed", "completed"]
    assert first.status.status_code is StatusCode.UNSET


async def test_baggage_goes_with_the_job(harness: Harness, traces: Traces) -> None:
    seen: list[object] = []

    async def consumer(job: Job) -> None:
        seen.append(baggage.get_baggage("tenant"))

    await harness.processor(consumer)
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    await harness.jobs.add("job", {})
    context.detach(token)
    await traces.until(PROCESS)
    assert seen == ["acme"]


@pytest.mark.parametrize("name", ["telemetry_metadata", "telemetryMetadata", "tm"])
async def test_a_job_keeps_the_trace_it_was_given(harness: Harness, traces: Traces, name: str) -> None:
    options: Any = {name: carrier("a" * 32, "b" * 16)}
    job_id = await harness.jobs.add("job", {}, **options)
    assert json.loads((await harness.job(job_id))["opts"])["tm"] == carrier("a" * 32, "b" * 16)
    await harness.processor(work)
    (run,) = await traces.until(PROCESS)
    assert (trace_of(run), parent_of(run)) == ("a" * 32, "b" * 16)


async def test_without_a_tracer_provider_a_job_carries_no_trace(harness: Harness) -> None:
    with Traces().tracer.start_as_current_span("request"):
        job_id = await harness.jobs.add("job", {})
    assert "tm" not in json.loads((await harness.job(job_id))["opts"])
    processor = await harness.processor(work)
    completed = collect(processor.runtime.bus, JobCompleted)
    await harness.jobs.add("job", {}, telemetry_metadata=carrier())
    await harness.settled(2)
    assert [event.trace_id for event in completed][-1] == ""


async def test_a_refused_job_is_an_error_of_its_producers_span(harness: Harness, traces: Traces) -> None:
    with pytest.raises(ConfigurationError, match="not JSON"):
        await harness.jobs.add("job", object())
    (span,) = traces.named(ADD)
    assert span.status.status_code is StatusCode.ERROR
    assert attributes_of(span)["error.type"] == "auth_worker.errors.ConfigurationError"


@pytest.mark.parametrize(
    "metadata",
    [
        *(None, 7, "", "{", "[]", "null", "[" * 100_000, '{"traceparent": 7}', '{"traceparent": "nonsense"}'),
        *(carrier("0" * 32), carrier(flags="zz"), '{"traceparent": "00-\ud800"}'),
    ],
    ids=lambda metadata: repr(metadata)[:20],
)
def test_an_invalid_trace_context_starts_a_new_trace(metadata: Any) -> None:
    assert not trace.get_current_span(context_of(metadata)).get_span_context().is_valid


class Broken(SpanProcessor):
    """A span processor that raises."""

    def __init__(self, when: str) -> None:
        setattr(self, when, self._raise)

    def _raise(self, *arguments: Any, **options: Any) -> None:
        raise RuntimeError("no room")


@pytest.mark.parametrize("when", ["on_start", "on_end"])
async def test_a_broken_span_processor_changes_no_outcome(
    harness: Harness, traces: Traces, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.jobs.add("job", {})
    traces.provider.add_span_processor(Broken(when))
    await harness.processor(work)
    assert (await harness.settled(1))["completed"] == 1
    assert "no room" in caplog.text


def test_telemetry_can_be_switched_off(harness: Harness, traces: Traces) -> None:
    assert open_telemetry(harness.settings(telemetry=False), "pod-7") is None
    assert open_telemetry(harness.settings(), "pod-7") is not None


def test_telemetry_can_be_required(harness: Harness) -> None:
    assert open_telemetry(harness.settings(), "pod-7") is None
    assert open_telemetry(harness.settings(telemetry=True), "pod-7") is not None
