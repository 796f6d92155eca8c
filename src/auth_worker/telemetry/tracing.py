"""Spans: one a run, in the trace of the job's producer, and one a call that adds jobs.

The context travels in a job's option ``tm``, as BullMQ's own ``bullmq-otel`` writes it in Node: what the
propagators inject (``OTEL_PROPAGATORS``; W3C trace context and baggage), as JSON. The producer's span is the
parent of each of the job's runs, also of a retry and of a redriven dead letter. Names and attributes are those of
the semantic conventions for messaging, beside those that Node writes.

Whatever goes wrong here is logged, and the job runs as if nobody looked.
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

from auth_worker.error_text import error_text, error_trace, type_name
from auth_worker.events import EventBus
from auth_worker.messages import WORKER_ERRORS
from auth_worker.options import decode_json
from auth_worker.outcome import (
    AwaitChildren,
    Complete,
    Fail,
    HandBack,
    Lost,
    Outcome,
    Postpone,
    Retry,
    Throttle,
)
from auth_worker.redaction import redact
from auth_worker.run import Execute, Run, perform
from auth_worker.telemetry.meters import Meters
from auth_worker.version import __version__

OUTCOME = "auth_worker.outcome"
OUTCOMES: Mapping[type[Any], str] = {
    Complete: "completed",
    Retry: "retried",
    Fail: "failed",
    Postpone: "delayed",
    Throttle: "rate-limited",
    AwaitChildren: "waiting-children",
    HandBack: "waiting",
    Lost: "lost",
}
"""The words of the logs and metrics."""
_NO_CONTEXT = Context()
Kind = messaging.MessagingOperationTypeValues
T = TypeVar("T")


class Telemetry:
    """Traces and measures for one worker, or one producer: ``client_id`` names it."""

    def __init__(self, client_id: str) -> None:
        self._tracer = trace.get_tracer("auth_worker", __version__)
        self._client_id = client_id

    def attach(self, bus: EventBus) -> None:
        """Measure the runs that ``bus`` tells of from now on."""
        Meters().attach(bus)

    async def perform(
        self, run: Run, execute: Execute, *, timeout: float | None, max_result_bytes: int
    ) -> Outcome:
        """As ``run.perform``, in a span that is current for the consumer."""
        begun = _harmless(self._begin, run)
        outcome = await perform(run, execute, timeout=timeout, max_result_bytes=max_result_bytes)
        if begun is not None:
            span, token = begun
            detach(token)
            _harmless(_end, span, run, outcome)
        return outcome

    @contextmanager
    def adding(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Adding]:
        """A span around a call that adds ``jobs``; it ends with the call, and tells how that ended."""
        operation = "add" if len(jobs) == 1 else "addBulk"
        span = self._tracer.start_span(
            f"{operation} {queue}", kind=SpanKind.PRODUCER, attributes=self._added(operation, queue, jobs)
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield Adding(span)
            except Exception as error:
                _tell_of(span, error, error_text(error), trace=error_trace(error))
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
        run.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
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


class Adding:
    """The span of a call that adds jobs."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        self.metadata = json.dumps(carrier, separators=(",", ":")) if carrier else None
        """What goes with the jobs; None where the propagators carry nothing."""

    def added(self, ids: Sequence[str]) -> None:
        """The jobs are on their queue."""
        if len(ids) == 1:
            self._span.set_attribute(messaging.MESSAGING_MESSAGE_ID, ids[0])
            self._span.set_attribute("bullmq.job.id", ids[0])


def context_of(metadata: Any) -> Context:
    """The producer's context, as it stands in a job's options; an empty one where there is none to be read.

    Never the caller's: what runs a job runs many, and belongs to the trace of none.
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
    """Tell how the run ended. Lost and failed ones are errors; a consumer that steers makes none."""
    try:
        if span.is_recording():
            span.set_attribute(OUTCOME, OUTCOMES[type(outcome)])
            match outcome:
                case Retry(_, reason, stack):
                    _tell_of(span, run.error, reason, trace=stack)
                case Fail(reason, reason_class, stack):
                    _tell_of(span, run.error, reason, reason_class, stack)
                case Lost():
                    _tell_of(span, None, "the job's lease was lost", "lease_lost")
    finally:
        span.end()


def _tell_of(span: Span, error: BaseException | None, reason: str, kind: str = "", trace: str = "") -> None:
    """``kind`` names the error where there is no exception."""
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
    """Call it; an exporter, sampler or processor of somebody's that raises is logged, no more."""
    try:
        return call(*arguments)
    except Exception:
        logging.getLogger(__name__).exception(WORKER_ERRORS.OBSERVER_FAILED)
        return None
