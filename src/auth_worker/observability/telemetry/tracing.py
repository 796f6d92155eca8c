"""Creates spans: one per run, in the trace of the job's producer, and one per call that adds jobs.

The trace context travels in a job's option ``tm``, as BullMQ's own ``bullmq-otel`` writes it in Node: what the
propagators inject (``OTEL_PROPAGATORS``; W3C trace context and baggage), as JSON. The producer's span is the
parent of each of the job's runs, also of a retry and of a redriven dead letter. Names and attributes follow the
semantic conventions for messaging, plus those that Node writes.

An error here is logged, and the job runs as if telemetry were off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from typing import Any, TypeVar

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import error_attributes, exception_attributes
from opentelemetry.trace import Span, SpanKind, StatusCode

from auth_worker.core.error_text import error_text, error_trace, type_name
from auth_worker.core.json_codec import decode_json
from auth_worker.core.outcome import Fail, Lost, Outcome, ReasonClass, Retry, name_of
from auth_worker.core.redaction import redact
from auth_worker.core.run import Execute, Perform, Run
from auth_worker.events import EventBus
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.telemetry.meters import Meters
from auth_worker.version import __version__

OUTCOME = "auth_worker.outcome"
_NO_CONTEXT = Context()
Kind = messaging.MessagingOperationTypeValues
T = TypeVar("T")


class Telemetry:
    """Traces and measures one worker or producer, which ``client_id`` names."""

    def __init__(self, client_id: str) -> None:
        self._tracer = trace.get_tracer("auth_worker", __version__)
        self._client_id = client_id

    def attach(self, bus: EventBus) -> None:
        """Measure the runs on ``bus`` from now on."""
        Meters().attach(bus)

    def traced(self, perform: Perform) -> Perform:
        """Wrap ``perform`` so that each run has a span, which is current for the consumer."""

        async def perform_traced(run: Run, execute: Execute, **limits: Any) -> Outcome:
            begun = _harmless(self._begin, run)
            outcome = await perform(run, execute, **limits)
            if begun is not None:
                span, token = begun
                detach(token)
                _harmless(_end, span, run, outcome)
            return outcome

        return perform_traced

    @contextmanager
    def adding(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Adding]:
        """Open a span around a call that adds ``jobs``. It ends with the call and records its outcome."""
        operation = "add" if len(jobs) == 1 else "addBulk"
        span = self._tracer.start_span(
            f"{operation} {queue}", kind=SpanKind.PRODUCER, attributes=self._added(operation, queue, jobs)
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield Adding(span)
            except Exception as error:
                _record_error(span, error, error_text(error), trace=error_trace(error))
                raise

    def _added(self, operation: str, queue: str, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        attributes = self._attributes(operation, Kind.SEND, queue)
        if len(jobs) == 1:
            attributes["bullmq.job.name"] = str(jobs[0].get("name"))
        else:
            attributes[messaging.MESSAGING_BATCH_MESSAGE_COUNT] = len(jobs)
            attributes["bullmq.job.bulk.count"] = len(jobs)
        return attributes

    def _begin(self, run: Run) -> tuple[Span, Token[Context]]:
        job = run.job
        parent = context_of(job.opts.get("telemetryMetadata"))
        attributes = self._attributes("process", Kind.PROCESS, job.queue_name)
        attributes[messaging.MESSAGING_MESSAGE_ID] = job.id
        attributes["bullmq.job.id"] = job.id
        attributes["bullmq.job.name"] = job.name
        attributes["bullmq.job.attempts.made"] = job.attempt - 1
        attributes["bullmq.worker.name"] = self._client_id
        span = self._tracer.start_span(
            f"process {job.queue_name}", parent, SpanKind.CONSUMER, attributes=attributes
        )
        run.traceparent = _traceparent(span)
        return span, attach(trace.set_span_in_context(span, parent))

    def _attributes(self, operation: str, kind: Kind, queue: str) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            messaging.MESSAGING_SYSTEM: "bullmq",
            messaging.MESSAGING_DESTINATION_NAME: queue,
            messaging.MESSAGING_OPERATION_NAME: operation,
            messaging.MESSAGING_OPERATION_TYPE: kind.value,
            "bullmq.queue.name": queue,
            "bullmq.queue.operation": operation,
        }
        if self._client_id:
            attributes[messaging.MESSAGING_CLIENT_ID] = self._client_id
        return attributes


def _traceparent(span: Span) -> str:
    """Name ``span`` as W3C's Trace Context does."""
    context = span.get_span_context()
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"


class Adding:
    """The span of a call that adds jobs."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        self.metadata = json.dumps(carrier, separators=(",", ":")) if carrier else None
        """The trace context to store with the jobs, as JSON. None if the propagators inject nothing."""

    def added(self, ids: Sequence[str]) -> None:
        """Record the ids of the added jobs."""
        if len(ids) == 1:
            self._span.set_attribute(messaging.MESSAGING_MESSAGE_ID, ids[0])
            self._span.set_attribute("bullmq.job.id", ids[0])


def context_of(metadata: Any) -> Context:
    """Read the producer's trace context from a job's options. Returns an empty one if it cannot be read.

    It is never the context of the caller, which runs many jobs and belongs to the trace of none.
    """
    if not isinstance(metadata, str):
        return _NO_CONTEXT
    try:
        carrier = decode_json(metadata)
    except (ValueError, RecursionError):
        return _NO_CONTEXT
    if not isinstance(carrier, dict):
        return _NO_CONTEXT
    texts = {key: value for key, value in carrier.items() if isinstance(value, str)}
    return propagate.extract(texts, _NO_CONTEXT)


def _end(span: Span, run: Run, outcome: Outcome) -> None:
    """Record how the run ended. Lost and failed runs are errors; delays and cancellations are not."""
    try:
        if span.is_recording():
            span.set_attribute(OUTCOME, name_of(outcome))
            match outcome:
                case Retry(_, reason, stack):
                    _record_error(span, run.error, reason, trace=stack)
                case Fail(reason_class=ReasonClass.CANCELLED):
                    pass
                case Fail(reason, reason_class, stack):
                    _record_error(span, run.error, reason, reason_class, stack)
                case Lost():
                    _record_error(span, None, "the job's lease was lost", "lease_lost")
    finally:
        span.end()


def _record_error(span: Span, error: BaseException | None, reason: str, kind: str = "", trace: str = "") -> None:
    """Record an error. ``kind`` names it if there is no exception."""
    message = redact(reason)
    span.set_status(StatusCode.ERROR, message)
    if error is not None:
        kind = type_name(error)
        span.add_event(
            "exception",
            {
                exception_attributes.EXCEPTION_TYPE: kind,
                exception_attributes.EXCEPTION_MESSAGE: message,
                exception_attributes.EXCEPTION_STACKTRACE: trace,
            },
        )
    span.set_attribute(error_attributes.ERROR_TYPE, kind)


def _harmless(call: Callable[..., T], *arguments: Any) -> T | None:
    """Call ``call``, and log what an exporter, sampler or processor raises instead of raising it."""
    try:
        return call(*arguments)
    except Exception:
        logging.getLogger(__name__).exception(WORKER_ERRORS.OBSERVER_FAILED)
        return None
