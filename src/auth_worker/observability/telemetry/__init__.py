"""OpenTelemetry: traces that continue from a producer to its consumer, and metrics.

OpenTelemetry is imported only if it is wanted: if the application has set a tracer provider, or the setting
``telemetry`` is true.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from auth_worker.core.extras import needs_extra

if TYPE_CHECKING:
    from auth_worker.config import Settings
    from auth_worker.observability.telemetry.tracing import Telemetry


def open_telemetry(settings: Settings, client_id: str) -> Telemetry | None:
    """Return the telemetry of the worker or producer ``client_id``, or None if it is off.

    Raises ``MissingExtraError`` if the setting is true and OpenTelemetry is not installed.
    """
    if settings.telemetry is False or (settings.telemetry is None and not is_configured()):
        return None
    with needs_extra("otel", "the setting telemetry"):
        from auth_worker.observability.telemetry.tracing import Telemetry
    return Telemetry(client_id)


def continue_trace(traceparent: str) -> None:
    """Make the span that ``traceparent`` names the parent of those begun in this context.

    Does nothing if it is empty, or where nobody has imported OpenTelemetry.
    """
    if traceparent and "opentelemetry.trace" in sys.modules:
        from opentelemetry.context import attach
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))


def is_configured() -> bool:
    """Whether the application has set a tracer provider, for which it must have imported OpenTelemetry's API."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    nobody = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return not isinstance(trace.get_tracer_provider(), nobody)
