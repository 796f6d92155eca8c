"""OpenTelemetry with exporters that record what they get, for one test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.processors import eventually


class Traces:
    """A tracer provider, and the spans that have ended."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("application")
        """The tracer of the application itself."""

    def named(self, name: str) -> list[ReadableSpan]:
        """The ended spans called ``name``, in the order they ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    async def until(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """The spans called ``name``, once there are ``count`` of them."""
        await eventually(lambda: len(self.named(name)) >= count, f"{count} spans {name!r}")
        return self.named(name)


def trace_of(span: ReadableSpan) -> str:
    """The id of the span's trace, in hexadecimal."""
    return trace.format_trace_id(_context(span).trace_id)


def id_of(span: ReadableSpan) -> str:
    """The span's own id, in hexadecimal."""
    return trace.format_span_id(_context(span).span_id)


def parent_of(span: ReadableSpan) -> str | None:
    """The id of the span's parent, None for a root."""
    return trace.format_span_id(span.parent.span_id) if span.parent else None


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """The span's attributes."""
    return dict(span.attributes or {})


def carrier(trace_id: str = "1" * 32, span_id: str = "2" * 16, flags: str = "01") -> str:
    """Build the telemetry metadata that a producer writes."""
    return json.dumps({"traceparent": f"00-{trace_id}-{span_id}-{flags}"})


@contextmanager
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Set a tracer provider, as the application would."""
    traces = Traces()
    with monkeypatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", traces.provider)
        yield traces


@contextmanager
def measuring(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Set a meter provider, as the application would."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with monkeypatch.context() as patch:
        patch.setattr(metrics._internal, "_METER_PROVIDER", provider)
        yield reader
    provider.shutdown()


def _context(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context
