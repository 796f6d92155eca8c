"""A consumer for worker processes that uses OpenTelemetry."""

from __future__ import annotations

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider

from auth_worker.job import Job

_tracer = TracerProvider(shutdown_on_exit=False).get_tracer("application")


def tell_spans(job: Job) -> list[str]:
    """Tell the ``traceparent`` that requests have before, in and after a span of the consumer."""
    told = [_traceparent()]
    with _tracer.start_as_current_span("call") as span:
        told.append(trace.format_trace_id(span.get_span_context().trace_id))
    return [*told, _traceparent()]


def _traceparent() -> str:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")
