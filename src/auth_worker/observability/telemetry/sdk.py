"""Sets up OpenTelemetry's SDK from its environment variables, for ``auth-worker run``.

The SDK itself reads resource, sampler, limits and batches, the exporters read endpoints and headers; this module
reads which exporters to use. It does nothing if the application sets its own providers.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Any

from auth_worker.errors import ConfigurationError
from auth_worker.observability.telemetry import is_configured

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
EXPORTERS = {"traces": "OTEL_TRACES_EXPORTER", "metrics": "OTEL_METRICS_EXPORTER"}


def is_sdk_asked_for() -> bool:
    """Whether the environment says where to send traces or metrics, and the application has set no provider."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or is_configured():
        return False
    return any(os.environ.get(name) for name in (*ENDPOINTS, *EXPORTERS.values()))


def set_up_sdk() -> None:
    """Set the tracer and meter providers that the environment asks for. They are flushed when the process ends.

    Raises ``ModuleNotFoundError`` without the SDK, ``ConfigurationError`` for an exporter that is not installed.
    """
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "auth-worker"}))
    tracer_provider = TracerProvider(resource=resource)
    for exporter in _exporters("traces"):
        tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(tracer_provider)
    readers = [
        exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
        for exporter in _exporters("metrics")
    ]
    metrics.set_meter_provider(MeterProvider(readers, resource=resource))


def _exporters(signal: str) -> list[Any]:
    """Return the exporters for ``signal``: those its variable names, or OTLP if an endpoint is set."""
    asked = os.environ.get(EXPORTERS[signal])
    if not asked:
        asked = "otlp" if any(os.environ.get(name) for name in ENDPOINTS) else "none"
    names = [name.strip() for name in asked.split(",")]
    return [_exporter(signal, name) for name in names if name != "none"]


def _exporter(signal: str, name: str) -> Any:
    found = entry_points(group=f"opentelemetry_{signal}_exporter")
    wanted = _protocol(signal) if name == "otlp" else name
    if wanted not in found.names:
        raise ConfigurationError(
            f"environment: {EXPORTERS[signal]} wants {wanted}, which is not installed; there are: "
            f"{', '.join(sorted(found.names))}"
        )
    return found[wanted].load()()


def _protocol(signal: str) -> str:
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    chosen = next((os.environ[name] for name in names if os.environ.get(name)), "http/protobuf")
    return "otlp_proto_grpc" if chosen == "grpc" else "otlp_proto_http"
