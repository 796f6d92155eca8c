"""OpenTelemetry: traces that go on from a producer to its consumer, and metrics.

Nothing of OpenTelemetry is imported unless it is wanted: where the application has set a tracer provider, or where
the setting ``telemetry`` is true.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.telemetry.tracing import Telemetry


def open_telemetry(settings: Settings, client_id: str) -> Telemetry | None:
    """What traces and measures for the worker or producer ``client_id``; None where nobody wants it.

    Raises ``ConfigurationError`` where the setting is true and OpenTelemetry is not installed.
    """
    if settings.telemetry is False or (settings.telemetry is None and not is_configured()):
        return None
    try:
        from auth_worker.telemetry.tracing import Telemetry
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"settings: telemetry wants {error.name}, which is not installed: pip install 'auth-worker[otel]'"
        ) from error
    return Telemetry(client_id)


def is_configured() -> bool:
    """Whether the application has set a tracer provider; whoever did has imported OpenTelemetry's API."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    nobody = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return not isinstance(trace.get_tracer_provider(), nobody)
